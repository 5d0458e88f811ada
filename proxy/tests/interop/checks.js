'use strict';
// The checks, in order. Each gets the environment of run.js:
//   address    what the clients connect to
//   hosts      the two upstream hosts (one when there is no proxy)
//   arrivals   what has arrived at the hosts
//   client()   a connected sofa-bolt-node client, closed after the check; it must not have been sent anything unasked
//   raw()      a connected client of frames, closed after the check
// A check marked `proxy` asks for what only the proxy does.

const assert = require('assert/strict');
const { frame, heartbeatFrame, decode } = require('./clients');

const STATUS = { success: 0, timeout: 7, connectionClosed: 0x10 };
const COMMAND = { heartbeat: 0, response: 2 };
const RESPONSE = 0;

const checks = [];
const check = (name, run) => checks.push({ name, run, proxy: false });
const proxyCheck = (name, run) => checks.push({ name, run, proxy: true });

let tags = 0;
const newTag = () => `tag-${tags += 1}`;

// Bytes that differ from one seed to the next and do not repeat with a small period.
function body(length, seed) {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed + 1;
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

async function echoes(caller, bytes) {
  const answer = await caller.call('echo', bytes);
  assert.ok(bytes.equals(answer), `${bytes.length} bytes came back as ${answer && answer.length} others`);
}

for (const length of [ 0, 1, 127, 1024, 16384, 65536, 100000, 300000 ]) {
  check(`echo of ${length} bytes`, async env => {
    const caller = await env.client();
    for (let round = 0; round < 5; round += 1) await echoes(caller, body(length, round));
  });
}

check('echo of text outside ASCII', async env => {
  const text = 'grüße, 你好, \u{1F980}'.repeat(50);
  assert.equal(await (await env.client()).call('echo', text), text);
});

check('200 concurrent calls on one connection', async env => {
  const caller = await env.client();
  const calls = Array.from({ length: 200 }, (_, i) => echoes(caller, body(100 + i * 37, i)));
  await Promise.all(calls);
});

check('200 concurrent calls on 20 connections', async env => {
  const callers = await Promise.all(Array.from({ length: 20 }, () => env.client()));
  const calls = Array.from({ length: 200 }, (_, i) => echoes(callers[i % 20], body(100 + i * 37, i)));
  await Promise.all(calls);
});

check('50 concurrent calls of 300000 bytes', async env => {
  const callers = await Promise.all(Array.from({ length: 5 }, () => env.client()));
  await Promise.all(Array.from({ length: 50 }, (_, i) => echoes(callers[i % 5], body(300000, i))));
});

proxyCheck('both hosts are used', async env => {
  const before = await Promise.all(env.hosts.map(host => host.counts()));
  const caller = await env.client();
  for (let i = 0; i < 20; i += 1) await echoes(caller, body(10, i));
  const after = await Promise.all(env.hosts.map(host => host.counts()));
  const shares = after.map((counts, i) => counts.requests - before[i].requests);
  assert.equal(shares[0] + shares[1], 20);
  assert.ok(Math.min(...shares) > 0, `20 calls were shared as ${shares}`);
});

proxyCheck('many clients share the upstream connections', async env => {
  const before = await Promise.all(env.hosts.map(host => host.counts()));
  const callers = await Promise.all(Array.from({ length: 50 }, () => env.client()));
  await Promise.all(callers.map((caller, i) => echoes(caller, body(500, i))));
  const after = await Promise.all(env.hosts.map(host => host.counts()));
  const opened = after.reduce((sum, counts, i) => sum + counts.connections - before[i].connections, 0);
  assert.ok(opened < 10, `50 clients opened ${opened} upstream connections`);
});

check('answers in the reverse order of the requests', async env => {
  const caller = await env.client();
  const held = Array.from({ length: 20 }, newTag);
  const pending = new Map(held.map(tag => [ tag, caller.call('hold', tag) ]));
  const owners = new Map();
  for (const tag of held) owners.set(tag, await env.arrivals.of('held', tag));
  await echoes(caller, body(64, 1)); // overtakes all of them
  for (const tag of held.reverse()) {
    await owners.get(tag).release(tag);
    assert.equal(await pending.get(tag), tag); // and those sent before it are still waiting
  }
});

check('an exception of the service reaches the caller', async env => {
  const caller = await env.client();
  await assert.rejects(caller.call('fail', 'x'), /refused by the service/);
  await echoes(caller, body(64, 2));
});

check('oneway requests arrive, each once, and have no answer', async env => {
  const caller = await env.client();
  const sent = Array.from({ length: 20 }, newTag);
  for (const tag of sent) caller.oneway('note', tag);
  for (const tag of sent) await env.arrivals.of('noted', tag);
  await echoes(caller, body(64, 3));
});

proxyCheck('the answer to a oneway goes nowhere', async env => {
  const caller = await env.client();
  const sent = Array.from({ length: 20 }, newTag);
  for (const tag of sent) caller.oneway('noteAnswered', tag);
  for (const tag of sent) await env.arrivals.of('noted', tag);
  for (let i = 0; i < 8; i += 1) await echoes(caller, body(64, i));
});

check('a heartbeat is answered', async env => {
  const caller = await env.client();
  const answers = await Promise.all([ caller.heartbeat(), echoes(caller, body(64, 4)), caller.heartbeat() ]);
  assert.equal(answers[0].packetType, 'heartbeat_ack');
  assert.equal(answers[2].packetType, 'heartbeat_ack');
});

check('the heartbeat answer is an empty frame of the same id', async env => {
  const raw = await env.raw();
  raw.write(heartbeatFrame(0x7fffffff));
  const { bytes, ...header } = await raw.response();
  assert.deepEqual(header, {
    proto: 1, type: RESPONSE, command: COMMAND.heartbeat, id: 0x7fffffff, status: STATUS.success,
  });
  assert.equal(bytes.length, 20);
});

check('a frame sent byte by byte', async env => {
  const raw = await env.raw();
  for (const byte of frame(7, 'echo', 'slowly')) {
    raw.write(Buffer.from([ byte ]));
    await new Promise(setImmediate); // one write call each
  }
  const answer = await raw.response();
  assert.equal(answer.id, 7);
  assert.equal((await decode(answer.bytes)).data.appResponse, 'slowly');
});

check('a hundred frames in one write', async env => {
  const raw = await env.raw();
  raw.write(Buffer.concat(Array.from({ length: 100 }, (_, i) => frame(1000 + i, 'echo', `frame ${i}`))));
  const seen = new Set();
  for (let i = 0; i < 100; i += 1) {
    const answer = await raw.response();
    assert.equal((await decode(answer.bytes)).data.appResponse, `frame ${answer.id - 1000}`);
    seen.add(answer.id);
  }
  assert.equal(seen.size, 100);
});

proxyCheck('a time-out is answered with status 7 and the late answer is dropped', async env => {
  const raw = await env.raw();
  const tag = newTag();
  raw.write(frame(0x12345678, 'hold', tag, 250));
  const answer = await raw.response();
  assert.deepEqual(
    [ answer.type, answer.command, answer.id, answer.status ],
    [ RESPONSE, COMMAND.response, 0x12345678, STATUS.timeout ]
  );
  assert.ok((await decode(answer.bytes)).data.error instanceof Error);

  await (await env.arrivals.of('held', tag)).release(tag);
  for (let id = 1; id <= 8; id += 1) {
    raw.write(frame(id, 'echo', 'after'));
    assert.equal((await raw.response()).id, id);
  }
});

proxyCheck('the real client understands the time-out answer', async env => {
  const caller = await env.client();
  const tag = newTag();
  const data = await caller.callWithoutTimer('hold', tag, 250);
  assert.ok(data.error instanceof Error);
  await (await env.arrivals.of('held', tag)).release(tag);
  await echoes(caller, body(64, 5));
});

proxyCheck('a client that leaves in the middle of its requests harms nobody', async env => {
  const caller = await env.client();
  const raw = await env.raw();
  const sent = Array.from({ length: 10 }, newTag);
  raw.write(Buffer.concat(sent.map((tag, i) => frame(i + 1, 'hold', tag))));
  const owners = [];
  for (const tag of sent) owners.push(await env.arrivals.of('held', tag));
  raw.write(frame(99, 'echo', 'cut').subarray(0, 30));
  raw.close();
  for (const [ i, tag ] of sent.entries()) await owners[i].release(tag);
  for (let i = 0; i < 8; i += 1) await echoes(caller, body(64, i));
});

proxyCheck('bytes that are not Bolt close that connection only', async env => {
  const caller = await env.client();
  const raw = await env.raw();
  raw.write(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
  await raw.closed();
  await echoes(caller, body(64, 6));
});

proxyCheck('a frame that announces 4 GiB closes that connection only', async env => {
  const caller = await env.client();
  const raw = await env.raw();
  const bytes = frame(1, 'echo', 'x');
  bytes.writeUInt32BE(0xffffffff, 18);
  raw.write(bytes);
  await raw.closed();
  await echoes(caller, body(64, 7));
});

proxyCheck('a host that dies: its calls get status 0x10 once, the others their answers', async env => {
  const raw = await env.raw();
  const sent = Array.from({ length: 20 }, newTag);
  raw.write(Buffer.concat(sent.map((tag, i) => frame(i, 'hold', tag))));
  const owners = [];
  for (const tag of sent) owners.push(await env.arrivals.of('held', tag));
  const [ survivor, victim ] = env.hosts;
  await victim.kill();

  const lost = owners.filter(owner => owner === victim).length;
  assert.ok(lost > 0 && lost < sent.length);
  const answered = new Set();
  for (let i = 0; i < lost; i += 1) {
    const answer = await raw.response();
    assert.equal(answer.status, STATUS.connectionClosed);
    assert.equal(owners[answer.id], victim);
    answered.add(answer.id);
  }
  for (const [ i, tag ] of sent.entries()) if (owners[i] === survivor) await survivor.release(tag);
  for (let i = lost; i < sent.length; i += 1) {
    const answer = await raw.response();
    assert.equal(answer.status, STATUS.success);
    assert.equal(owners[answer.id], survivor);
    answered.add(answer.id);
  }
  assert.equal(answered.size, sent.length);
});

proxyCheck('with a host down every call is answered, by the other host or with status 0x10', async env => {
  const raw = await env.raw();
  let good = 0;
  for (let id = 0; id < 20; id += 1) {
    raw.write(frame(id, 'echo', 'x'));
    const answer = await raw.response();
    assert.equal(answer.id, id);
    assert.ok([ STATUS.success, STATUS.connectionClosed ].includes(answer.status), `status ${answer.status}`);
    good += answer.status === STATUS.success;
  }
  assert.ok(good > 0);
});

proxyCheck('a host that comes back is used again', async env => {
  const [ , revived ] = env.hosts;
  await revived.start();
  const caller = await env.client();
  while ((await revived.counts()).requests === 0) {
    await caller.call('echo', 'x').catch(() => {}); // refused as long as the proxy backs off
    await new Promise(resume => setTimeout(resume, 20));
  }
  for (let i = 0; i < 20; i += 1) await echoes(caller, body(64, i));
});

check('everything works at the end as at the beginning', async env => {
  const callers = await Promise.all(Array.from({ length: 10 }, () => env.client()));
  await Promise.all(Array.from({ length: 200 }, (_, i) => echoes(callers[i % 10], body(i * 53, i))));
  for (const host of env.hosts) assert.deepEqual(host.undecodable, []);
});

module.exports = checks;
