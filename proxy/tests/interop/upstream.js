'use strict';
// One upstream host: a Bolt server made of sofa-bolt-node's decoder and encoder.
//
//   node upstream.js [PORT]      (0 or nothing: any free port; as a child process it says which over IPC)
//
// Methods: echo (answers its argument), hold (answers when the parent releases its tag), fail (answers an exception),
// note (a oneway done right: no answer), noteAnswered (a oneway that is answered all the same).

const net = require('net');
const bolt = require('sofa-bolt-node');

const held = new Map();
const counts = { connections: 0, requests: 0, heartbeats: 0 };

function tell(message) {
  if (process.connected) process.send(message);
}

function answer(encoder, request, response, done = () => {}) {
  // The encoder refuses to send an answer that is later than the request's time-out. Late answers are what some of the
  // checks are about, so it is not told the time-out.
  request.options = { ...request.options, timeout: 0 };
  encoder.writeResponse(request, { isError: false, ...response }, error => {
    if (error && !encoder.destroyed) throw error;
    done();
  });
}

const methods = {
  echo(encoder, request) {
    answer(encoder, request, { appResponse: request.data.args[0] });
  },
  hold(encoder, request) {
    const tag = request.data.args[0];
    held.set(tag, () => {
      answer(encoder, request, { appResponse: tag }, () => tell({ event: 'released', tag }));
    });
    tell({ event: 'held', tag });
  },
  fail(encoder, request) {
    answer(encoder, request, { isError: true, errorMsg: 'refused by the service' });
  },
  note(encoder, request) {
    tell({ event: 'noted', tag: request.data.args[0] });
  },
  noteAnswered(encoder, request) {
    answer(encoder, request, { appResponse: 'nobody asked' });
    tell({ event: 'noted', tag: request.data.args[0] });
  },
};

const server = net.createServer(socket => {
  counts.connections += 1;
  socket.setNoDelay(true);
  const options = { sentReqs: new Map() };
  const encoder = bolt.encoder(options);
  const decoder = bolt.decoder(options);
  decoder.on('request', request => {
    counts.requests += 1;
    methods[request.data.methodName](encoder, request);
  });
  decoder.on('heartbeat', heartbeat => {
    counts.heartbeats += 1;
    encoder.writeHeartbeatAck(heartbeat);
  });
  socket.on('error', () => {});
  decoder.on('error', error => {
    tell({ event: 'undecodable', reason: error.message });
    socket.destroy();
  });
  socket.on('close', () => encoder.destroy());
  encoder.pipe(socket);
  socket.pipe(decoder);
});

process.on('message', message => {
  if (message.ask === 'counts') return tell({ event: 'counts', ...counts });
  const release = held.get(message.release);
  held.delete(message.release);
  release();
});
// The parent is gone: nobody is left to stop this process.
process.on('disconnect', () => process.exit(0));

server.listen(Number(process.argv[2] || 0), '127.0.0.1', () => {
  tell({ event: 'listening', port: server.address().port });
});
