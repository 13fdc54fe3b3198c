"""Every command family through redis-py, written once for its blocking and its asyncio client.

`r` is an asyncio client or a `Blocking` one, which makes the blocking client look like that.
"""

import asyncio

import redis

from driver import say


class Blocking:
    """The blocking client, with calls that can be awaited."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        value = getattr(self.inner, name)
        if name in ("pipeline", "pubsub", "register_script", "client", "monitor", "lock"):
            return lambda *a, **k: Blocking(value(*a, **k))
        if name.endswith("scan_iter") or not callable(value):
            return value
        if isinstance(self.inner, redis.client.Pipeline) and not self.immediate(name):
            return value

        async def call(*args, **options):
            return await asyncio.to_thread(value, *args, **options)

        return call

    async def __call__(self, *args, **options):
        return self.inner(*args, **options)

    def immediate(self, name):
        """Whether a pipeline's method talks to the server at once."""
        if name in ("execute", "watch", "unwatch", "reset"):
            return True
        return self.inner.watching and not self.inner.explicit_transaction and name != "multi"


async def every(iterator):
    if hasattr(iterator, "__aiter__"):
        return [item async for item in iterator]
    return list(iterator)


async def refused(awaitable):
    """The error that a call ends with."""
    try:
        return ("no error", await awaitable)
    except redis.RedisError as error:
        return error


async def strings(r):
    say(await r.set("s", "value"))
    say(await r.set("s", "other", nx=True))
    say(await r.set("s", "other", xx=True, get=True))
    say(await r.set("s", "x", ex=100))
    say(await r.ttl("s"))
    say(await r.set("s", "y", keepttl=True))
    say(await r.ttl("s") in (99, 100))
    say(await r.getex("s", persist=True))
    say(await r.pttl("s"))
    say(await r.getdel("s"))
    say(await r.get("s"))
    say(await r.mset({"a": 1, "b": 2.5, "c": b"\x00\xff"}))
    say(await r.mget("a", "b", "c", "none"))
    say(await r.msetnx({"a": 1, "z": 2}))
    say(await r.incr("a", 41))
    say(await r.decrby("a", 2))
    say(await r.incrbyfloat("b", 0.1))
    say(await r.append("c", "tail"))
    say(await r.strlen("c"))
    say(await r.setrange("c", 10, "far"))
    say(await r.getrange("c", 0, -1))
    say(await r.getset("c", "new"))
    say(await r.setex("t", 10, "v"))
    say(await r.psetex("t", 10_000, "v"))
    say(await r.setnx("t", "v"))
    say(await r.lcs("a", "b"))
    await r.mset({"l1": "ohmytext", "l2": "mynewtext"})
    say(await r.lcs("l1", "l2", idx=True, minmatchlen=4, withmatchlen=True))
    say(await refused(r.incr("c")))
    say(await refused(r.lpush("c", 1)))


async def keys(r):
    await r.mset({f"k{n}": n for n in range(30)})
    say(await r.exists("k1", "k2", "none"))
    say(await r.delete("k1", "none"))
    say(await r.unlink("k2", "k3"))
    say(await r.type("k4"))
    say(await r.rename("k4", "k4b"))
    say(await r.renamenx("k5", "k6"))
    say(await r.copy("k5", "k5copy"))
    say(await r.copy("k5", "k6", replace=True))
    say(await r.move("k7", 1))
    say(await r.expire("k8", 100))
    say(await r.expire("k8", 200, gt=True))
    say(await r.expire("k8", 100, lt=True))
    say(await r.expireat("k8", 9_999_999_999))
    say(await r.expiretime("k8"))
    say(await r.pexpiretime("k8"))
    say(await r.persist("k8"))
    say(await r.touch("k8", "k9"))
    say(await r.object("encoding", "k8"))
    say(await r.dump("k8") is not None)
    say(await r.restore("k8copy", 0, await r.dump("k8")))
    say(await refused(r.restore("k8copy", 0, await r.dump("k8"))))
    say(await refused(r.restore("bad", 0, b"nonsense")))
    say(await r.get("k8copy"))
    say(sorted(await r.keys("k1*")))
    say(await r.randomkey() is not None)
    say(await r.dbsize())
    say(sorted(await every(r.scan_iter(match="k2*", count=3))))
    say(await every(r.scan_iter(_type="zset")))
    say(await r.sort("none"))
    await r.rpush("to-sort", 3, 1, 2)
    say(await r.sort("to-sort", desc=True))
    say(await r.sort("to-sort", by="nosort", get=["#", "k1*"]))
    say(await r.sort("to-sort", store="sorted"))


