'use strict';
// Runs the checks of checks.js with sofa-bolt-node as client and as upstream.
//
//   node run.js PROXY_BINARY     through the proxy, with two upstream hosts
//   node run.js --direct         without a proxy: do the checks agree with sofa-bolt-node itself?
//
// Prints `ok NAME` or `not ok NAME` for each check and ends with status 1 when any failed.

const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const assert = require('assert/strict');
const { once } = require('events');
const { spawn } = require('child_process');
const checks = require('./checks');
const config = require('./config');
const { Host, Arrivals } = require('./hosts');
const { Caller, RawClient } = require('./clients');

const CHECK_MS_MAX = 30000;
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
  constructor(binary, directory) {
    this.binary = binary;
    this.directory = directory;
    this.logFile = path.join(directory, 'proxy.log');
  }

  async start(hosts) {
    const port = await freePort();
    const file = path.join(this.directory, 'proxy.json');
    const upstream = hosts.map(host => `127.0.0.1:${host.port}`);
    fs.writeFileSync(file, JSON.stringify(config(`127.0.0.1:${port}`, upstream), null, 2));
    const log = fs.openSync(this.logFile, 'w');
    this.child = spawn(this.binary, [ '-c', file ], { stdio: [ 'ignore', log, log ] });
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

// One check: its clients are closed afterwards, and none may have been sent what it had not asked for.
async function runCheck(check, shared) {
  const callers = [];
  const raws = [];
  const env = {
    ...shared,
    async client() {
      callers.push(await Caller.connect(shared.address));
      return callers[callers.length - 1];
    },
    async raw() {
      raws.push(await RawClient.connect(shared.address));
      return raws[raws.length - 1];
    },
  };
  try {
    await within(CHECK_MS_MAX, check.run(env));
    for (const caller of callers) assert.deepEqual(caller.strays, []);
    await within(CHECK_MS_MAX, Promise.all(callers.map(caller => caller.close())));
  } finally {
    for (const caller of callers) caller.destroy();
    for (const raw of raws) raw.close();
  }
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

async function runChecks(shared, proxy) {
  let failed = 0;
  const chosen = checks.filter(check => proxy || !check.proxy);
  for (const check of chosen) {
    try {
      await runCheck(check, shared);
      if (proxy && !proxy.running()) throw new Error('the proxy ended');
      console.log(`ok ${check.name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${check.name}\n  ${error.message.replaceAll('\n', '\n  ')}`);
    }
  }
  console.log(`${chosen.length - failed} of ${chosen.length} interop checks passed`);
  return failed;
}

async function main(argument) {
  const arrivals = new Arrivals();
  const hosts = Array.from({ length: argument === '--direct' ? 1 : 2 }, () => new Host(arrivals));
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'interop-'));
  const proxy = argument === '--direct' ? null : new Proxy(argument, directory);
  process.on('exit', () => {
    for (const { child } of [ ...hosts, ...(proxy ? [ proxy ] : []) ]) if (child) child.kill('SIGKILL');
    fs.rmSync(directory, { recursive: true });
  });
  for (const signal of [ 'SIGINT', 'SIGTERM', 'SIGHUP' ]) process.on(signal, () => process.exit(1));

  await Promise.all(hosts.map(host => host.start()));
  let failed = 1;
  try {
    const direct = { hostname: '127.0.0.1', port: String(hosts[0].port) };
    const address = proxy ? await proxy.start(hosts) : direct;
    failed = await runChecks({ address, hosts, arrivals }, proxy);
  } catch (error) {
    console.log(`not ok the checks can start\n  ${error.message}`);
  }
  if (failed && proxy) console.log(`the end of the proxy's log:\n${proxy.log()}`);
  process.exit(failed ? 1 : 0);
}

if (process.argv.length !== 3) {
  console.error('usage: node run.js PROXY_BINARY | --direct');
  process.exit(2);
}
main(process.argv[2]);
