'use strict';
// Clients and servers of other projects, in pairs that speak one protocol each. A pair has
//
//   name, protocol   the protocol's name in the proxy's configuration
//   serve(port?)     a server: { port, close() }, which drops its connections when it is closed
//   connect(port)    a client: { echo(text), fail(), note(tag)?, wait(), close() }
//
// `echo` answers its argument, `fail` answers an exception with the text REFUSED, `note` is a oneway, `wait` is never
// answered. `noted` says which tags have arrived. `failsOnEmptyText` marks a pair that does so without a proxy too.

const net = require('net');
const { once, EventEmitter } = require('events');
const bolt = require('sofa-bolt-node');
const dubbo = require('dubbo-remoting');
const { RpcClient } = require('sofa-rpc-node').client;
const { RpcServer } = require('sofa-rpc-node').server;
const { freePort } = require('./proxy');
const { ThriftClient, thriftServer } = require('./thrift-echo');

const SERVICE = 'org.example.EchoService';
const TIMEOUT_MS = 20000;
const REFUSED = 'refused by the service';
const noted = new EventEmitter().setMaxListeners(0);
const logger = { info() {}, warn() {}, error() {}, debug() {} };

// Closes what is open, so that the ports do not outlive a check.
async function listening(server, port = 0) {
  const sockets = new Set();
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  if (!server.listening) {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  }
  return {
    port: server.address().port,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

// sofa-bolt-node's encoder and decoder with a socket between them.
class BoltPeer {
  constructor(socket, version) {
    this.socket = socket;
    this.sent = new Map();
    this.nextId = 1;
    const options = { sentReqs: this.sent };
    this.encoder = bolt.encoder(options);
    if (version > 1) {
      this.encoder.protocolType = 'bolt2';
      this.encoder.boltVersion = version - 1; // 2: without a checksum, 3: with one
      this.encoder.crcEnable = version === 3;
    }
    this.decoder = bolt.decoder(options);
    this.encoder.pipe(socket);
    socket.on('error', () => {}).pipe(this.decoder);
    this.decoder.on('error', error => socket.destroy(error));
    this.decoder.on('heartbeat', heartbeat => this.encoder.writeHeartbeatAck(heartbeat));
  }
}

const boltMethods = {
  echo: request => ({ appResponse: request.data.args[0] }),
  fail: () => ({ isError: true, errorMsg: REFUSED }),
  note: request => { noted.emit(request.data.args[0]); },
  wait: () => {},
};

class BoltClient extends BoltPeer {
  static async connect(port, version) {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const client = new BoltClient(socket, version);
    client.version = version;
    client.decoder.on('response', answer => {
      const waiting = client.sent.get(answer.packetId);
      client.sent.delete(answer.packetId);
      waiting.answered(answer);
    });
    return client;
  }

  call(methodName, argument, rpcType) {
    const id = this.nextId++;
    const req = { serverSignature: `${SERVICE}:1.0`, methodName, args: [ argument ], timeout: TIMEOUT_MS, rpcType };
    return new Promise((answered, failed) => {
      this.sent.set(id, { req, answered });
      this.encoder.writeRequest(id, req, error => error && failed(error));
    }).then(answer => {
      // The answer is in the version of the question, checksum included.
      const { protocolType, boltVersion, crcEnable } = answer.options;
      const found = protocolType === 'bolt2' ? boltVersion + 1 : 1;
      if (found !== this.version || Boolean(crcEnable) !== (this.version === 3)) {
        throw new Error(`a call in version ${this.version} was answered in ${found}`);
      }
      if (answer.data.error) throw answer.data.error;
      return answer.data.appResponse;
    });
  }

  echo(text) { return this.call('echo', text); }
  fail() { return this.call('fail', ''); }
  wait() { return this.call('wait', ''); }
  close() { this.socket.destroy(); }
}

function boltServer(port) {
  return listening(net.createServer(socket => {
    const peer = new BoltPeer(socket, 1);
    peer.decoder.on('request', request => {
      const response = boltMethods[request.data.methodName](request);
      // Its own version is the request's.
      if (response) peer.encoder.writeResponse(request, { isError: false, ...response });
    });
  }), port);
}

// sofa-rpc-node, without its registry: a server that is told nothing but its port, a client that is told where to go.
function sofaRpc(name, protocol, options, more) {
  return {
    name,
    protocol,
    ...more,
    async serve(givenPort) {
      const port = givenPort || await freePort();
      const server = new RpcServer({ logger, port, ...options });
      server.addService({ interfaceName: SERVICE }, {
        async echo(text) { return text; },
        async fail() { throw new Error(REFUSED); },
        async wait() { return new Promise(() => {}); },
      });
      await server.start();
      return listening(server._servers[0]);
    },
    async connect(port) {
      const client = new RpcClient({ logger, ...options });
      const consumer = client.createConsumer({
        interfaceName: SERVICE, serverHost: `${protocol}://127.0.0.1:${port}`, responseTimeout: TIMEOUT_MS,
      });
      await consumer.ready();
      const call = (method, args) => consumer.invoke(method, args, { responseTimeout: TIMEOUT_MS });
      return {
        echo: text => call('echo', [ text ]),
        fail: () => call('fail', []),
        wait: () => call('wait', []),
        close: () => client.close(),
      };
    },
  };
}

const boltPair = (name, version) => (
  { name, protocol: 'bolt', serve: boltServer, connect: port => BoltClient.connect(port, version) }
);

const pairs = [
  boltPair('sofa-bolt-node, Bolt v1', 1),
  boltPair('sofa-bolt-node, Bolt v2', 2),
  boltPair('sofa-bolt-node, Bolt v2 with checksums', 3),
  sofaRpc('sofa-rpc-node, Bolt', 'bolt', {}),
  sofaRpc('sofa-rpc-node with dubbo-remoting, Dubbo', 'dubbo', { protocol: dubbo }, { failsOnEmptyText: true }),
  {
    name: 'Apache Thrift, framed binary',
    protocol: 'thrift',
    serve: port => listening(thriftServer(REFUSED, noted), port),
    connect: port => ThriftClient.connect(port, null),
  },
  {
    name: 'Apache Thrift, multiplexed',
    protocol: 'thrift',
    serve: port => listening(thriftServer(REFUSED, noted, SERVICE), port),
    connect: port => ThriftClient.connect(port, SERVICE),
  },
];

module.exports = { pairs, noted, REFUSED };
