// @chainsafe/libp2p-yamux as the other side of the interop checks. The services are described in
// peer/serve.rs, the checks ask of that program what its own checks ask of this one.
//
//   node main.js serve client|server            prints "listening on ADDRESS"
//   node main.js check client|server ADDRESS

import net from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

// Of Node 22; the library calls it.
Promise.withResolvers ??= function () {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
const { yamux } = await import('@chainsafe/libp2p-yamux');

const BACKLOG = 64;
const STREAMS_MAX = 300;
const BULK_BYTES = 32 << 20;
const PERIOD = 65521;
const CHUNK_BYTES = 64 << 10;
const CHECK_MS_MAX = 60000;
const UNREAD_BYTES_MAX = 1 << 20;

// The bytes that all programs send: see peer/pattern.rs.
const once65521 = new Uint8Array(PERIOD);
for (let i = 0, state = 1; i < PERIOD; i += 1) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  once65521[i] = state >>> 24;
}
const pattern = Buffer.concat([ once65521, once65521, once65521 ]);
const chunk = (position, length) => pattern.subarray(position % PERIOD, (position % PERIOD) + length);

function matches(position, bytes) {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const part = bytes.subarray(at, at + CHUNK_BYTES);
    if (chunk(position + at, part.length).compare(part) !== 0) return false;
  }
  return true;
}

const log = Object.assign(() => {}, { trace() {}, error() {}, newScope: () => log });

// A socket, as the library wants its connections.
class Connection extends EventTarget {
  constructor(socket, role) {
    super();
    this.socket = socket;
    this.log = log;
    this.direction = role === 'client' ? 'outbound' : 'inbound';
    socket.on('data', data => this.dispatchEvent(Object.assign(new Event('message'), { data })));
    socket.on('drain', () => this.dispatchEvent(new Event('drain')));
    socket.on('error', () => {}); // the close tells
    socket.on('close', () => this.dispatchEvent(new Event('close')));
  }

  send(data) {
    if (this.socket.writable) return this.socket.write(data.subarray());
    return true; // nobody will read it
  }

  abort(error) {
    console.log(`session: ${error.message}`);
    this.socket.destroy();
  }
}

function session(role, socket) {
  socket.setNoDelay();
  const connection = new Connection(socket, role);
  const muxer = yamux({ keepAliveInterval: 200, maxInboundStreams: STREAMS_MAX })().createStreamMuxer(connection);
  return { muxer, socket };
}

// What comes on a stream, in order, with the library told to pause when it is not taken.
class Incoming {
  constructor(stream) {
    this.stream = stream;
    this.chunks = [];
    this.bytes = 0;
    stream.addEventListener('message', event => {
      const bytes = event.data.subarray();
      this.chunks.push(bytes);
      this.bytes += bytes.length;
      if (this.bytes > UNREAD_BYTES_MAX) stream.pause();
      this._wake();
    });
    stream.addEventListener('end', () => {
      this.ended = true;
      this._wake();
    });
    stream.addEventListener('close', event => {
      this.error = event.error;
      this.ended = true;
      this._wake();
    });
  }

  _wake() {
    if (this.resume) this.resume();
  }

  // Null at the end.
  async next() {
    while (this.chunks.length === 0) {
      if (this.error) throw this.error;
      if (this.ended) return null;
      await new Promise(resolve => { this.resume = resolve; });
    }
    const bytes = this.chunks.shift();
    this.bytes -= bytes.length;
    if (this.bytes === 0 && this.stream.readStatus === 'paused') this.stream.resume();
    return bytes;
  }

  async exactly(length) {
    let bytes = Buffer.alloc(0);
    while (bytes.length < length) {
      const more = await this.next();
      if (more === null) throw new Error('the stream ended too soon');
      bytes = Buffer.concat([ bytes, more ]);
    }
    if (bytes.length > length) {
      this.chunks.unshift(bytes.subarray(length));
      this.bytes += bytes.length - length;
    }
    return bytes.subarray(0, length);
  }

  // Reads the pattern up to the FIN, and says how many bytes there were.
  async sum(until = Infinity) {
    let position = 0;
    while (position < until) {
      const bytes = await this.next();
      if (bytes === null) break;
      if (!matches(position, bytes)) throw new Error(`other bytes than sent, from ${position} on`);
      position += bytes.length;
    }
    return position;
  }
}

async function write(stream, bytes) {
  if (!stream.send(bytes)) await stream.onDrain();
}

async function give(stream, n) {
  for (let position = 0; position < n; position += CHUNK_BYTES) {
    await write(stream, chunk(position, Math.min(n - position, CHUNK_BYTES)));
  }
}

function number(n) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(n));
  return bytes;
}

