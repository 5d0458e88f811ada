'use strict';
// Runs the checks of checks.js with sofa-bolt-node as client and as upstream.
//
//   node run.js PROXY_BINARY     through the proxy, with two upstream hosts
//   node run.js --direct         without a proxy: do the checks agree with sofa-bolt-node itself?
//
// Prints `ok NAME` or `not ok NAME` for each check and ends with status 1 when any failed.

const fs = require('fs');
const os = require('os');
const path = require('path');
const assert = require('assert/strict');
const checks = require('./checks');
const { Proxy, within } = require('./proxy');
const { Host, Arrivals } = require('./hosts');
const { Caller, RawClient } = require('./clients');

const CHECK_MS_MAX = 30000;

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
  const proxy = argument === '--direct' ? null : new Proxy(argument, directory, 'only');
  process.on('exit', () => {
    for (const { child } of hosts) if (child) child.kill('SIGKILL');
    if (proxy) proxy.kill();
    fs.rmSync(directory, { recursive: true });
  });
  for (const signal of [ 'SIGINT', 'SIGTERM', 'SIGHUP' ]) process.on(signal, () => process.exit(1));

  await Promise.all(hosts.map(host => host.start()));
  let failed = 1;
  try {
    const direct = { hostname: '127.0.0.1', port: String(hosts[0].port) };
    const address = proxy ? await proxy.start(hosts.map(host => `127.0.0.1:${host.port}`), 'bolt') : direct;
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