async def hashes(r):
    say(await r.hset("h", "f", "v"))
    say(await r.hset("h", mapping={"a": 1, "b": 2.5, "c": b"\x00"}))
    say(await r.hget("h", "f"))
    say(await r.hmget("h", "a", "none", "b"))
    say(await r.hgetall("h"))
    say(await r.hkeys("h"))
    say(await r.hvals("h"))
    say(await r.hlen("h"))
    say(await r.hexists("h", "a"))
    say(await r.hincrby("h", "a", 5))
    say(await r.hincrbyfloat("h", "b", 0.25))
    say(await r.hsetnx("h", "a", 9))
    say(await r.hstrlen("h", "f"))
    say(await r.hdel("h", "c", "none"))
    say(await r.hrandfield("h") is not None)
    say(len(await r.hrandfield("h", 2, withvalues=True)))
    await r.hset("large", mapping={f"f{n}": n for n in range(600)})
    say(len(await every(r.hscan_iter("large", count=50))))
    say(len(await every(r.hscan_iter("large", count=50, no_values=True))))
    say(await r.hexpire("h", 100, "a", "none"))
    say(await r.hpexpire("h", 100_000, "a", nx=True))
    say(await r.hexpireat("h", 9_999_999_999, "b"))
    say(await r.hpexpireat("h", 9_999_999_999_123, "f"))
    say(await r.httl("h", "a", "none"))
    say([n > 0 for n in await r.hpttl("h", "f", "none")])
    say(await r.hexpiretime("h", "b", "f"))
    say(await r.hpexpiretime("h", "b", "f"))
    say(await r.hpersist("h", "a", "b", "none"))
    say(await r.hgetdel("h", "a", "none"))
    say(await r.hgetex("h", "b", ex=100))
    say(await r.hsetex("h", "d", 1, ex=100))
    say(await r.httl("h", "b", "d"))
    say(await r.hpexpire("h", 1, "b"))
    await asyncio.sleep(0.02)
    say(await r.hgetall("h"))
    say(await refused(r.hincrby("h", "f", 1)))


async def lists(r):
    say(await r.rpush("l", 1, 2, 3, 4, 5))
    say(await r.lpush("l", 0))
    say(await r.lpushx("none", 0))
    say(await r.lrange("l", 0, -1))
    say(await r.lindex("l", -2))
    say(await r.linsert("l", "before", 3, "x"))
    say(await r.lset("l", 0, "zero"))
    say(await r.lrem("l", 1, "x"))
    say(await r.ltrim("l", 0, 4))
    say(await r.lpos("l", 2))
    say(await r.lpos("l", 2, count=0))
    say(await r.lpop("l"))
    say(await r.rpop("l", 2))
    say(await r.lmove("l", "m", "LEFT", "RIGHT"))
    say(await r.rpoplpush("l", "m"))
    say(await r.lmpop(2, "l", "m", direction="RIGHT", count=5))
    say(await r.llen("m"))
    say(await r.blpop("none", timeout=0.01))
    await r.rpush("l", "a", "b", "c")
    say(await r.blpop(["none", "l"], timeout=1))
    say(await r.brpop("l", timeout=1))
    say(await r.blmove("l", "m", 1, "LEFT", "LEFT"))
    say(await r.brpoplpush("m", "l", 1))
    say(await r.blmpop(1, 2, "none", "l", direction="LEFT"))
    waiting = asyncio.create_task(r.blpop("later", timeout=5))
    while not any(client["cmd"] == "blpop" for client in await r.client_list()):
        await asyncio.sleep(0.002)
    say(await r.rpush("later", "woken"))
    say(await waiting)
    say(await refused(r.lset("none", 0, 1)))