async function serve(role) {
  const server = net.createServer(socket => {
    const { muxer } = session(role, socket);
    const held = [];
    muxer.addEventListener('stream', event => {
      const incoming = new Incoming(event.detail);
      serveStream(event.detail, incoming, held).catch(() => {}); // the checker sees it too
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  console.log(`listening on 127.0.0.1:${server.address().port}`);
}

async function serveStream(stream, incoming, held) {
  const head = await incoming.exactly(9);
  const n = Number(head.readBigUInt64BE(1));
  const tellSum = async () => write(stream, number(await incoming.sum(n || Infinity)));
  switch (String.fromCharCode(head[0])) {
    case 'e':
      for (let bytes; (bytes = await incoming.next()) !== null;) await write(stream, bytes);
      break;
    case 's':
      await tellSum();
      break;
    case 'g':
      await give(stream, n);
      await stream.close();
      await incoming.sum();
      return;
    case 'r':
      stream.abort(new Error('as asked'));
      return;
    case 'h':
      await new Promise(resolve => held.push(resolve));
      await tellSum();
      break;
    case 'w':
      for (const release of held.splice(0)) release();
      break;
    default:
      throw new Error('no such service');
  }
  await stream.close();
}

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

async function open(muxer, what, n = 0) {
  const stream = await muxer.createStream();
  const incoming = new Incoming(stream);
  await write(stream, Buffer.concat([ Buffer.from(what), number(n) ]));
  return { stream, incoming };
}

async function echo(muxer, n) {
  const { stream, incoming } = await open(muxer, 'e');
  const there = give(stream, n).then(() => stream.close());
  const [ bytes ] = await Promise.all([ incoming.sum(), there ]);
  expect(bytes === n, `${bytes} of ${n} bytes came back`);
}

async function told({ stream, incoming }, n) {
  await stream.close();
  const count = Number((await incoming.exactly(8)).readBigUInt64BE());
  expect(count === n, `${count} of ${n} bytes arrived`);
  expect((await incoming.next()) === null, 'no end after the answer');
}

async function upload(muxer, n) {
  const opened = await open(muxer, 's');
  await give(opened.stream, n);
  await told(opened, n);
}

const checks = {
  async 'many streams'({ muxer }) {
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(Array.from({ length: BACKLOG }, (_, i) => echo(muxer, 500 * i + round)));
    }
  },
  async '32 MiB there'({ muxer }) {
    await upload(muxer, BULK_BYTES);
  },
  async '32 MiB back'({ muxer }) {
    const { stream, incoming } = await open(muxer, 'g', BULK_BYTES);
    const bytes = await incoming.sum();
    expect(bytes === BULK_BYTES, `${bytes} of ${BULK_BYTES} bytes came`);
    await stream.close();
  },
  async '32 MiB both ways at once'({ muxer }) {
    await echo(muxer, BULK_BYTES);
  },
  async 'half close'({ muxer }) {
    for (const n of [ 0, 1, 1000, 300000 ]) await upload(muxer, n);
    const { stream, incoming } = await open(muxer, 'g', 1000);
    expect((await incoming.sum()) === 1000, 'their direction ended too soon');
    await give(stream, 100000); // after their FIN
    await stream.close();
    await echo(muxer, 1000);
  },
  async 'a reset of ours'({ muxer }) {
    for (let i = 0; i < 20; i += 1) {
      const { stream, incoming } = await open(muxer, 'g', 1 << 20);
      await incoming.exactly(1000);
      stream.abort(new Error('as planned'));
    }
    await echo(muxer, 100000);
  },
  async 'a reset of theirs'({ muxer }) {
    const { incoming } = await open(muxer, 'r');
    const error = await incoming.next().then(() => null, reason => reason);
    expect(error && error.name === 'StreamResetError', `a reset looks like ${error}`);
    await echo(muxer, 1000);
  },
  async 'a ping'({ muxer }) {
    for (let i = 0; i < 10; i += 1) await muxer.ping();
  },
  async keepalive({ muxer }) {
    await sleep(1000);
    expect(muxer.status === 'open', 'the session did not outlive its keepalive');
    await echo(muxer, 1000);
  },
  async 'more streams than they take'({ muxer }) {
    const pause = await open(muxer, 'p');
    await pause.incoming.exactly(1);
    const streams = [];
    for (let i = 0; i < BACKLOG + 20; i += 1) streams.push(await open(muxer, 'e'));
    await muxer.ping(); // all of them have arrived
    await pause.stream.close();
    let refused = 0;
    for (const { stream, incoming } of streams) {
      const ended = stream.close().then(() => incoming.sum());
      if ((await ended.catch(error => error)) !== 0) refused += 1;
    }
    expect(refused === 20, `${refused} streams were refused, not 20`);
    await echo(muxer, 1000);
  },
  async 'a window of 1 MiB'({ muxer }) {
    const n = (1 << 20) - 9; // beside the head; more would wait for a reader
    const held = await open(muxer, 'h', n);
    await give(held.stream, n);
    while (held.stream.writeBufferLength > 0) await sleep(1);
    const { stream } = await open(muxer, 'w');
    await stream.close();
    await told(held, n);
  },
  async 'GoAway and close'({ muxer, socket }) {
    await echo(muxer, 1000);
    await muxer.close();
    socket.end();
    await once(socket, 'close');
  },
};

async function check(role, address) {
  const [ host, port ] = address.split(':');
  for (const [ name, run ] of Object.entries(checks)) {
    const socket = net.connect(port, host);
    await once(socket, 'connect');
    const opened = session(role, socket);
    const late = sleep(CHECK_MS_MAX, null, { ref: false }).then(() => { throw new Error('not finished in time'); });
    try {
      await Promise.race([ run(opened), late ]);
    } catch (error) {
      throw new Error(`${role}: ${name}: ${error.message}`);
    }
    console.log(`ok libp2p, its ${role} opens: ${name}`);
    await opened.muxer.close();
    socket.end();
  }
}

const [ mode, role, address ] = process.argv.slice(2);
if (mode === 'serve' && role) {
  await serve(role);
} else if (mode === 'check' && address) {
  await check(role, address).catch(error => {
    console.error(`error: ${error.message}`);
    process.exit(1);
  });
  process.exit(0);
} else {
  console.error('usage: node main.js serve ROLE | check ROLE ADDRESS');
  process.exit(2);
}
