'use strict';
// The proxy under test.

const fs = require('fs');
const net = require('net');
const path = require('path');
const { once } = require('events');
const { spawn } = require('child_process');
const config = require('./config');

const READY_MS_MAX = 10000;
const LOG_LINES_SHOWN = 40;

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// The proxy as a child process. Its log goes to a file, which is shown when something fails.
class Proxy {
  constructor(binary, directory, name) {
    this.binary = binary;
    this.configFile = path.join(directory, `proxy-${name}.json`);
    this.logFile = path.join(directory, `proxy-${name}.log`);
  }

  // `hosts` are addresses, `protocol` is a name of the configuration.
  async start(hosts, protocol) {
    const port = await freePort();
    fs.writeFileSync(this.configFile, JSON.stringify(config(`127.0.0.1:${port}`, hosts, protocol), null, 2));
    const log = fs.openSync(this.logFile, 'w');
    this.child = spawn(this.binary, [ '-c', this.configFile ], { stdio: [ 'ignore', log, log ] });
    fs.closeSync(log);
    this.child.on('error', error => { this.failure = error.message; });
    await this._ready(port);
    return { hostname: '127.0.0.1', port: String(port) };
  }

  async _ready(port) {
    const end = Date.now() + READY_MS_MAX;
    while (!(await connects(port))) {
      if (this.failure) throw new Error(`the proxy did not start: ${this.failure}`);
      if (!this.running()) throw new Error('the proxy ended before it listened');
      if (Date.now() > end) throw new Error(`the proxy does not listen on port ${port} after ${READY_MS_MAX} ms`);
      await new Promise(resume => setTimeout(resume, 20));
    }
  }

  kill() {
    if (this.child) this.child.kill('SIGKILL');
  }

  running() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  log() {
    if (!fs.existsSync(this.logFile)) return '';
    const lines = fs.readFileSync(this.logFile, 'utf8').trimEnd().split('\n');
    return lines.slice(-LOG_LINES_SHOWN).map(line => `  | ${line}\n`).join('');
  }
}

function connects(port) {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

async function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished after ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([ promise, late ]);
  } finally {
    clearTimeout(timer);
  }
}

module.exports = { Proxy, within, freePort };