async def sets(r):
    say(await r.sadd("one", "a", "b", "c", 1))
    say(await r.sadd("two", "b", "c", "d"))
    say(set(await r.smembers("one")))
    say(await r.sismember("one", "a"))
    say(await r.smismember("one", "a", "none"))
    say(await r.scard("one"))
    say(set(await r.sinter("one", "two")))
    say(set(await r.sunion("one", "two")))
    say(set(await r.sdiff("one", "two")))
    say(await r.sintercard(2, ["one", "two"], limit=1))
    say(await r.sinterstore("to", "one", "two"))
    say(await r.sunionstore("to", "one", "two"))
    say(await r.sdiffstore("to", "one", "two"))
    say(await r.smove("one", "two", "a"))
    say(await r.srem("one", "a", "b"))
    say(await r.spop("one") is not None)
    say(len(await r.spop("two", 2)))
    say(await r.srandmember("two") is not None)
    say(len(await r.srandmember("two", -5)))
    await r.sadd("large", *range(1000))
    say(len(set(await every(r.sscan_iter("large", count=100)))))


async def zsets(r):
    say(await r.zadd("z", {"a": 1, "b": 2.5, "c": 3}))
    say(await r.zadd("z", {"a": 5, "d": 4}, nx=True))
    say(await r.zadd("z", {"a": 2}, gt=True, ch=True))
    say(await r.zadd("z", {"a": 1}, incr=True))
    say(await r.zscore("z", "b"))
    say(await r.zmscore("z", ["a", "none"]))
    say(await r.zrange("z", 0, -1, withscores=True))
    say(await r.zrange("z", "(2", "+inf", byscore=True, offset=0, num=2))
    say(await r.zrevrange("z", 0, 1, withscores=True))
    say(await r.zrangebyscore("z", "-inf", 3, withscores=True))
    say(await r.zrevrangebyscore("z", 3, 0, start=0, num=1))
    say(await r.zrangestore("stored", "z", 0, 1))
    say(await r.zrank("z", "b"))
    say(await r.zrank("z", "b", withscore=True))
    say(await r.zrevrank("z", "b", withscore=True))
    say(await r.zrank("z", "none"))
    say(await r.zcard("z"))
    say(await r.zcount("z", 2, 3))
    say(await r.zincrby("z", 0.5, "b"))
    await r.zadd("lex", dict.fromkeys("abcde", 0))
    say(await r.zrangebylex("lex", "[b", "(e"))
    say(await r.zrevrangebylex("lex", "+", "-"))
    say(await r.zlexcount("lex", "-", "[c"))
    say(await r.zremrangebylex("lex", "[a", "[b"))
    say(await r.zremrangebyrank("lex", 0, 0))
    say(await r.zremrangebyscore("lex", 0, 0))
    await r.zadd("y", {"b": 10, "c": 20})
    say(await r.zinter(["z", "y"], withscores=True))
    say(await r.zunion({"z": 2, "y": 1}, aggregate="MAX", withscores=True))
    say(await r.zdiff(["z", "y"], withscores=True))
    say(await r.zinterstore("to", ["z", "y"]))
    say(await r.zunionstore("to", ["z", "y"], aggregate="MIN"))
    say(await r.zdiffstore("to", ["z", "y"]))
    say(await r.zintercard(2, ["z", "y"]))
    say(await r.zpopmin("z"))
    say(await r.zpopmax("z", 2))
    say(await r.zmpop(2, ["none", "y"], max=True, count=1))
    say(await r.bzpopmin("y", 1))
    say(await r.bzpopmax("none", 0.01))
    say(await r.bzmpop(1, 1, ["z"], min=True))
    await r.zadd("large", {f"m{n}": n / 4 for n in range(1000)})
    say(len(dict(await every(r.zscan_iter("large", count=100)))))
    say(len(await r.zrandmember("large", 3, withscores=True)))
    say(await r.zrem("large", "m1", "none"))
    say(await r.zadd("inf", {"low": "-inf", "high": "inf"}))
    say(await r.zrange("inf", 0, -1, withscores=True))
    say(await refused(r.zadd("inf", {"x": "nan"})))


