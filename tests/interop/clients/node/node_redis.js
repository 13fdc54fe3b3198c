// node-redis through every command family over RESP2 and RESP3, with its multi-commands, pub/sub,
// iterators, pool, client-side cache, connection URLs and its reconnect after a crash.

'use strict';
const { createClient, createClientPool, defineScript, BasicClientSideCache } = require('redis');
const { host, port, say, outcome, callAll, sorted, hidden, crash, until, main } =
  require('./driver.js');

const url = `redis://${host}:${port}`;
const range = (n, each) => [...Array(n).keys()].map(each);

async function connected(options = {}) {
  const client = createClient({ url, ...options });
  client.on('error', () => {});
  return client.connect();
}

const FAMILIES = {
  strings: [
    ['set', 's', 'v'], ['set', 's', 'w', { condition: 'NX' }], ['set', 's', 'w', { GET: true, expiration: { type: 'EX', value: 100 } }],
    ['ttl', 's'], ['set', 's', 'x', { expiration: 'KEEPTTL' }], ['getEx', 's', { type: 'PERSIST' }], ['getDel', 's'],
    ['mSet', { a: '1', b: '2.5' }], ['mSet', [['c', 'text'], ['d', '']]], ['mGet', ['a', 'b', 'none']],
    ['mSetNX', { a: '1', z: '2' }], ['incr', 'a'], ['incrBy', 'a', 40], ['decr', 'a'], ['decrBy', 'a', 2],
    ['incrByFloat', 'b', 0.1], ['append', 'c', '!'], ['strLen', 'c'], ['setRange', 'c', 8, 'far'],
    ['getRange', 'c', 0, 3], ['getSet', 'c', 'new'], ['setEx', 't', 9, 'v'], ['pSetEx', 't', 9000, 'v'],
    ['setNX', 't', 'v'], ['lcs', 'c', 't'], ['lcsLen', 'c', 't'], ['lcsIdxWithMatchLen', 'c', 'c'],
    ['incr', 'c'], ['lPush', 'c', '1'],
  ],
  keys: [
    ['mSet', range(30, (n) => [`k${n}`, `${n}`])], ['exists', ['k1', 'k2', 'none']], ['del', ['k1', 'none']],
    ['unlink', 'k2'], ['type', 'k3'], ['rename', 'k3', 'k3b'], ['renameNX', 'k4', 'k5'],
    ['copy', 'k5', 'k6', { REPLACE: true }], ['move', 'k7', 1], ['expire', 'k8', 100], ['expire', 'k8', 50, 'GT'],
    ['pExpireAt', 'k8', 9999999999123], ['expireTime', 'k8'], ['pExpireTime', 'k8'], ['persist', 'k8'],
    ['touch', ['k8', 'none']], ['objectEncoding', 'k8'], ['restore', 'bad', 0, 'nonsense'], ['keys', 'k1*', sorted],
    ['randomKey', hidden], ['dbSize'], ['rPush', 'l', ['3', '1', '2']], ['sort', 'l'],
    ['sort', 'l', { DIRECTION: 'DESC', GET: ['#', 'k1*'] }], ['sortStore', 'l', 'sorted'], ['rename', 'none', 'x'],
  ],
  hashes: [
    ['hSet', 'h', { a: 1, b: 2.5 }], ['hSet', 'h', 'c', 'x'], ['hSet', 'h', [['d', 'y'], ['e', 'z']]], ['hGet', 'h', 'a'],
    ['hmGet', 'h', ['a', 'none']], ['hGetAll', 'h'], ['hGetAll', 'none'], ['hKeys', 'h'], ['hVals', 'h'], ['hLen', 'h'],
    ['hExists', 'h', 'a'], ['hIncrBy', 'h', 'a', 5], ['hIncrByFloat', 'h', 'b', 0.25], ['hSetNX', 'h', 'a', '1'],
    ['hStrLen', 'h', 'c'], ['hDel', 'h', 'e'], ['hRandFieldCount', 'h', 2, hidden], ['hRandFieldCountWithValues', 'none', 2],
    ['hScan', 'h', '0'], ['hScanNoValues', 'h', '0'], ['hExpire', 'h', ['a', 'none'], 100], ['hpExpire', 'h', 'a', 100000, 'NX'],
    ['hExpireAt', 'h', 'b', 9999999999], ['hExpireTime', 'h', ['b', 'c']], ['hpExpireTime', 'h', 'b'], ['hPersist', 'h', ['b', 'c']],
    ['hTTL', 'h', 'none'], ['hpTTL', 'h', 'c'], ['hGetDel', 'h', 'd'], ['hGetEx', 'h', 'c', { expiration: { type: 'EX', value: 100 } }],
    ['hSetEx', 'h', { n: '1' }, { expiration: { type: 'EX', value: 100 } }], ['hIncrBy', 'h', 'c', 1],
  ],
  lists: [
    ['rPush', 'l', ['1', '2', '3', '4', '5']], ['lPush', 'l', '0'], ['rPushX', 'none', '1'], ['lRange', 'l', 0, -1], ['lIndex', 'l', -2],
    ['lInsert', 'l', 'AFTER', '3', 'x'], ['lSet', 'l', 0, 'zero'], ['lRem', 'l', 0, 'x'], ['lTrim', 'l', 0, 4], ['lPos', 'l', '2'],
    ['lPosCount', 'l', '2', 0], ['lPop', 'l'], ['rPopCount', 'l', 2], ['lMove', 'l', 'm', 'LEFT', 'LEFT'], ['rPopLPush', 'l', 'm'],
    ['lmPop', ['l', 'm'], 'LEFT', { COUNT: 5 }], ['blPop', 'none', 0.01], ['rPush', 'l', ['a', 'b', 'c']], ['blPop', ['none', 'l'], 1],
    ['brPop', 'l', 1], ['blMove', 'l', 'm', 'LEFT', 'RIGHT', 1], ['blmPop', 1, 'm', 'LEFT'], ['lLen', 'm'], ['lSet', 'none', 0, '1'],
  ],
  sets: [
    ['sAdd', 'one', ['a', 'b', 'c', '1']], ['sAdd', 'two', ['b', 'c', 'd']], ['sMembers', 'one', sorted], ['sIsMember', 'one', 'a'],
    ['smIsMember', 'one', ['a', 'none']], ['sCard', 'one'], ['sInter', ['one', 'two'], sorted], ['sUnion', ['one', 'two'], sorted],
    ['sDiff', ['one', 'two'], sorted], ['sInterCard', ['one', 'two'], 1], ['sInterStore', 'to', ['one', 'two']],
    ['sUnionStore', 'to', ['one', 'two']], ['sDiffStore', 'to', ['one', 'two']], ['sMove', 'one', 'two', 'a'], ['sRem', 'one', ['a', 'b']],
    ['sPop', 'one', hidden], ['sRandMemberCount', 'two', -5, hidden], ['sAdd', 'i', ['1', '2']], ['sScan', 'i', '0'],
  ],
  zsets: [
    ['zAdd', 'z', [{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }, { score: 3, value: 'c' }]],
    ['zAdd', 'z', { score: 2, value: 'a' }, { comparison: 'GT', CH: true }], ['zAddIncr', 'z', { score: 1, value: 'a' }],
    ['zScore', 'z', 'b'], ['zmScore', 'z', ['a', 'none']], ['zRange', 'z', 0, -1], ['zRangeWithScores', 'z', 0, -1],
    ['zRange', 'z', '(2', '+inf', { BY: 'SCORE', LIMIT: { offset: 0, count: 1 } }], ['zRangeByScoreWithScores', 'z', '-inf', 3],
    ['zRangeStore', 'to', 'z', 0, 1], ['zRank', 'z', 'b'], ['zRankWithScore', 'z', 'b'], ['zRevRank', 'z', 'none'], ['zCard', 'z'],
    ['zCount', 'z', 2, 3], ['zIncrBy', 'z', 0.5, 'b'], ['zAdd', 'lex', range(5, (n) => ({ score: 0, value: 'abcde'[n] }))],
    ['zRangeByLex', 'lex', '[b', '(e'], ['zLexCount', 'lex', '-', '[c'], ['zRemRangeByLex', 'lex', '[a', '[b'],
    ['zRemRangeByRank', 'lex', 0, 0], ['zRemRangeByScore', 'lex', 0, 0], ['zAdd', 'y', [{ score: 10, value: 'b' }, { score: 20, value: 'c' }]],
    ['zInterWithScores', ['z', 'y']], ['zUnionWithScores', ['z', 'y']], ['zDiffWithScores', ['z', 'y']], ['zUnionStore', 'to', ['z', 'y'], { AGGREGATE: 'MIN' }],
    ['zInterStore', 'to', ['z', 'y']], ['zDiffStore', 'to', ['z', 'y']], ['zInterCard', ['z', 'y']], ['zPopMin', 'z'], ['zPopMaxCount', 'y', 1],
    ['zmPop', ['z'], 'MAX'], ['bzPopMin', 'y', 1], ['bzPopMax', 'none', 0.01], ['bzmPop', 0.01, ['none'], 'MIN'],
    ['zAdd', 'i', [{ score: -Infinity, value: 'low' }, { score: Infinity, value: 'high' }]], ['zRangeWithScores', 'i', 0, -1],
    ['zScan', 'i', '0'], ['zRandMemberCountWithScores', 'i', 5, hidden], ['zRem', 'i', ['low', 'none']],
  ],
  streams: [
    ['xAdd', 'x', '1-1', { f: 'v', n: '1' }], ['xAdd', 'x', '2-*', { f: 'w' }], ['xAdd', 'x', '3-0', { f: 'x' }], ['xLen', 'x'],
    ['xRange', 'x', '-', '+', { COUNT: 2 }], ['xRevRange', 'x', '+', '(1-1'], ['xRead', { key: 'x', id: '1-1' }, { COUNT: 1 }],
    ['xRead', { key: 'x', id: '$' }, { BLOCK: 5 }], ['xGroupCreate', 'x', 'g', '0'], ['xGroupCreate', 'x', 'g', '0'],
    ['xGroupCreateConsumer', 'x', 'g', 'carol'], ['xReadGroup', 'g', 'alice', { key: 'x', id: '>' }, { COUNT: 2 }],
    ['xReadGroup', 'g', 'alice', { key: 'x', id: '0' }], ['xAck', 'x', 'g', '1-1'], ['xPending', 'x', 'g'],
    ['xClaim', 'x', 'g', 'bob', 0, '2-0'], ['xAutoClaim', 'x', 'g', 'carol', 0, '0'], ['xAutoClaimJustId', 'x', 'g', 'carol', 0, '0'],
    ['xInfoGroups', 'x'], ['xInfoStream', 'x', hidden], ['xDel', 'x', '1-1'], ['xTrim', 'x', 'MAXLEN', 1], ['xSetId', 'x', '9-0'],
    ['xGroupDelConsumer', 'x', 'g', 'carol'], ['xGroupSetId', 'x', 'g', '0'], ['xGroupDestroy', 'x', 'g'], ['xAdd', 'x', '1-0', { a: '1' }],
  ],
  bits: [
    ['setBit', 'b', 7, 1], ['getBit', 'b', 7], ['bitCount', 'b'], ['bitCount', 'b', { start: 0, end: 7, mode: 'BIT' }], ['bitPos', 'b', 1],
    ['setBit', 'c', 3, 1], ['bitOp', 'OR', 'to', ['b', 'c']],
    ['bitField', 'f', [{ operation: 'INCRBY', encoding: 'u2', offset: 100, increment: 1 }, { operation: 'GET', encoding: 'u4', offset: 0 }]],
    ['bitFieldRo', 'f', [{ encoding: 'i8', offset: 96 }]],
  ],
  hyperloglogs: [
    ['pfAdd', 'p', range(500, String)], ['pfCount', 'p'], ['pfAdd', 'q', 'x'], ['pfMerge', 'to', ['p', 'q']], ['pfCount', ['to', 'q']],
  ],
  geo: [
    ['geoAdd', 'g', [{ longitude: 13.361389, latitude: 38.115556, member: 'Palermo' }, { longitude: 15.087269, latitude: 37.502669, member: 'Catania' }]],
    ['geoDist', 'g', 'Palermo', 'Catania', 'km'], ['geoHash', 'g', ['Palermo', 'none']], ['geoPos', 'g', ['Palermo', 'none']],
    ['geoSearch', 'g', { longitude: 15, latitude: 37 }, { radius: 200, unit: 'km' }, { SORT: 'ASC' }],
    ['geoSearchWith', 'g', 'Palermo', { width: 400, height: 400, unit: 'km' }, ['WITHDIST', 'WITHCOORD', 'WITHHASH'], { SORT: 'DESC' }],
    ['geoSearchStore', 'near', 'g', 'Palermo', { radius: 100, unit: 'mi' }, { STOREDIST: true }], ['zRangeWithScores', 'near', 0, -1],
    ['geoRadiusByMember', 'g', 'Palermo', 10, 'km'],
  ],
  scripts: [
    ['eval', 'return {KEYS[1], ARGV[1], 3.9, true, false}', { keys: ['k'], arguments: ['a'] }],
    ['eval', "redis.setresp(3); return redis.call('HGETALL', KEYS[1])", { keys: ['none'] }],
    ['eval', "return redis.call('SET', KEYS[1], ARGV[1])", { keys: ['k'], arguments: ['v'] }],
    ['evalRo', "return redis.call('GET', KEYS[1])", { keys: ['k'] }], ['scriptLoad', 'return 7'],
    ['evalSha', '0000000000000000000000000000000000000000'], ['eval', "return redis.call('NOSUCH')"], ['double', 'n', 4],
    ['functionLoad', "#!lua name=lib\nredis.register_function('put', function(k, a) return redis.call('SET', k[1], a[1]) end)"],
    ['fCall', 'put', { keys: ['fk'], arguments: ['fv'] }], ['fCallRo', 'put', { keys: ['fk'], arguments: ['fv'] }],
    ['functionList'], ['functionStats'], ['functionDelete', 'lib'], ['fCall', 'put', { keys: ['fk'] }],
  ],
  server: [
    ['ping'], ['ping', 'text'], ['echo', 'hello'], ['clientSetName', 'tester'], ['clientGetName'], ['clientId', hidden], ['clientTrackingInfo'],
    ['configSet', 'maxmemory-samples', '7'], ['configGet', 'maxmemory-samples'], ['configSet', 'maxmemory-samples', '5'], ['info', 'server', hidden],
    ['memoryUsage', 'none'], ['commandInfo', ['get', 'set']], ['commandGetKeys', ['MSET', 'a', '1', 'b', '2']], ['wait', 0, 10], ['time', hidden],
    ['aclSetUser', 'worker', ['on', '>secret', '+@read', '~job:*']], ['aclGetUser', 'worker'], ['aclWhoAmI'], ['aclDryRun', 'worker', ['get', 'other']],
    ['aclDelUser', 'worker'], ['aclCat', 'hyperloglog', sorted], ['role', hidden], ['sendCommand', ['NOSUCH', 'a']], ['swapDb', 0, 1], ['flushDb'],
  ],
};

