import net from 'node:net';
import { once } from 'node:events';

import { Incoming, WINDOW_BYTES, give, goAway, number, session, write } from './session.js';

// What has happened on a session, for the streams that wait for it.
class Seen {
  releases = 0;
  resets = 0;
  tailBytes = 0; // what a stream 'g' has read behind its own FIN
  waiting = [];

  async until(holds) {
    while (!holds()) await new Promise(resolve => this.waiting.push(resolve));
  }

  change(what) {
    Object.assign(this, what);
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

export async function serve(role) {
  const server = net.createServer(socket => {
    const { muxer } = session(role, socket);
    const seen = new Seen();
    muxer.addEventListener('stream', ({ detail: stream }) => {
      stream.addEventListener('close', ({ error }) => {
        if (error && error.name === 'StreamResetError') seen.change({ resets: seen.resets + 1 });
      });
      const incoming = new Incoming(stream);
      serveStream(muxer, stream, incoming, seen).catch(() => {}); // the checker sees it too
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  console.log(`listening on 127.0.0.1:${server.address().port}`);
}

async function serveStream(muxer, stream, incoming, seen) {
  const head = await incoming.exactly(9);
  const n = Number(head.readBigUInt64BE(1));
  const tellSum = async () => write(stream, number(await incoming.sum(n || Infinity)));
  switch (String.fromCharCode(head[0])) {
    case 'e':
      for (let bytes; (bytes = await incoming.next()) !== null;) await write(stream, bytes);
      break;
    case 's':
      await tellSum();
      break;
    case 'g':
      await give(stream, n);
      await stream.close();
      seen.change({ tailBytes: await incoming.sum() });
      return;
    case 't':
      await seen.until(() => seen.tailBytes === n);
      await write(stream, number(n));
      break;
    case 'r':
      stream.abort(new Error('as asked'));
      return;
    case 'h': {
      const { releases } = seen;
      // Until it is paused the library gives credit for all that comes.
      while (stream.recvWindow < WINDOW_BYTES) await incoming.more();
      stream.pause();
      await seen.until(() => seen.releases > releases);
      stream.resume();
      await tellSum();
      break;
    }
    case 'w':
      seen.change({ releases: seen.releases + 1 });
      break;
    case 'n':
      await seen.until(() => seen.resets >= n);
      await write(stream, number(n));
      break;
    case 'a': {
      await give(stream, n);
      await goAway(muxer); // the stream's own direction too
      const bytes = await incoming.sum();
      if (bytes !== n) console.log(`after GoAway ${bytes} of ${n} bytes came`);
      return;
    }
    default:
      throw new Error('no such service');
  }
  await stream.close();
}
