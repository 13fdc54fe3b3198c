// ioredis through every command family, with its pipelines, transactions, streams of keys, custom
// commands, its reconnect after a crash and its connection URLs.

'use strict';
const Redis = require('ioredis');
const { host, port, say, outcome, callAll, sorted, hidden, crash, until, main } =
  require('./driver.js');

const range = (n, each) => [...Array(n).keys()].flatMap(each);

const FAMILIES = {
  strings: [
    ['set', 's', 'v'], ['set', 's', 'w', 'NX'], ['set', 's', 'w', 'EX', 100, 'XX', 'GET'],
    ['ttl', 's'], ['set', 's', 'x', 'KEEPTTL'], ['getex', 's', 'PERSIST'], ['getdel', 's'],
    ['mset', { a: 1, b: 2.5 }], ['mset', 'c', 'text', 'd', ''], ['mget', 'a', 'b', 'none'],
    ['msetnx', 'a', 1, 'z', 2], ['incr', 'a'], ['incrby', 'a', 40], ['decr', 'a'],
    ['incrbyfloat', 'b', '0.1'], ['append', 'c', '!'], ['strlen', 'c'], ['setrange', 'c', 8, 'far'],
    ['getrange', 'c', 0, 3], ['getBuffer', 'c'], ['getset', 'c', 'new'], ['setex', 't', 9, 'v'],
    ['psetex', 't', 9000, 'v'], ['setnx', 't', 'v'], ['lcs', 'c', 't', 'LEN'], ['incr', 'c'],
    ['lpush', 'c', 1], ['set', 's', 'v', 'EX', 0], ['set', 's'],
  ],
  keys: [
    ['mset', ...range(30, (n) => [`k${n}`, n])], ['exists', 'k1', 'k2', 'none'],
    ['del', 'k1', 'none'], ['unlink', 'k2'], ['type', 'k3'], ['rename', 'k3', 'k3b'],
    ['renamenx', 'k4', 'k5'], ['copy', 'k5', 'k6', 'REPLACE'], ['move', 'k7', 1],
    ['expire', 'k8', 100], ['expire', 'k8', 50, 'GT'], ['pexpireat', 'k8', 9999999999123],
    ['expiretime', 'k8'], ['pexpiretime', 'k8'], ['persist', 'k8'], ['touch', 'k8', 'none'],
    ['object', 'ENCODING', 'k8'], ['dumpBuffer', 'k8', hidden], ['restore', 'bad', 0, 'nonsense'],
    ['keys', 'k1*', sorted], ['randomkey', hidden], ['dbsize'], ['scan', 0, 'COUNT', 1000, hidden],
    ['rpush', 'l', 3, 1, 2], ['sort', 'l'], ['sort', 'l', 'DESC', 'GET', '#', 'GET', 'k1*'],
    ['sort_ro', 'l', 'ALPHA'], ['sort', 'l', 'STORE', 'sorted'], ['rename', 'none', 'x'],
  ],
  hashes: [
    ['hset', 'h', { a: 1, b: 2.5 }], ['hset', 'h', 'c', 'x', 'd', 'y'], ['hmset', 'h', { e: 5 }],
    ['hget', 'h', 'a'], ['hmget', 'h', 'a', 'none'], ['hgetall', 'h'], ['hgetallBuffer', 'h'],
    ['hgetall', 'none'], ['hkeys', 'h'], ['hvals', 'h'], ['hlen', 'h'], ['hexists', 'h', 'a'],
    ['hincrby', 'h', 'a', 5], ['hincrbyfloat', 'h', 'b', 0.25], ['hsetnx', 'h', 'a', 1],
    ['hstrlen', 'h', 'c'], ['hdel', 'h', 'e'], ['hrandfield', 'h', 2, hidden],
    ['hscan', 'h', 0, 'COUNT', 100], ['hscan', 'h', 0, 'NOVALUES'],
    ['hexpire', 'h', 100, 'FIELDS', 2, 'a', 'none'], ['hpexpire', 'h', 1e5, 'NX', 'FIELDS', 1, 'a'],
    ['hexpireat', 'h', 9999999999, 'FIELDS', 1, 'b'], ['hexpiretime', 'h', 'FIELDS', 2, 'b', 'c'],
    ['hpexpiretime', 'h', 'FIELDS', 1, 'b'], ['hpersist', 'h', 'FIELDS', 2, 'b', 'c'],
    ['httl', 'h', 'FIELDS', 1, 'none'], ['hgetdel', 'h', 'FIELDS', 1, 'd'],
    ['hgetex', 'h', 'EX', 100, 'FIELDS', 1, 'c'], ['hsetex', 'h', 'EX', 200, 'FIELDS', 1, 'n', 1],
    ['hincrby', 'h', 'c', 1], ['hexpire', 'h', -1, 'FIELDS', 1, 'c'], ['hgetall', 'h'],
  ],
  lists: [
    ['rpush', 'l', 1, 2, 3, 4, 5], ['lpush', 'l', 0], ['rpushx', 'none', 1], ['lrange', 'l', 0, -1],
    ['lindex', 'l', -2], ['linsert', 'l', 'AFTER', 3, 'x'], ['lset', 'l', 0, 'zero'],
    ['lrem', 'l', 0, 'x'], ['ltrim', 'l', 0, 4], ['lpos', 'l', 2], ['lpos', 'l', 9],
    ['lpos', 'l', 2, 'COUNT', 0], ['lpop', 'l'], ['rpop', 'l', 2], ['lmove', 'l', 'm', 'LEFT', 'LEFT'],
    ['rpoplpush', 'l', 'm'], ['lmpop', 2, 'l', 'm', 'LEFT', 'COUNT', 5], ['blpop', 'none', 0.01],
    ['rpush', 'l', 'a', 'b', 'c'], ['blpop', 'none', 'l', 1], ['brpop', 'l', 1],
    ['blmove', 'l', 'm', 'LEFT', 'RIGHT', 1], ['blmpop', 1, 1, 'm', 'LEFT'], ['llen', 'm'],
    ['lset', 'none', 0, 1],
  ],
  sets: [
    ['sadd', 'one', 'a', 'b', 'c', 1], ['sadd', 'two', ['b', 'c', 'd']], ['smembers', 'one', sorted],
    ['sismember', 'one', 'a'], ['smismember', 'one', 'a', 'none'], ['scard', 'one'],
    ['sinter', 'one', 'two', sorted], ['sunion', 'one', 'two', sorted], ['sdiff', 'one', 'two', sorted],
    ['sintercard', 2, 'one', 'two', 'LIMIT', 1], ['sinterstore', 'to', 'one', 'two'],
    ['sunionstore', 'to', 'one', 'two'], ['sdiffstore', 'to', 'one', 'two'], ['smove', 'one', 'two', 'a'],
    ['srem', 'one', 'a', 'b'], ['spop', 'one', hidden], ['srandmember', 'two', -5, hidden],
    ['sadd', 'i', 1, 2, 3], ['sscan', 'i', 0], ['object', 'encoding', 'i'],
  ],
  zsets: [
    ['zadd', 'z', 1, 'a', 2.5, 'b', 3, 'c'], ['zadd', 'z', 'GT', 'CH', 2, 'a'], ['zadd', 'z', 'INCR', 1, 'a'],
    ['zscore', 'z', 'b'], ['zmscore', 'z', 'a', 'none'], ['zrange', 'z', 0, -1, 'WITHSCORES'],
    ['zrange', 'z', '(2', '+inf', 'BYSCORE', 'LIMIT', 0, 1], ['zrevrange', 'z', 0, 1],
    ['zrangebyscore', 'z', '-inf', 3, 'WITHSCORES'], ['zrevrangebyscore', 'z', 3, 0],
    ['zrangestore', 'to', 'z', 0, 1], ['zrank', 'z', 'b'], ['zrank', 'z', 'b', 'WITHSCORE'],
    ['zrevrank', 'z', 'none'], ['zcard', 'z'], ['zcount', 'z', 2, 3], ['zincrby', 'z', 0.5, 'b'],
    ['zadd', 'lex', ...range(5, (n) => [0, 'abcde'[n]])], ['zrangebylex', 'lex', '[b', '(e'],
    ['zlexcount', 'lex', '-', '[c'], ['zremrangebylex', 'lex', '[a', '[b'], ['zremrangebyrank', 'lex', 0, 0],
    ['zremrangebyscore', 'lex', 0, 0], ['zadd', 'y', 10, 'b', 20, 'c'], ['zinter', 2, 'z', 'y', 'WITHSCORES'],
    ['zunion', 2, 'z', 'y', 'WEIGHTS', 2, 1, 'WITHSCORES'], ['zdiff', 2, 'z', 'y'],
    ['zunionstore', 'to', 2, 'z', 'y', 'AGGREGATE', 'MIN'], ['zinterstore', 'to', 2, 'z', 'y'],
    ['zdiffstore', 'to', 2, 'z', 'y'], ['zintercard', 2, 'z', 'y'], ['zpopmin', 'z'], ['zpopmax', 'y', 1],
    ['zmpop', 1, 'z', 'MAX'], ['bzpopmin', 'y', 1], ['bzpopmax', 'none', 0.01],
    ['bzmpop', 0.01, 1, 'none', 'MIN'], ['zadd', 'i', '-inf', 'low', '+inf', 'high'],
    ['zrange', 'i', 0, -1, 'WITHSCORES'], ['zscan', 'i', 0], ['zrandmember', 'i', 1, hidden],
    ['zrem', 'i', 'low', 'none'], ['zadd', 'i', 'nan', 'x'],
  ],
  streams: [
    ['xadd', 'x', '1-1', 'f', 'v', 'n', 1], ['xadd', 'x', '2-*', 'f', 'w'], ['xadd', 'x', '3-0', 'f', 'x'],
    ['xlen', 'x'], ['xrange', 'x', '-', '+', 'COUNT', 2], ['xrevrange', 'x', '+', '(1-1'],
    ['xread', 'COUNT', 1, 'STREAMS', 'x', '1-1'], ['xread', 'BLOCK', 5, 'STREAMS', 'x', '$'],
    ['xgroup', 'CREATE', 'x', 'g', 0], ['xgroup', 'CREATE', 'x', 'g', 0],
    ['xgroup', 'CREATECONSUMER', 'x', 'g', 'carol'],
    ['xreadgroup', 'GROUP', 'g', 'alice', 'COUNT', 2, 'STREAMS', 'x', '>'],
    ['xreadgroup', 'GROUP', 'g', 'alice', 'STREAMS', 'x', 0], ['xack', 'x', 'g', '1-1'],
    ['xpending', 'x', 'g'], ['xclaim', 'x', 'g', 'bob', 0, '2-0'], ['xautoclaim', 'x', 'g', 'carol', 0, 0],
    ['xinfo', 'GROUPS', 'x'], ['xinfo', 'STREAM', 'x', hidden], ['xdel', 'x', '1-1'],
    ['xtrim', 'x', 'MAXLEN', 1], ['xsetid', 'x', '9-0'], ['xgroup', 'DELCONSUMER', 'x', 'g', 'carol'],
    ['xgroup', 'DESTROY', 'x', 'g'], ['xadd', 'x', '1-0', 'a', 1], ['xadd', 'none', 'NOMKSTREAM', '*', 'a', 1],
  ],
  bits: [
    ['setbit', 'b', 7, 1], ['getbit', 'b', 7], ['bitcount', 'b'], ['bitcount', 'b', 0, 7, 'BIT'],
    ['bitpos', 'b', 1], ['setbit', 'c', 3, 1], ['bitop', 'OR', 'to', 'b', 'c'], ['getBuffer', 'to'],
    ['bitfield', 'f', 'INCRBY', 'u2', 100, 1, 'OVERFLOW', 'SAT', 'SET', 'i8', '#0', 200, 'GET', 'u4', 0],
    ['bitfield_ro', 'f', 'GET', 'i8', 0],
  ],
  hyperloglogs: [
    ['pfadd', 'p', ...range(500, (n) => [n])], ['pfcount', 'p'], ['pfadd', 'q', 'x'],
    ['pfmerge', 'to', 'p', 'q'], ['pfcount', 'to', 'q'],
  ],
  geo: [
    ['geoadd', 'g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'],
    ['geodist', 'g', 'Palermo', 'Catania', 'km'], ['geohash', 'g', 'Palermo', 'none'],
    ['geopos', 'g', 'Palermo', 'none'],
    ['geosearch', 'g', 'FROMLONLAT', 15, 37, 'BYRADIUS', 200, 'km', 'ASC', 'WITHDIST', 'WITHCOORD'],
    ['geosearchstore', 'near', 'g', 'FROMMEMBER', 'Palermo', 'BYBOX', 400, 400, 'km', 'STOREDIST'],
    ['zrange', 'near', 0, -1, 'WITHSCORES'], ['georadius', 'g', 15, 37, 200, 'km', 'WITHHASH'],
    ['georadiusbymember', 'g', 'Palermo', 10, 'km'],
  ],
  scripts: [
    ['eval', 'return {KEYS[1], ARGV[1], 3.9, true, false}', 1, 'k', 'a'],
    ['eval', "return redis.call('SET', KEYS[1], ARGV[1])", 1, 'k', 'v'],
    ['eval_ro', "return redis.call('GET', KEYS[1])", 1, 'k'], ['script', 'LOAD', 'return 7'],
    ['evalsha', '59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9', 0],
    ['script', 'EXISTS', '0000000000000000000000000000000000000000'],
    ['eval', "return redis.call('NOSUCH')", 0], ['eval', "return redis.pcall('INCR', KEYS[1])", 1, 'k'],
    ['function', 'LOAD', "#!lua name=lib\nredis.register_function('put', function(k, a) return redis.call('SET', k[1], a[1]) end)"],
    ['fcall', 'put', 1, 'fk', 'fv'], ['fcall_ro', 'put', 1, 'fk', 'fv'], ['function', 'LIST'],
    ['function', 'DELETE', 'lib'], ['fcall', 'put', 1, 'fk', 'fv'],
  ],
  server: [
    ['ping'], ['ping', 'text'], ['echo', 'hello'], ['client', 'SETNAME', 'tester'], ['client', 'GETNAME'],
    ['client', 'LIST', hidden], ['config', 'SET', 'maxmemory-samples', 7],
    ['config', 'GET', 'maxmemory-samples'], ['config', 'SET', 'maxmemory-samples', 5],
    ['info', 'server', hidden], ['memory', 'USAGE', 'none'], ['command', 'INFO', 'get'],
    ['command', 'GETKEYS', 'MSET', 'a', 1, 'b', 2], ['wait', 0, 10], ['time', hidden],
    ['acl', 'SETUSER', 'worker', 'on', '>secret', '+@read', '~job:*'], ['acl', 'GETUSER', 'worker'],
    ['acl', 'WHOAMI'], ['acl', 'DRYRUN', 'worker', 'get', 'other'], ['acl', 'DELUSER', 'worker'],
    ['slowlog', 'LEN', hidden], ['role', hidden], ['call', 'NOSUCH', 'a'], ['swapdb', 0, 1], ['flushdb'],
  ],
};

