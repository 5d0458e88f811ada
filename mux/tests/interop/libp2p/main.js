// @chainsafe/libp2p-yamux as the other side of the interop checks. The services are described in
// peer/serve.rs, the checks ask of that program what its own checks ask of this one.
//
//   node main.js serve client|server            prints "listening on ADDRESS"
//   node main.js check client|server ADDRESS

import { check } from './check.js';
import { serve } from './serve.js';

const [ mode, role, address ] = process.argv.slice(2);
if (mode === 'serve' && role) {
  await serve(role);
} else if (mode === 'check' && address) {
  await check(role, address).catch(error => {
    console.error(`error: ${error.message}`);
    process.exit(1);
  });
  process.exit(0);
} else {
  console.error('usage: node main.js serve ROLE | check ROLE ADDRESS');
  process.exit(2);
}