async function multisAndIterators(r) {
  say('== multi-commands and iterators');
  say('multi', await r.multi().set('a', '1').incr('a').get('a').exec());
  say('pipeline', await r.multi().set('a', '1').incr('a').hGetAll('h').execAsPipeline());
  say('failing', await outcome(r.multi().lPush('a', '1').incr('a').exec()));
  const other = await connected();
  await r.watch('a');
  await other.set('a', '9');
  say('void', await outcome(r.multi().incr('a').exec()));
  await r.watch('a');
  say('held', await r.multi().incr('a').exec());
  await r.mSet(range(300, (n) => [`many:${n}`, `${n}`]));
  const keys = [];
  for await (const some of r.scanIterator({ MATCH: 'many:*', COUNT: 50 })) keys.push(...some);
  say('scanIterator', new Set(keys).size);
  const pool = await createClientPool({ url }, { maximum: 5, acquireTimeout: 20000 }).connect();
  const counted = await Promise.all(range(100, () => pool.incr('pooled')));
  say('pool', Math.max(...counted));
  pool.destroy();
  await other.close();
}

async function blockingAndPubSub(r, RESP) {
  say('== blocking and pub/sub');
  const waiter = await connected({ RESP });
  const woken = waiter.blPop('later', 10);
  await until('it waits', async () => (await r.clientList()).some((c) => c.cmd === 'blpop'));
  say('rPush', await r.rPush('later', 'x'));
  say('woken', await woken);
  const heard = [];
  await waiter.subscribe(['one', 'two'], (...message) => heard.push(['message', ...message]));
  await waiter.pSubscribe('o*', (...message) => heard.push(['pmessage', ...message]));
  await waiter.sSubscribe('shard', (...message) => heard.push(['smessage', ...message]));
  say('publish', await r.publish('one', 'text'));
  say('sPublish', await r.sPublish('shard', 'text'));
  await until('three messages', () => heard.length === 3);
  say('heard', heard);
  say('numsub', await r.pubSubNumSub(['one', 'none']));
  say('channels', await r.pubSubChannels('o*'));
  await waiter.unsubscribe(['one', 'two']);
  await waiter.pUnsubscribe('o*');
  await waiter.sUnsubscribe('shard');
  say('get', await waiter.get('none'));
  await waiter.close();
}

