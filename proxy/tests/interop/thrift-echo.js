'use strict';
// What Thrift's compiler would make of this service, written by hand:
//
//   service Echo {
//     string echo(1: string text),
//     string fail(),
//     string wait(),
//     oneway void note(1: string text),
//   }

const { once } = require('events');
const thrift = require('thrift');

const { CALL, REPLY, EXCEPTION, ONEWAY } = thrift.Thrift.MessageType;
const { STRING, STOP } = thrift.Thrift.Type;
const options = { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol };

// A struct of at most one string, which arguments and results have in common.
function writeText(output, field, text) {
  output.writeStructBegin('text');
  if (text !== undefined) {
    output.writeFieldBegin('text', STRING, field);
    output.writeString(text);
    output.writeFieldEnd();
  }
  output.writeFieldStop();
  output.writeStructEnd();
}

function readText(input) {
  let text;
  input.readStructBegin();
  for (;;) {
    const { ftype } = input.readFieldBegin();
    if (ftype === STOP) break;
    if (ftype === STRING) text = input.readString();
    else input.skip(ftype);
    input.readFieldEnd();
  }
  input.readStructEnd();
  return text;
}

// The shape that thrift.createClient wants: a constructor of (transport, protocol class), with `_reqs` and `recv_*`.
class EchoClient {
  constructor(output, Protocol) {
    this.output = output;
    this.Protocol = Protocol;
    this._seqid = 0;
    this._reqs = {};
    for (const method of [ 'echo', 'fail', 'wait' ]) {
      this[`recv_${method}`] = (input, type, id) => this._receive(input, type, id);
    }
  }

  seqid() { return this._seqid; }
  new_seqid() { return this._seqid += 1; }

  call(method, type, text) {
    return new Promise((resolve, reject) => {
      const id = this.new_seqid();
      if (type === CALL) this._reqs[id] = (error, answer) => (error ? reject(error) : resolve(answer));
      const output = new this.Protocol(this.output);
      output.writeMessageBegin(method, type, id);
      writeText(output, 1, text);
      output.writeMessageEnd();
      this.output.flush();
      if (type === ONEWAY) resolve();
    });
  }

  _receive(input, type, id) {
    const callback = this._reqs[id];
    delete this._reqs[id];
    if (type === EXCEPTION) {
      const exception = new thrift.Thrift.TApplicationException();
      exception.read(input);
      input.readMessageEnd();
      return callback(exception);
    }
    const text = readText(input);
    input.readMessageEnd();
    return callback(null, text);
  }
}

class ThriftClient {
  static async connect(port, service) {
    const client = new ThriftClient();
    client.connection = thrift.createConnection('127.0.0.1', port, options);
    // Whatever goes wrong ends all calls that wait.
    const ended = error => {
      for (const id of Object.keys(client.calls ? client.calls._reqs : {})) {
        client.calls._reqs[id](error || new Error('closed'));
      }
    };
    client.connection.on('error', ended).on('close', () => ended());
    await once(client.connection, 'connect');
    client.calls = service
      ? new thrift.Multiplexer().createClient(service, { Client: EchoClient }, client.connection)
      : thrift.createClient({ Client: EchoClient }, client.connection);
    return client;
  }

  echo(text) { return this.calls.call('echo', CALL, text); }
  fail() { return this.calls.call('fail', CALL); }
  wait() { return this.calls.call('wait', CALL); }
  note(tag) { return this.calls.call('note', ONEWAY, tag); }
  close() { this.connection.end(); }
}

function processor(refused, noted) {
  const answer = (output, method, id, type, write) => {
    output.writeMessageBegin(method, type, id);
    write();
    output.writeMessageEnd();
    output.flush();
  };
  return {
    process(input, output) {
      const { fname, rseqid } = input.readMessageBegin();
      const text = readText(input);
      input.readMessageEnd();
      if (fname === 'echo') {
        answer(output, fname, rseqid, REPLY, () => writeText(output, 0, text));
      } else if (fname === 'note') {
        noted.emit(text);
      } else if (fname === 'fail') {
        const error = new thrift.Thrift.TApplicationException(
          thrift.Thrift.TApplicationExceptionType.INTERNAL_ERROR, refused
        );
        answer(output, fname, rseqid, EXCEPTION, () => error.write(output));
      }
    },
  };
}

// A server of one service, or of one that its clients must name.
function thriftServer(refused, noted, service) {
  let served = processor(refused, noted);
  if (service) {
    const multiplexed = new thrift.MultiplexedProcessor();
    multiplexed.registerProcessor(service, served);
    served = multiplexed;
  }
  const server = thrift.createMultiplexServer(served, options);
  server.on('error', () => {});
  return server;
}

module.exports = { ThriftClient, thriftServer };
