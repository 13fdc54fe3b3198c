"""redis-py in its four ways of use: blocking and asyncio, each over RESP2 and RESP3."""

import asyncio
import sys

import redis
import redis.asyncio

import families
from driver import HOST, PORT, URL, crash, say, title
from families import Blocking, every


def connector(kind, protocol):
    def connect(**options):
        if kind == "asyncio":
            return redis.asyncio.Redis(host=HOST, port=PORT, protocol=protocol, **options)
        return Blocking(redis.Redis(host=HOST, port=PORT, protocol=protocol, **options))

    return connect


async def all_families(kind, protocol):
    connect = connector(kind, protocol)
    r = connect()
    for family in families.FAMILIES:
        title(f"{kind} RESP{protocol} {family.__name__}")
        await r.flushall()
        await family(r)
    title(f"{kind} RESP{protocol} acl")
    module = redis.asyncio.retry if kind == "asyncio" else redis.retry
    await families.acl(r, connect, lambda times: module.Retry(redis.backoff.NoBackoff(), times))
    await r.flushall()
    await r.aclose() if kind == "asyncio" else await r.close()


def url_options():
    title("connection URLs")
    for query in ("", "?protocol=2", "?protocol=3", "?decode_responses=true&socket_timeout=3",
                  "?client_name=from-the-url&health_check_interval=1"):
        with redis.Redis.from_url(f"redis://{HOST}:{PORT}/3{query}") as r:
            say(r.set("u", "1"))
            say(r.get("u"))
            say(r.client_info()["db"])
            say(r.client_getname())
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    with redis.Redis.from_url(URL) as r:
        r.config_set("requirepass", "p@ss")
        with redis.Redis.from_url(f"redis://:p%40ss@{HOST}:{PORT}/0") as with_password:
            say(with_password.ping())
        with redis.Redis.from_url(f"redis://default:wrong@{HOST}:{PORT}/0", retry=once) as wrong:
            try:
                say(wrong.ping())
            except redis.AuthenticationError as error:
                say(error)
        r.config_set("requirepass", "")


def cached_reads():
    """The client-side cache, which lives on the server's invalidation messages."""
    title("client-side cache")
    from redis.cache import CacheConfig

    with redis.Redis(host=HOST, port=PORT, protocol=3, cache_config=CacheConfig()) as cached, \
            redis.Redis(host=HOST, port=PORT) as other:
        other.set("c", "1")
        say(cached.get("c"))
        say(cached.get("c"))
        say(cached.get_cache().size)
        for value in ("2", "3"):
            other.set("c", value)
            # The message may come a moment after the reply to the one that wrote.
            for _ in range(500):
                found = cached.get("c")
                if found == value.encode():
                    break
            say(found)
        say(cached.hgetall("h"))
        other.hset("h", "f", "v")
        for _ in range(500):
            found = cached.hgetall("h")
            if found:
                break
        say(found)
        other.flushall()
        for _ in range(500):
            found = cached.get("c")
            if found is None:
                break
        say(found)


def survives_a_crash():
    """What was acknowledged before a kill -9 is there afterwards, over the same client object."""
    title("kill -9")
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), 200)
    for protocol in (2, 3):
        r = redis.Redis(host=HOST, port=PORT, protocol=protocol, retry=retry,
                        retry_on_error=[redis.ConnectionError, redis.BusyLoadingError])
        r.flushall()
        pipe = r.pipeline(transaction=False)
        for n in range(200):
            r.rpush("acknowledged", n)
            pipe.hset("piped", n, n)
        pipe.execute()
        with r.pipeline() as together:
            together.set("one", 1).set("two", 2).execute()
        crash()
        say(r.lrange("acknowledged", 0, -1) == [str(n).encode() for n in range(200)])
        say(r.hlen("piped"))
        say(r.mget("one", "two"))
        say(r.rpush("acknowledged", "after"))
        r.close()


async def asyncio_survives_a_crash():
    title("kill -9, asyncio")
    retry = redis.asyncio.retry.Retry(redis.backoff.ConstantBackoff(0.02), 200)
    r = redis.asyncio.Redis(host=HOST, port=PORT, retry=retry)
    await r.flushall()
    await asyncio.gather(*(r.set(f"n{n}", n) for n in range(100)))
    crash()
    say(len(await every(r.scan_iter(match="n*"))))
    say(await r.incr("n99"))
    await r.aclose()


def main():
    for kind in ("blocking", "asyncio"):
        for protocol in (2, 3):
            asyncio.run(all_families(kind, protocol))
    url_options()
    cached_reads()
    survives_a_crash()
    asyncio.run(asyncio_survives_a_crash())


if __name__ == "__main__":
    sys.exit(main())
