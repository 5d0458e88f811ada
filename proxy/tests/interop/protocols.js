'use strict';
// Clients and servers of other projects, directly, through one proxy, and through two chained ones.
//
//   node protocols.js PROXY_BINARY
//   node protocols.js --direct        without a proxy: do the checks agree with the pairs themselves?
//
// Prints `ok NAME` or `not ok NAME` for each check and ends with status 1 when any failed.

const assert = require('assert/strict');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { once } = require('events');
const { Proxy, within } = require('./proxy');
const { pairs, noted, REFUSED } = require('./pairs');

const CHECK_MS_MAX = 30000;

const text = (length, seed) => `${seed} grüße `.repeat(Math.ceil(length / 8)).slice(0, length);

// Each gets the environment of `runPair` and is told by its name.
const checks = {
  async 'echo of 0 to 300000 characters'(env) {
    const client = await env.client();
    for (const length of [ 0, 1, 127, 1024, 16384, 65536, 300000 ]) {
      if (length === 0 && env.pair.failsOnEmptyText) continue;
      assert.equal(await client.echo(text(length, length)), text(length, length));
    }
  },
  async '200 concurrent calls on 10 connections'(env) {
    const clients = await Promise.all(Array.from({ length: 10 }, () => env.client()));
    const calls = Array.from({ length: 200 }, async (_, i) => {
      assert.equal(await clients[i % 10].echo(text(100 + i * 37, i)), text(100 + i * 37, i));
    });
    await Promise.all(calls);
  },
  async 'an exception of the service reaches the caller'(env) {
    const client = await env.client();
    await assert.rejects(client.fail(), error => error.message.includes(REFUSED));
    assert.equal(await client.echo('after'), 'after');
  },
  async 'oneways arrive, each once, and disturb nothing'(env) {
    const client = await env.client();
    if (!client.note) return 'this client has none';
    const tags = Array.from({ length: 20 }, () => `note ${env.tag()}`);
    const arrived = tags.map(tag => once(noted, tag));
    for (const tag of tags) await client.note(tag);
    await Promise.all(arrived);
    assert.equal(await client.echo('after'), 'after');
    return undefined;
  },
  async 'a server that dies fails the calls that wait, and the next server is used'(env) {
    if (!env.proxied) return 'the client of a server that dies is not what is tested';
    const client = await env.client();
    const waiting = client.wait();
    const failed = assert.rejects(waiting);
    assert.equal(await client.echo('both are there'), 'both are there');
    await env.restart();
    await failed;
    for (;;) {
      const answer = await client.echo('again').catch(() => null); // refused as long as the proxy backs off
      if (answer === 'again') return undefined;
      await new Promise(resume => setTimeout(resume, 20));
    }
  },
};

// How many proxies stand between client and server, and what the first listens for.
const ways = [
  { name: 'directly', proxies: 0 },
  { name: 'through a proxy', proxies: 1 },
  { name: 'through two proxies, the first of which finds out the protocol', proxies: 2 },
];

let tags = 0;

class Environment {
  constructor(pair, binary, directory, proxies) {
    Object.assign(this, { pair, binary, directory, proxied: proxies > 0, proxies: [], clients: [] });
    this.names = { 0: [], 1: [ pair.protocol ], 2: [ 'Auto', pair.protocol ] }[proxies];
  }

  async start() {
    this.server = await this.pair.serve();
    let { port } = this.server;
    // From the server to the client: the last proxy first.
    for (const name of this.names.toReversed()) {
      const proxy = new Proxy(this.binary, this.directory, `${this.names.length}-${this.proxies.length}`);
      this.proxies.push(proxy);
      ({ port } = await proxy.start([ `127.0.0.1:${port}` ], name));
    }
    this.port = Number(port);
  }

  async client() {
    const client = await this.pair.connect(this.port);
    this.clients.push(client);
    return client;
  }

  // Another server of the same kind in the place of the first, which is dropped with its connections.
  async restart() {
    const { port } = this.server;
    await this.server.close();
    this.server = await this.pair.serve(port);
  }

  tag() { return tags += 1; }

  async leave() {
    await Promise.all(this.clients.splice(0).map(client => client.close()));
  }

  async end() {
    for (const proxy of this.proxies) proxy.kill();
    await this.server.close();
  }
}

async function runPair(pair, way, binary, directory) {
  let failed = 0;
  const env = new Environment(pair, binary, directory, way.proxies);
  await env.start();
  for (const [ name, check ] of Object.entries(checks)) {
    const title = `${pair.name}, ${way.name}: ${name}`;
    try {
      const skipped = await within(CHECK_MS_MAX, check(env));
      for (const proxy of env.proxies) assert.ok(proxy.running(), 'a proxy ended');
      console.log(skipped ? `ok ${title} # skipped: ${skipped}` : `ok ${title}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${title}\n  ${String(error.message).replaceAll('\n', '\n  ')}`);
      for (const proxy of env.proxies) console.log(proxy.log());
    }
    await env.leave();
  }
  await env.end();
  return failed;
}

async function main(argument) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'interop-'));
  process.on('exit', () => fs.rmSync(directory, { recursive: true }));
  for (const signal of [ 'SIGINT', 'SIGTERM', 'SIGHUP' ]) process.on(signal, () => process.exit(1));
  const chosen = argument === '--direct' ? ways.slice(0, 1) : ways;
  let failed = 0;
  for (const pair of pairs) for (const way of chosen) failed += await runPair(pair, way, argument, directory);
  console.log(failed ? `${failed} interop checks failed` : 'all interop checks of the protocols passed');
  process.exit(failed ? 1 : 0);
}

if (process.argv.length !== 3) {
  console.error('usage: node protocols.js PROXY_BINARY | --direct');
  process.exit(2);
}
main(process.argv[2]).catch(error => {
  console.error(error);
  process.exit(1);
});
