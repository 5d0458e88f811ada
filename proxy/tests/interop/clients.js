'use strict';
// Two clients: sofa-bolt-node's own, and one that sends the frames of its encoder by hand and looks at the answers' bytes.

const net = require('net');
const { once } = require('events');
const bolt = require('sofa-bolt-node');

const SERVICE = 'org.example.EchoService:1.0';
const TIMEOUT_MS = 20000;
const RESPONSE_HEADER_BYTES = 20;

function request(methodName, argument, timeout = TIMEOUT_MS) {
  return { serverSignature: SERVICE, methodName, args: [ argument ], timeout };
}

// Ids for requests that are not sent through the client's own counter, far above what it reaches here.
const idsByHand = (function* ids() {
  for (let id = 0x3f000000; ; id += 1) yield id;
}());

// sofa-bolt-node's client. `strays` collects what it was sent and had not asked for.
class Caller {
  static async connect(address) {
    const caller = new Caller();
    caller.strays = [];
    const warn = (text, response) => caller.strays.push(`${text} (id ${response && response.packetId})`);
    const logger = { info() {}, error() {}, warn };
    caller.client = new bolt.RpcClient({ address, logger });
    caller.client.on('error', () => {});
    await caller.client.ready();
    return caller;
  }

  async call(methodName, argument) {
    const { data } = await this.client.invoke(request(methodName, argument));
    if (data.error) throw data.error;
    return data.appResponse;
  }

  // As `call`, but without the client's own timer: the answer to a request that is late must come from the other side.
  async callWithoutTimer(methodName, argument, timeout) {
    const { conn } = this.client;
    const sent = request(methodName, argument, timeout);
    const id = idsByHand.next().value;
    const answer = conn._waitResponse(id, sent);
    conn._writeRequest(id, sent);
    return (await answer).data;
  }

  oneway(methodName, argument) {
    this.client.oneway(request(methodName, argument));
  }

  heartbeat() {
    return this.client.conn.writeHeartbeat({ clientUrl: 'interop', timeout: TIMEOUT_MS });
  }

  // Waits for the answers that are still out.
  async close() {
    await this.client.close();
  }

  destroy() {
    this.client._socket.destroy();
  }
}

// The bytes of a request, as sofa-bolt-node encodes it.
function frame(id, methodName, argument, timeout) {
  const encoder = bolt.encoder({ sentReqs: new Map() });
  return encoder.protocol.requestEncode(id, request(methodName, argument, timeout), encoder.encodeOptions);
}

function heartbeatFrame(id) {
  const encoder = bolt.encoder({ sentReqs: new Map() });
  return encoder.protocol.heartbeatEncode(id, {}, encoder.encodeOptions);
}

// The header fields of a Bolt v1 response frame.
function parseResponse(bytes) {
  return {
    proto: bytes[0],
    type: bytes[1],
    command: bytes.readUInt16BE(2),
    id: bytes.readUInt32BE(5),
    status: bytes.readUInt16BE(10),
    bytes,
  };
}

class RawClient {
  static async connect(address) {
    const raw = new RawClient();
    raw.buffered = Buffer.alloc(0);
    raw.socket = net.connect(Number(address.port), address.hostname);
    raw.socket.setNoDelay(true);
    raw.socket.on('error', () => {});
    raw.chunks = raw.socket[Symbol.asyncIterator]();
    await once(raw.socket, 'connect');
    return raw;
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  async response() {
    for (;;) {
      const length = this._responseBytes();
      if (length !== null && this.buffered.length >= length) {
        const bytes = this.buffered.subarray(0, length);
        this.buffered = this.buffered.subarray(length);
        return parseResponse(bytes);
      }
      const { value, done } = await this.chunks.next();
      if (done) throw new Error('the connection was closed before an answer arrived');
      this.buffered = Buffer.concat([ this.buffered, value ]);
    }
  }

  _responseBytes() {
    const b = this.buffered;
    if (b.length < RESPONSE_HEADER_BYTES) return null;
    return RESPONSE_HEADER_BYTES + b.readUInt16BE(12) + b.readUInt16BE(14) + b.readUInt32BE(16);
  }

  // Resolves when the other side has closed the connection, fails when it sends something instead.
  async closed() {
    const { value, done } = await this.chunks.next().catch(() => ({ done: true }));
    if (!done) throw new Error(`expected the connection to be closed, got ${value.length} bytes`);
  }

  close() {
    this.socket.destroy();
  }
}

// What sofa-bolt-node makes of a response frame.
function decode(bytes) {
  const decoder = bolt.decoder({ sentReqs: new Map() });
  return new Promise((resolve, reject) => {
    decoder.on('response', resolve).on('heartbeat_ack', resolve).on('error', reject);
    decoder.end(bytes);
  });
}

module.exports = { Caller, RawClient, frame, heartbeatFrame, decode };
