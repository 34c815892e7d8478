// Node's own server: hello.js PORT [WORKERS].
const cluster = require('node:cluster');
const http = require('node:http');

const [port, workers] = process.argv.slice(2).map(Number);
if (workers > 0 && cluster.isPrimary) {
  for (let worker = 0; worker < workers; worker += 1) cluster.fork();
} else {
  http.createServer((request, response) => response.end('hello\n')).listen(port);
}