async function pipelinesAndTransactions(r) {
  say('== pipelines and transactions');
  say('pipeline', await r.pipeline().set('a', 1).incr('a').lpush('a', 1).get('a').exec());
  say('multi', await r.multi().set('a', 1).incr('a').lpush('a', 1).get('a').exec());
  say('aborted', await outcome(r.multi().set('a').get('a').exec()));
  const other = r.duplicate();
  await r.watch('a');
  await other.set('a', 9);
  say('void', await r.multi().incr('a').exec());
  await r.watch('a');
  say('held', await r.multi().incr('a').exec());
  r.defineCommand('double', { numberOfKeys: 1, lua: "return 2 * redis.call('GET', KEYS[1])" });
  say('script', await r.double('a'));
  await r.script('FLUSH');
  say('script again', await r.double('a'));
  const auto = new Redis({ host, port, enableAutoPipelining: true });
  const counted = await Promise.all(range(200, () => [auto.incr('auto')]));
  say('auto-pipelined', counted[199]);
  const keys = [];
  await r.mset(...range(300, (n) => [`many:${n}`, n]));
  for await (const some of r.scanStream({ match: 'many:*', count: 50 })) keys.push(...some);
  say('scanStream', new Set(keys).size);
  await other.quit();
  await auto.quit();
}

