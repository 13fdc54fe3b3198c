// redlock: several clients contend for one resource, and what happens to a lock that ran out.

'use strict';
const Redis = require('ioredis');
const Redlock = require('redlock');
const { host, port, say, outcome, assert, sleep, main } = require('./driver.js');

const CLIENTS = 6;
const TURNS = 8;

main(async () => {
  const r = new Redis({ host, port });
  let holders = 0;
  const contend = async () => {
    const client = new Redis({ host, port });
    const redlock = new Redlock([client], { retryCount: -1, retryDelay: 3, retryJitter: 3 });
    for (let turn = 0; turn < TURNS; turn += 1) {
      const lock = await redlock.lock('resource', 30000);
      holders += 1;
      assert(holders === 1, `${holders} hold the lock`);
      const count = Number(await r.get('count'));
      await sleep(1);
      await r.set('count', count + 1);
      holders -= 1;
      await lock.unlock();
    }
  };
  await Promise.all([...Array(CLIENTS)].map(contend));
  const count = Number(await r.get('count'));
  assert(count === CLIENTS * TURNS, `${count} turns were counted`);
  say('turns', count);

  const once = new Redlock([r], { retryCount: 0 });
  const brief = await once.lock('brief', 60);
  say('taken', (await outcome(once.lock('brief', 1000))).name);
  await sleep(80);
  const next = await once.lock('brief', 1000);
  // The one that ran out must not free what another holds now.
  say('late unlock', (await outcome(brief.unlock())).name);
  say('still taken', (await outcome(once.lock('brief', 1000))).name);
  await next.extend(5000);
  assert((await r.pttl('brief')) > 1000, 'extended');
  await next.unlock();
  const several = await once.lock(['one', 'two'], 1000);
  say('one of several', (await outcome(once.lock('two', 1000))).name);
  await several.unlock();
});
