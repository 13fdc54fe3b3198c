// rate-limiter-flexible at its exact limit: over ioredis and over node-redis, from several
// connections at once, with and without its insurance of a Lua script.

'use strict';
const Redis = require('ioredis');
const { createClient } = require('redis');
const { RateLimiterRedis } = require('rate-limiter-flexible');
const { host, port, say, assert, until, main } = require('./driver.js');

const POINTS = 100;
const ATTEMPTS = 60;

async function allowedOf(limiter, key, attempts) {
  const ends = await Promise.allSettled([...Array(attempts)].map(() => limiter.consume(key)));
  for (const end of ends) {
    // A refusal is a result with a time to wait, and never an error. In the window's last
    // millisecond that time is zero.
    if (end.status === 'rejected') assert(end.reason.msBeforeNext >= 0, String(end.reason));
  }
  return ends.filter((end) => end.status === 'fulfilled').length;
}

main(async () => {
  const clients = [];
  for (let n = 0; n < 2; n += 1) {
    clients.push({ storeClient: new Redis({ host, port, enableOfflineQueue: true }) });
    const client = await createClient({ url: `redis://${host}:${port}` }).connect();
    clients.push({ storeClient: client, useRedisPackage: true });
  }
  const options = { points: POINTS, duration: 600, keyPrefix: 'exact' };
  const limiters = clients.map((client) => new RateLimiterRedis({ ...client, ...options }));
  const allowed = await Promise.all(limiters.map((limiter) => allowedOf(limiter, 'k', ATTEMPTS)));
  const sum = allowed.reduce((one, other) => one + other);
  say('allowed', sum);
  assert(sum === POINTS, `${sum} of ${POINTS} were let through`);
  for (const limiter of limiters) {
    const state = await limiter.get('k');
    assert(state.consumedPoints === 4 * ATTEMPTS && state.remainingPoints === 0, state);
    await limiter.reward('k', 4 * ATTEMPTS);
    assert((await limiter.get('k')).consumedPoints === 0, 'rewarded');
    await limiter.penalty('k', 4 * ATTEMPTS);
  }
  await limiters[0].delete('k');
  assert((await limiters[1].get('k')) === null, 'deleted');

  for (const client of clients.slice(0, 2)) {
    const brief = new RateLimiterRedis({
      ...client, points: 2, duration: 1, blockDuration: 1, keyPrefix: 'brief',
    });
    assert((await allowedOf(brief, 'b', 5)) === 2, 'two at once');
    await until('the window is open again', async () => (await allowedOf(brief, 'b', 1)) === 1, 10);
    await brief.delete('b');
  }
  say('windows open again');
});
