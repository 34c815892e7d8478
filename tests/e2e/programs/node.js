// Node's own server, as the first page of its documentation has it: nothing for signals.
const body = () => `hello from generation ${process.env.SEGUE_GENERATION}\n`;
require('http').createServer((request, response) => response.end(body())).listen(+process.argv[2], process.argv[3]);