async function blockingAndPubSub(r) {
  say('== blocking and pub/sub');
  const waiter = r.duplicate();
  const woken = waiter.blpop('later', 10);
  await until('it waits', async () => (await r.client('LIST')).includes('cmd=blpop'));
  say('rpush', await r.rpush('later', 'x'));
  say('woken', await woken);
  const heard = [];
  waiter.on('message', (...message) => heard.push(['message', ...message]));
  waiter.on('pmessage', (...message) => heard.push(['pmessage', ...message]));
  waiter.on('smessage', (...message) => heard.push(['smessage', ...message]));
  say('subscribe', await waiter.subscribe('one', 'two'));
  say('psubscribe', await waiter.psubscribe('o*'));
  say('ssubscribe', await waiter.ssubscribe('shard'));
  say('publish', await r.publish('one', 'text'));
  say('spublish', await r.spublish('shard', 'text'));
  await until('three messages', () => heard.length === 3);
  say('heard', heard);
  say('numsub', await r.pubsub('NUMSUB', 'one', 'none'));
  say('refused', await outcome(waiter.get('a')));
  say('unsubscribe', await waiter.unsubscribe('one', 'two'));
  say('punsubscribe', await waiter.punsubscribe('o*'));
  say('sunsubscribe', await waiter.sunsubscribe('shard'));
  say('get', await waiter.get('a'));
  await waiter.quit();
}

