// Node's own server where PORT says, on whichever loopback `localhost` is there: nothing for signals. GET / greets, a body is
// counted, /headers tells what came, /wait answers when the client is gone, an upgrade to websocket echoes.
const { createHash } = require('crypto');
const generation = process.env.SEGUE_GENERATION;
let gone = 0;

const server = require('http').createServer((request, response) => {
  let length = 0;
  if (request.url === '/wait') return void response.on('close', () => { gone += 1; });
  if (request.url === '/gone') return void response.end(`${gone}\n`);
  if (request.url === '/headers') return void response.end(JSON.stringify(request.headers));
  if (request.url === '/crash') process.abort();
  const greet = () => response.end(request.method === 'POST' ? `${length}\n` : `hello from generation ${generation}\n`);
  if (request.method === 'HEAD') response.setHeader('Content-Length', 24);
  if (request.url === '/slow') return void setTimeout(greet, 1500);
  request.on('data', (piece) => { length += piece.length; });
  request.on('end', greet);
});

// Frames of up to 125 bytes, and one at a time, are all that the tests send.
server.on('upgrade', (request, socket, head) => {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`);
  let pending = head;
  const read = (more) => {
    pending = Buffer.concat([pending, more]);
    while (pending.length >= 6 && pending.length >= 6 + (pending[1] & 127)) {
      const end = 6 + (pending[1] & 127);
      const payload = Buffer.from(pending.subarray(6, end)).map((byte, at) => byte ^ pending[2 + (at & 3)]);
      const opcode = pending[0] & 15;
      const told = opcode === 1 ? Buffer.from(`${generation}:${payload}`) : payload;
      socket.write(Buffer.concat([Buffer.from([0x80 | opcode, told.length]), told]));
      if (opcode === 8) socket.end();
      pending = pending.subarray(end);
    }
  };
  socket.on('data', read).on('error', () => {}).on('end', () => socket.end());
  read(Buffer.alloc(0));
});

server.listen(+process.env.PORT, 'localhost');