async def streams(r):
    say(await r.xadd("x", {"f": "v", "n": 1}, id="1-1"))
    say(await r.xadd("x", {"f": "w"}, id="2-*"))
    for n in range(3, 12):
        await r.xadd("x", {"n": n}, id=f"{n}-0")
    say(await r.xlen("x"))
    say(await r.xrange("x", count=2))
    say(await r.xrange("x", min="(2-0", max="4-0"))
    say(await r.xrevrange("x", count=1))
    say(await r.xread({"x": "9-0"}, count=5))
    say(await r.xread({"x": "$"}, block=5))
    say(await r.xtrim("x", maxlen=10, approximate=False))
    say(await r.xtrim("x", minid="3-0", approximate=False))
    say(await r.xdel("x", "3-0", "99-0"))
    say(await r.xgroup_create("x", "g", id="0"))
    say(await refused(r.xgroup_create("x", "g", id="0")))
    say(await r.xgroup_createconsumer("x", "g", "carol"))
    say(await r.xreadgroup("g", "alice", {"x": ">"}, count=3))
    say(await r.xreadgroup("g", "bob", {"x": ">"}, count=2, noack=True))
    say(await r.xreadgroup("g", "alice", {"x": "0"}))
    say(await r.xack("x", "g", "4-0"))
    say(await r.xpending("x", "g"))
    pending = await r.xpending_range("x", "g", "-", "+", 10)
    say([(p["message_id"], p["consumer"], p["times_delivered"]) for p in pending])
    say(await r.xclaim("x", "g", "bob", 0, ["5-0"]))
    say(await r.xclaim("x", "g", "bob", 0, ["6-0"], justid=True))
    say(await r.xautoclaim("x", "g", "carol", 0, count=1))
    say(await r.xautoclaim("x", "g", "carol", 0, justid=True))
    say(await r.execute_command("XSETID", "x", "50-0"))
    info = await r.xinfo_stream("x")
    say({name: info[name] for name in ("length", "groups", "last-generated-id", "entries-added")})
    full = await r.xinfo_stream("x", full=True)
    say((full["length"], len(full["groups"])))
    say(await r.xinfo_groups("x"))
    say([c["name"] for c in await r.xinfo_consumers("x", "g")])
    say(await r.xgroup_delconsumer("x", "g", "carol"))
    say(await r.xgroup_setid("x", "g", "0"))
    say(await r.xgroup_destroy("x", "g"))
    say(await refused(r.xadd("x", {"a": 1}, id="1-0")))
    say(await refused(r.xreadgroup("none", "c", {"x": ">"})))


async def bits(r):
    say(await r.setbit("b", 7, 1))
    say(await r.getbit("b", 7))
    await r.set("b2", b"\xff\xf0\x00")
    say(await r.bitcount("b2"))
    say(await r.bitcount("b2", 5, 30, "BIT"))
    say(await r.bitpos("b2", 0))
    say(await r.bitpos("b2", 1, 2))
    say(await r.bitop("AND", "to", "b", "b2"))
    say(await r.bitop("NOT", "to", "b2"))
    say(await r.get("to"))
    say(await r.bitfield("f", "SAT").incrby("u2", 0, 9).get("u8", 0).set("i8", "#1", -5).execute()
        if not isinstance(r, Blocking)
        else r.inner.bitfield("f", "SAT").incrby("u2", 0, 9).get("u8", 0).set("i8", "#1", -5).execute())
    say(await r.bitfield_ro("f", "u8", 0))