async function cachedReads(r) {
  say('== client-side cache');
  const cache = new BasicClientSideCache({ maxEntries: 100, evictPolicy: 'LRU' });
  const cached = await connected({ RESP: 3, clientSideCache: cache });
  await r.set('c', '1');
  say('get', [await cached.get('c'), await cached.get('c')]);
  say('hits', cache.stats().hitCount);
  for (const value of ['2', '3']) {
    await r.set('c', value);
    await until('the new value', async () => (await cached.get('c')) === value);
  }
  say('hGetAll', await cached.hGetAll('h'));
  await r.hSet('h', 'f', 'v');
  await until('the new field', async () => (await cached.hGetAll('h')).f === 'v');
  await r.flushAll();
  await until('nothing', async () => (await cached.get('c')) === null);
  await cached.close();
}

async function connectionUrls(r) {
  say('== connection URLs');
  const named = await connected({ url: `${url}/3`, name: 'named' });
  say('client', (await named.sendCommand(['CLIENT', 'INFO'])).match(/ name=\S*| db=\S*/g));
  await named.close();
  await r.configSet('requirepass', 'p@ss');
  for (const password of ['p%40ss', 'wrong']) {
    const client = createClient({
      url: `redis://default:${password}@${host}:${port}`,
      socket: { reconnectStrategy: false },
    });
    client.on('error', () => {});
    say(`with ${password}`, await outcome(client.connect().then(() => client.ping())));
    if (client.isOpen) client.destroy();
  }
  await r.configSet('requirepass', '');
}