async function connectionUrls(r) {
  say('== connection URLs');
  const tried = [`redis://${host}:${port}/3`, `redis://${host}:${port}/3?connectionName=named`];
  for (const url of tried) {
    const client = new Redis(url);
    say('set', await client.set('u', 1));
    say('client', (await client.client('INFO')).match(/name=\S*|db=\S*/g));
    await client.quit();
  }
  await r.config('SET', 'requirepass', 'p@ss');
  for (const password of ['p%40ss', 'wrong']) {
    const client = new Redis(`redis://:${password}@${host}:${port}`, { retryStrategy: null });
    client.on('error', (error) => say('error event', error));
    say(`with ${password}`, await outcome(client.set('u', 1)));
    client.disconnect();
  }
  await r.config('SET', 'requirepass', '');
}

async function survivesACrash() {
  say('== kill -9');
  const r = new Redis({ host, port, retryStrategy: () => 20, maxRetriesPerRequest: null });
  let lost = 0;
  r.on('close', () => (lost += 1));
  await r.flushall();
  const acknowledged = await Promise.all(range(300, (n) => [r.rpush('acknowledged', n)]));
  say('acknowledged', acknowledged.length);
  const subscriber = r.duplicate();
  await subscriber.subscribe('news');
  const heard = new Promise((resolve) => subscriber.on('message', (_, text) => resolve(text)));
  await crash();
  say('kept', (await r.lrange('acknowledged', 0, -1)).length);
  say('connection lost', lost > 0);
  // Subscriptions come back by themselves.
  await until('the subscription is back', async () => (await r.publish('news', 'again')) === 1);
  say('heard', await heard);
}

main(async () => {
  const r = new Redis({ host, port });
  for (const [family, lines] of Object.entries(FAMILIES)) {
    await r.flushall();
    await callAll(r, family, lines);
  }
  await pipelinesAndTransactions(r);
  await blockingAndPubSub(r);
  await connectionUrls(r);
  r.disconnect();
  await survivesACrash();
});