async def hyperloglogs(r):
    say(await r.pfadd("p", *range(1000)))
    say(await r.pfcount("p"))
    say(await r.pfadd("q", "x", "y"))
    say(await r.pfmerge("to", "p", "q"))
    say(await r.pfcount("to", "q"))
    await r.set("no", "text")
    say(await refused(r.pfcount("no")))


async def geo(r):
    say(await r.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")))
    say(await r.geodist("g", "Palermo", "Catania", unit="km"))
    say(await r.geohash("g", "Palermo", "none"))
    say(await r.geopos("g", "Palermo", "none"))
    say(await r.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC"))
    say(await r.geosearch("g", member="Palermo", width=400, height=400, unit="km",
                          withdist=True, withcoord=True, withhash=True, sort="DESC"))
    say(await r.geosearchstore("near", "g", member="Palermo", radius=100, unit="mi", storedist=True))
    say(await r.zrange("near", 0, -1, withscores=True))
    say(await r.georadius("g", 15, 37, 200, unit="km", withdist=True, count=1))
    say(await r.georadiusbymember("g", "Palermo", 200, unit="km"))
    say(await refused(r.geoadd("g", (200, 0, "nowhere"))))


async def scripts(r):
    say(await r.eval("return {KEYS[1], ARGV[1], 3.9, true, false}", 1, "k", "a"))
    say(await r.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, "k", "v"))
    say(await r.eval_ro("return redis.call('GET', KEYS[1])", 1, "k"))
    digest = await r.script_load("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    say(digest)
    say(await r.evalsha(digest, 1, "n", 5))
    say(await r.script_exists(digest, "0" * 40))
    add = r.register_script("return redis.call('INCRBY', KEYS[1], 2 * ARGV[1])")
    say(await add(keys=["n"], args=[4]))
    say(await r.script_flush())
    say(await add(keys=["n"], args=[4]))
    say(await refused(r.evalsha("0" * 40, 0)))
    say(await refused(r.eval("return redis.call('NOSUCH')", 0)))
    say(await refused(r.eval("return redis.error_reply('MY own error')", 0)))
    say(await refused(r.eval("syntax error here", 0)))
    code = """#!lua name=lib
    redis.register_function('put', function(keys, args)
      return redis.call('SET', keys[1], args[1])
    end)
    redis.register_function{function_name='take', flags={'no-writes'}, callback=function(keys)
      return redis.call('GET', keys[1])
    end}"""
    say(await r.function_load(code))
    say(await r.function_load(code, replace=True))
    say(await refused(r.function_load(code)))
    say(await r.fcall("put", 1, "fk", "fv"))
    say(await r.fcall_ro("take", 1, "fk"))
    say(await refused(r.fcall_ro("put", 1, "fk", "fv")))
    say(len(await r.function_list()))
    dump = await r.function_dump()
    say(await r.function_delete("lib"))
    say(await r.function_restore(dump))
    say(await r.function_flush())


async def transactions(r):
    pipe = r.pipeline(transaction=True)
    pipe.set("a", 1).incr("a").lpush("l", "x").get("a")
    say(await pipe.execute())
    pipe = r.pipeline(transaction=False)
    pipe.set("a", 1).incr("l").get("a")
    say(await pipe.execute(raise_on_error=False))
    pipe = r.pipeline()
    pipe.incr("l")
    pipe.get("a")
    say(await pipe.execute(raise_on_error=False))
    pipe = r.pipeline()
    pipe.execute_command("GET")
    say(await refused(pipe.execute()))
    pipe = r.pipeline(transaction=False)
    for n in range(1000):
        pipe.rpush("many", n)
    say((await pipe.execute())[-1])
    # WATCH: a change in between makes EXEC void.
    pipe = r.pipeline()
    await pipe.watch("a")
    held = int(await pipe.get("a"))
    await r.set("a", 100)
    pipe.multi()
    pipe.set("a", held + 1)
    say(await refused(pipe.execute()))
    await pipe.watch("a")
    held = int(await pipe.get("a"))
    pipe.multi()
    pipe.set("a", held + 1)
    say(await pipe.execute())
    say(await r.get("a"))
    await pipe.reset()


async def server(r):
    say(await r.ping())
    say(await r.echo("hello"))
    say(await r.client_setname("tester"))
    say(await r.client_getname())
    say((await r.client_info())["name"])
    say(await r.client_no_evict("ON"))
    say(len(await r.time()))
    say(await r.config_set("maxmemory-samples", 7))
    say(await r.config_get("maxmemory-samples"))
    say(await r.config_set("maxmemory-samples", 5))
    say((await r.info("server"))["redis_mode"])
    say((await r.memory_usage("none")))
    say(await r.command_count() > 200)
    say((await r.execute_command("COMMAND", "INFO", "get"))["get"]["arity"])
    say(await r.command_getkeys("MSET", "a", 1, "b", 2))
    say(await r.wait(0, 10))
    say(await r.swapdb(0, 1))
    say(await r.swapdb(0, 1))
    say(await r.flushdb())
    say(await refused(r.execute_command("NOSUCH", "a", "b")))
    say(await refused(r.execute_command("GET")))
    say(await refused(r.config_set("no-such", "1")))
    say(await r.slowlog_len() >= 0)
    say(len(await r.role()))


async def acl(r, connect, retries):
    say(await r.acl_setuser("worker", enabled=True, reset=True, passwords=["+secret"],
                            categories=["+@read"], commands=["+set"], keys=["job:*"]))
    say((await r.acl_getuser("worker"))["commands"])
    say(await r.acl_whoami())
    say(sorted(await r.acl_users()))
    say(await r.acl_dryrun("worker", "get", "other"))
    user = connect(username="worker", password="secret")
    say(await user.set("job:1", "x"))
    say(await refused(user.set("other", "x")))
    say(await refused(user.delete("job:1")))
    # Without the retries of this client, which would take seconds.
    once = retries(0)
    wrong = connect(username="worker", password="wrong", retry=once)
    say(await refused(wrong.ping()))
    say(len(await r.acl_log()))
    say(await r.acl_log_reset())
    say(await r.acl_deluser("worker"))
    for client in (user, wrong):
        await client.aclose() if hasattr(client, "aclose") else await client.close()


async def pubsub(r):
    reader = r.pubsub()

    async def following():
        for _ in range(500):
            message = await reader.get_message(timeout=0.01)
            if message:
                return message
        return "no message"

    await reader.subscribe("news")
    say(await following())
    await reader.psubscribe("n*")
    say(await following())
    say(await r.publish("news", "one"))
    say(await following())
    say(await following())
    say(await r.pubsub_channels())
    say(await r.pubsub_numsub("news"))
    say(await r.pubsub_numpat())
    await reader.ssubscribe("shard")
    say(await following())
    say(await r.spublish("shard", "two"))
    for _ in range(500):
        message = await reader.get_sharded_message(timeout=0.01) if hasattr(
            reader, "get_sharded_message") else await reader.get_message(timeout=0.01)
        if message:
            break
    say(message)
    await reader.unsubscribe("news")
    say(await following())
    await reader.punsubscribe("n*")
    say(await following())
    await r.config_set("notify-keyspace-events", "KEA")
    await reader.psubscribe("__key*__:noticed")
    say(await following())
    await r.set("noticed", 1)
    say(await following())
    await r.config_set("notify-keyspace-events", "")
    await (reader.aclose() if hasattr(reader, "aclose") else reader.close())


FAMILIES = [strings, keys, hashes, lists, sets, zsets, streams, bits, hyperloglogs, geo, scripts,
            transactions, server, pubsub]