async function survivesACrash() {
  say('== kill -9');
  const socket = { reconnectStrategy: () => 20 };
  const r = await connected({ socket });
  await r.flushAll();
  const acknowledged = await Promise.all(range(300, (n) => r.rPush('acknowledged', `${n}`)));
  say('acknowledged', acknowledged.length);
  const subscriber = await connected({ socket });
  const heard = new Promise((resolve) => subscriber.subscribe('news', resolve));
  await until('the subscription is there', async () => (await r.publish('news', '')) === 1);
  await crash();
  // A command that was on its way when the connection broke may end with an error.
  await until('it is back', async () => !((await outcome(r.ping())) instanceof Error));
  say('kept', (await r.lRange('acknowledged', 0, -1)).length);
  await until('the subscription is back', async () => (await r.publish('news', 'again')) === 1);
  say('heard', typeof (await heard));
}

main(async () => {
  const double = defineScript({
    SCRIPT: "return 2 * (redis.call('GET', KEYS[1]) or ARGV[1])",
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key, other) {
      parser.pushKey(key);
      parser.push(String(other));
    },
    transformReply: undefined,
  });
  for (const RESP of [2, 3]) {
    say(`==== RESP${RESP}`);
    const r = await connected({ RESP, scripts: { double } });
    for (const [family, lines] of Object.entries(FAMILIES)) {
      await r.flushAll();
      await callAll(r, family, lines.map((line) => [...line]));
    }
    await multisAndIterators(r);
    await blockingAndPubSub(r, RESP);
    if (RESP === 3) await cachedReads(r);
    await connectionUrls(r);
    r.destroy();
  }
  await survivesACrash();
});
