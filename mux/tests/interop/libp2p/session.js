// Sessions of the library over sockets, and the bytes that go through them.

// Of Node 22; the library calls it.
Promise.withResolvers ??= function () {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
const { yamux } = await import('@chainsafe/libp2p-yamux');

export const WINDOW_BYTES = 1 << 20;
const STREAMS_MAX = 300;
const PERIOD = 65521;
const CHUNK_BYTES = 64 << 10;
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
    // The library forgets its own ping when it reads a GoAway, and does not know the answer that was under way.
    if (this.muxer.remoteGoAway !== undefined && error.name === 'UnRequestedPingError') return;
    console.log(`session: ${error.message}`);
    this.socket.destroy();
  }
}

export function session(role, socket) {
  socket.setNoDelay();
  const connection = new Connection(socket, role);
  const muxer = yamux({
    keepAliveInterval: 200,
    maxInboundStreams: STREAMS_MAX,
    streamOptions: { maxStreamWindowSize: WINDOW_BYTES },
  })().createStreamMuxer(connection);
  connection.muxer = muxer;
  // The library lets a window grow that is used up within four round trips. Its clock counts milliseconds, and
  // here a round trip is none: windows would grow by chance. Now they do whenever something has come.
  muxer.getRTT = () => 1000;
  // A GoAway ends all of the library's streams. So that the other side notices when that has happened:
  socket.on('data', () => {
    if (muxer.remoteGoAway !== undefined) socket.end();
  });
  return { muxer, socket };
}

// Says GoAway, when no ping is under way: as above, the library would end the session when the answer comes.
export async function goAway(muxer) {
  while (muxer.activePing !== undefined) await muxer.activePing.promise;
  muxer.keepAlive.stop();
  await muxer.close();
}

// What comes on a stream, in order, with the library told to pause when it is not taken.
export class Incoming {
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
    if (this.wake) this.wake();
  }

  // More bytes, or the end.
  more() {
    return new Promise(resolve => { this.wake = resolve; });
  }

  // Null at the end.
  async next() {
    while (this.chunks.length === 0) {
      if (this.error) throw this.error;
      if (this.ended) return null;
      await this.more();
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

export async function write(stream, bytes) {
  if (!stream.send(bytes)) await stream.onDrain();
}

export async function give(stream, n) {
  for (let position = 0; position < n; position += CHUNK_BYTES) {
    await write(stream, chunk(position, Math.min(n - position, CHUNK_BYTES)));
  }
}

export function number(n) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(n));
  return bytes;
}

