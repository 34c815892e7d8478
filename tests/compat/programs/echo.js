// Node's net: sends back what it is sent; echo.js PORT.
require('node:net').createServer((socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
}).listen(Number(process.argv[2]), '127.0.0.1');
