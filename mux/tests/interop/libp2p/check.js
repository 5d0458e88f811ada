import net from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { Incoming, WINDOW_BYTES, give, goAway, number, session, write } from './session.js';

const BACKLOG = 64;
const BULK_BYTES = 32 << 20;
const CHECK_MS_MAX = 60000;

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

async function open(muxer, what, n = 0) {
  const stream = await muxer.createStream();
  const incoming = new Incoming(stream);
  await write(stream, Buffer.concat([ Buffer.from(what), number(n) ]));
  return { stream, incoming };
}

async function echo(muxer, n) {
  const { stream, incoming } = await open(muxer, 'e');
  const there = give(stream, n).then(() => stream.close());
  const [ bytes ] = await Promise.all([ incoming.sum(), there ]);
  expect(bytes === n, `${bytes} of ${n} bytes came back`);
}

async function told({ stream, incoming }, n) {
  await stream.close();
  const count = Number((await incoming.exactly(8)).readBigUInt64BE());
  expect(count === n, `${count} of ${n} bytes arrived`);
  expect((await incoming.next()) === null, 'no end after the answer');
}

async function upload(muxer, n) {
  const opened = await open(muxer, 's');
  await give(opened.stream, n);
  await told(opened, n);
}

// Lets the streams go on that are held.
async function release(muxer) {
  const { stream, incoming } = await open(muxer, 'w');
  await stream.close();
  expect((await incoming.next()) === null, 'a release says more than that');
}

const checks = {
  async 'many streams'({ muxer }) {
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(Array.from({ length: BACKLOG }, (_, i) => echo(muxer, 500 * i + round)));
    }
  },
  async '32 MiB there'({ muxer }) {
    await upload(muxer, BULK_BYTES);
  },
  async '32 MiB back'({ muxer }) {
    const { stream, incoming } = await open(muxer, 'g', BULK_BYTES);
    const bytes = await incoming.sum();
    expect(bytes === BULK_BYTES, `${bytes} of ${BULK_BYTES} bytes came`);
    await stream.close();
  },
  async '32 MiB both ways at once'({ muxer }) {
    await echo(muxer, BULK_BYTES);
  },
  async 'half close'({ muxer }) {
    for (const n of [ 0, 1, 1000, 300000 ]) await upload(muxer, n);
    const tail = 100000;
    const { stream, incoming } = await open(muxer, 'g', 1000);
    expect((await incoming.sum()) === 1000, 'their direction did not end behind 1,000 bytes');
    await give(stream, tail); // behind their FIN
    await stream.close();
    await told(await open(muxer, 't', tail), tail);
  },
  async 'a reset of ours'({ muxer }) {
    for (let i = 0; i < 20; i += 1) {
      const { stream, incoming } = await open(muxer, 'g', 1 << 20);
      await incoming.exactly(1000);
      stream.abort(new Error('as planned'));
    }
    await told(await open(muxer, 'n', 20), 20);
    await echo(muxer, 100000);
  },
  async 'a reset of theirs'({ muxer }) {
    const { incoming } = await open(muxer, 'r');
    const error = await incoming.next().then(() => null, reason => reason);
    expect(error && error.name === 'StreamResetError', `a reset looks like ${error}`);
    await echo(muxer, 1000);
  },
  async 'a ping'({ muxer }) {
    for (let i = 0; i < 10; i += 1) await muxer.ping();
  },
  async 'a ping while the streams are stuck'({ muxer }) {
    const n = 8 << 20;
    const held = await open(muxer, 'h', n);
    const unread = await open(muxer, 'g', n);
    unread.stream.pause();
    const given = give(held.stream, n);
    // Nobody reads, on either side, and each has used up what the other gave it.
    const stuck = () => held.stream.sendWindowCapacity === 0 && unread.stream.recvWindowCapacity === 0;
    while (!stuck()) await sleep(1);
    for (let i = 0; i < 10; i += 1) await muxer.ping();
    expect(stuck() && held.stream.writeBufferLength > 0, 'the streams went on meanwhile');
    await release(muxer);
    unread.stream.resume();
    const bytes = await unread.incoming.sum();
    expect(bytes === n, `${bytes} of ${n} bytes came`);
    await given;
    await unread.stream.close();
    await told(held, n);
  },
  // The other side counts its pings and ours, and the answers to its own.
  async keepalive({ muxer }) {
    await told(await open(muxer, 'k', 3), 3);
    expect(muxer.status === 'open', 'the session did not outlive its keepalive');
    await echo(muxer, 1000);
  },
  async 'more streams than they take'({ muxer }) {
    const pause = await open(muxer, 'p');
    await pause.incoming.exactly(1);
    const streams = [];
    for (let i = 0; i < BACKLOG + 20; i += 1) streams.push(await open(muxer, 'e'));
    await muxer.ping(); // all of them have arrived
    await pause.stream.close();
    let refused = 0;
    for (const { stream, incoming } of streams) {
      const ended = stream.close().then(() => incoming.sum());
      if ((await ended.catch(error => error)) !== 0) refused += 1;
    }
    expect(refused === 20, `${refused} streams were refused, not 20`);
    await echo(muxer, 1000);
  },
  async 'a window of 1 MiB'({ muxer }) {
    const n = WINDOW_BYTES - 9; // beside the head; more would wait for a reader
    const held = await open(muxer, 'h', n);
    await give(held.stream, n);
    while (held.stream.writeBufferLength > 0) await sleep(1);
    await release(muxer);
    await told(held, n);
  },
  // The library ends its own directions before it says GoAway; the answer comes when that was heard.
  async 'a GoAway of ours leaves streams alone'({ muxer }) {
    const n = 100000;
    const { stream, incoming } = await open(muxer, 'o');
    await give(stream, n);
    await goAway(muxer);
    const count = Number((await incoming.exactly(8)).readBigUInt64BE());
    expect(count === n, `${count} of ${n} bytes arrived`);
  },
  async 'a GoAway of theirs ends the session'({ muxer, socket }) {
    const { incoming } = await open(muxer, 'a', 1000);
    const bytes = await incoming.sum();
    expect(bytes === 1000, `${bytes} of 1000 bytes came`);
    const error = await muxer.createStream().then(() => null, reason => reason);
    expect(error && error.name === 'MuxerClosedError', `after GoAway, opening a stream gives ${error}`);
    if (!socket.closed) await once(socket, 'close');
  },
};

export async function check(role, address) {
  const [ host, port ] = address.split(':');
  for (const [ name, run ] of Object.entries(checks)) {
    const socket = net.connect(port, host);
    await once(socket, 'connect');
    const opened = session(role, socket);
    const late = sleep(CHECK_MS_MAX, null, { ref: false }).then(() => { throw new Error('not finished in time'); });
    try {
      await Promise.race([ run(opened), late ]);
    } catch (error) {
      throw new Error(`${role}: ${name}: ${error.message}`);
    }
    console.log(`ok libp2p, its ${role} opens: ${name}`);
    if (opened.muxer.status === 'open') await goAway(opened.muxer);
    socket.end();
  }
}

