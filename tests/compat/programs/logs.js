// Serves HTTP, and appends a line for each request to a log file.
const fs = require('fs');
const log = fs.createWriteStream(process.argv[3], { flags: 'a' });
require('http').createServer((request, response) => {
  log.write(`${new Date().toISOString()} ${request.url}\n`);
  response.end('hello');
}).listen(Number(process.argv[2]), '127.0.0.1');
