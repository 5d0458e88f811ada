'use strict';
// The upstream hosts as the checks see them: started, asked, told to release an answer, killed.

const path = require('path');
const { fork } = require('child_process');
const { EventEmitter, once } = require('events');

class Host {
  constructor(arrivals) {
    this.arrivals = arrivals;
    this.port = 0;
    this.undecodable = [];
  }

  // The port of the first start is kept, so that a killed host comes back where it was.
  async start() {
    this.child = fork(path.join(__dirname, 'upstream.js'), [String(this.port)]);
    this.child.on('message', message => this._hear(message));
    const [first] = await once(this.child, 'message');
    this.port = first.port;
  }

  _hear(message) {
    if (message.event === 'undecodable') this.undecodable.push(message.reason);
    this.child.emit(message.event, message);
    if (message.tag !== undefined) this.arrivals.arrive(message.event, message.tag, this);
  }

  async counts() {
    const answer = once(this.child, 'counts');
    this.child.send({ ask: 'counts' });
    return (await answer)[0];
  }

  // Resolves when the answer has been given to the host's socket.
  async release(tag) {
    const done = this.arrivals.of('released', tag);
    this.child.send({ release: tag });
    await done;
  }

  async kill() {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

// What has arrived at which host. A check may ask before or after it happens. Each tag is used once.
class Arrivals {
  constructor() {
    this.events = new EventEmitter().setMaxListeners(0);
    this.seen = new Map();
  }

  arrive(event, tag, host) {
    this.seen.set(`${event} ${tag}`, host);
    this.events.emit(`${event} ${tag}`, host);
  }

  async of(event, tag) {
    const key = `${event} ${tag}`;
    return this.seen.get(key) || (await once(this.events, key))[0];
  }
}

module.exports = { Host, Arrivals };
