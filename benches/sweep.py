#!/usr/bin/env python3
"""Every family of commands, small values and large ones: the server's CPU time per request beside a real server's.

    benches/sweep.py REDIS_SERVER FASTNESS [--only WORD] [--rounds 11] [--over 1.1]

Requests are sent in pipelines over one connection to both servers in turns, and the median of the rounds counts: CPU time,
not the clock, so other programs on the machine disturb it little. The ratio is the median of each round's own: a machine may
turn to half its speed for a second, and two turns that follow one another see the same one. Both servers run on one core, this
program on another. Without a log. Prints a table, worst ratios first.
"""
import argparse, hashlib, os, random, shutil, socket, statistics, subprocess, sys, tempfile, time

CORES = sorted(os.sched_getaffinity(0))
END = b"$7\r\nthe-end\r\n"

def words(text):
    return [w.encode() if isinstance(w, str) else w for w in (text.split(" ") if isinstance(text, str) else text)]

def encode(command):
    command = words(command)
    return b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in command)

class Server:
    def __init__(self, name, program, extra):
        self.name, self.dir = name, tempfile.mkdtemp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0)); self.port = free.getsockname()[1]
        self.process = subprocess.Popen(program + ["--port", str(self.port), "--dir", self.dir, "--appendonly", "no",
            "--save", "", "--enable-debug-command", "yes"] + extra, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {CORES[0]}))
        for _ in range(200):
            try: self.socket = socket.create_connection(("127.0.0.1", self.port)); break
            except OSError: time.sleep(0.02)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    def cpu(self):
        """Microseconds of all threads, of those that have ended too: the process' clock. Another's is only brought up to date
        when its threads go to sleep or at a tick, so it is given the time to."""
        time.sleep(0.0003)
        return time.clock_gettime((~self.process.pid << 3) | 2) * 1e6
    def send(self, data):
        """Sends requests and waits for all replies; the first reply's first bytes."""
        self.socket.setblocking(False)
        data = memoryview(data + encode("ECHO the-end")); tail = first = b""
        import select
        while True:
            readable, writable, _ = select.select([self.socket], [self.socket] if data else [], [], 60)
            assert readable or writable, f"{self.name} hangs"
            if writable:
                data = data[self.socket.send(data[:1 << 18]):]
            if readable:
                part = self.socket.recv(1 << 20); assert part, f"{self.name} is gone"
                first = first or part[:80]; tail = (tail + part)[-len(END):]
                if not data and tail == END: return first
    def stop(self):
        self.process.kill(); self.process.wait(); shutil.rmtree(self.dir, ignore_errors=True)

def many(command, count, step=1):
    """`command` with {} as 0, 1, 2 ..."""
    return [command.replace("{}", str(i * step)) for i in range(count)]

def chunked(head, item, count, by=500):
    """One command with many items, in pieces: RPUSH l 0 1 2 ..."""
    return [head + " " + " ".join(item.replace("{}", str(i)) for i in range(at, min(at + by, count))) for at in range(0, count, by)]

V = "v" * 64
LIMITER = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return {n, redis.call('TTL', KEYS[1])}"
SMALL, LARGE = 10, 100_000
rng = random.Random(1)

def collections():
    """Small and large ones of every type, made once."""
    out = []
    for name, n in (("s", SMALL), ("b", LARGE)):
        out += chunked(f"RPUSH {name}list", "item:{}", n) + chunked(f"SADD {name}set", "member:{}", n)
        out += chunked(f"SADD {name}set2", "member:{}", n // 2) + chunked(f"SADD {name}ints", "{}", n if n < 100 else 500)
        out += chunked(f"HSET {name}hash", "field:{} value:{}", n) + chunked(f"ZADD {name}zset", "{} member:{}", n)
        out += chunked(f"ZADD {name}zset2", "{} member:{}", n // 2)
        out += [f"XADD {name}stream {i + 1}-1 field value other {i}" for i in range(n)]
        out += [f"GEOADD {name}geo {rng.uniform(-1, 1)} {rng.uniform(40, 42)} m{i}" for i in range(n if n < 100 else 10_000)]
        out += chunked(f"PFADD {name}hll", "e{}", n)
        out += [["SET", f"{name}bits", "\x55" * (10 if n < 100 else 1_000_000)], ["SET", f"{name}string", "abc" * (n // 3)]]
    out += [["MSET"] + [x for i in range(at, at + 500) for x in (f"key:{i}", V)] for at in range(0, 20_000, 500)]
    out += chunked("RPUSH mlist", "item:{}", 1000) + chunked("HSET mhash", "f:{} v:{}", 400) + chunked("ZADD mzset", "{} m:{}", 1000)
    out += chunked("SADD mset", "m:{}", 1000) + chunked("SADD mset2", "m:{}", 1500) + chunked("RPUSH nlist", "{}", 1000)
    out += chunked("RPUSH nblist", "{}", LARGE)
    out += [["SCRIPT", "LOAD", LIMITER], ["FUNCTION", "LOAD", "REPLACE", "#!lua name=sweep\nredis.register_function('limiter', function(KEYS, ARGV) " + LIMITER + " end)"]]
    return out + ["XGROUP CREATE sstream g 0", "XREADGROUP GROUP g c COUNT 10 STREAMS sstream >"]

def cases():
    """(name, commands in turn, commands before each pass or None)"""
    K = lambda command, n=2000: [command.replace("{}", str(rng.randrange(20_000))) for _ in range(n)]
    one = lambda *commands: [(c if isinstance(c, str) else c[0], [c] if isinstance(c, str) else c[1], None) for c in commands]
    out = []
    for title, command in [("GET", "GET key:{}"), ("SET", f"SET key:{{}} {V}"), ("SET EX", f"SET ex:{{}} {V} EX 1000"), ("SETNX", "SETNX key:{} v"),
        ("GETSET", f"GETSET key:{{}} {V}"), ("GETEX", "GETEX key:{} EX 100"), ("STRLEN", "STRLEN key:{}"), ("EXISTS", "EXISTS key:{}"), ("TYPE", "TYPE key:{}"),
        ("TTL", "TTL key:{}"), ("EXPIRE", "EXPIRE key:{} 1000"), ("PERSIST", "PERSIST key:{}"), ("TOUCH", "TOUCH key:{}"), ("INCR", "INCR n:{}"),
        ("INCRBYFLOAT", "INCRBYFLOAT fl:{} 1.5"), ("APPEND", "APPEND app:{} xyz"), ("SETRANGE", "SETRANGE key:{} 5 abc"), ("GETRANGE", "GETRANGE key:{} 5 20"),
        ("OBJECT ENCODING", "OBJECT ENCODING key:{}"), ("DUMP", "DUMP key:{}"), ("SETBIT", "SETBIT bit:{} 100 1"), ("GETBIT", "GETBIT key:{} 100"),
        ("MGET 10", "MGET " + " ".join(["key:{}"] * 10)), ("MSET 10", "MSET " + f"key:{{}} {V} " * 9 + f"key:{{}} {V}"), ("COPY", "COPY key:{} copy REPLACE"),
        ("DEL missing", "DEL none:{}"), ("LPUSH new", "LPUSH lp:{} v"), ("SADD new", "SADD sa:{} v"), ("HSET new", "HSET hs:{} f v"), ("ZADD new", "ZADD za:{} 1 v"),
        ("XADD new", "XADD xa:{} * f v"), ("PFADD new", "PFADD pf:{} a"), ("SADD big", "SADD bset member:{}"), ("HGET big", "HGET bhash field:{}"),
        ("HSET big", "HSET bhash field:{} v"), ("HINCRBY", "HINCRBY hinc field:{} 1"), ("HEXISTS big", "HEXISTS bhash field:{}"), ("ZADD big", "ZADD bzset {} member:{}"),
        ("ZSCORE big", "ZSCORE bzset member:{}"), ("ZRANK big", "ZRANK bzset member:{}"), ("ZINCRBY big", "ZINCRBY bzset 1 member:{}"),
        ("SISMEMBER big", "SISMEMBER bset member:{}"), ("LINDEX big", "LINDEX blist {}"), ("LSET big", "LSET blist {} item:1"),
        ("ZRANGEBYSCORE big 10", "ZRANGEBYSCORE bzset {} +inf LIMIT 0 10"), ("ZCOUNT big", "ZCOUNT bzset {} +inf"), ("XRANGE big 10", "XRANGE bstream {} + COUNT 10"),
        ("ZRANGE big 10 deep", "ZRANGE bzset {} +20")]:
        out.append((title, K(command.replace("+20", "50000")) if title.startswith("ZRANGE big") else K(command), None))
    out += one("PING", "ECHO hello", "SELECT 0", "TIME", "DBSIZE", "RANDOMKEY", "COMMAND COUNT", "CLIENT ID", "CONFIG GET maxmemory", "INFO server", "ACL WHOAMI",
        "MGET key:1 key:2 key:3", "LCS key:1 key:2", "BITCOUNT sbits", "BITCOUNT bbits", "BITPOS bbits 1", "BITPOS bbits 0 100 -1", "BITOP AND dest bbits bbits", "BITOP NOT dest bbits",
        "BITOP XOR dest sbits sbits", "BITFIELD sbits GET u8 0 INCRBY u4 8 1", "GETRANGE bstring 100 200", "GET bstring", "SETRANGE bstring 5000 abc", "STRLEN bstring", "APPEND bstring x",
        "LLEN slist", "LRANGE slist 0 -1", "LRANGE mlist 0 99", "LRANGE mlist 0 -1", "LRANGE blist 0 -1", "LRANGE blist 50000 50099", "LRANGE nlist 0 -1", "LPOS mlist item:900", "LPOS blist item:90000", "LPOS nlist 900",
        "LINSERT mlist BEFORE item:900 x", "LREM mlist 0 x", "LREM blist 0 nothing", "LREM nlist 0 nothing", "LMOVE slist slist LEFT RIGHT", "RPOPLPUSH blist blist", "LTRIM mlist 0 -1",
        "SCARD sset", "SMEMBERS sset", "SMEMBERS mset", "SMEMBERS bset", "SMEMBERS sints", "SMEMBERS bints", "SISMEMBER bints 77", "SMISMEMBER mset m:1 m:2 m:3", "SRANDMEMBER bset", "SRANDMEMBER mset 100", "SRANDMEMBER mset -100", "SMOVE sset sset member:1",
        "SINTER sset sset2", "SINTER mset mset2", "SINTER bset bset2", "SINTERCARD 2 bset bset2", "SUNION sset sset2", "SUNION mset mset2", "SUNION bset bset2", "SDIFF sset sset2", "SDIFF mset2 mset", "SDIFF bset bset2",
        "SINTERSTORE dest mset mset2", "SUNIONSTORE dest mset mset2", "SDIFFSTORE dest mset2 mset", "SINTER bints sints", "SUNION bints sints", "SSCAN bset 0 COUNT 100", "SSCAN bset 0 MATCH *77*",
        "HLEN shash", "HGETALL shash", "HGETALL mhash", "HGETALL bhash", "HKEYS mhash", "HVALS mhash", "HKEYS bhash", "HMGET shash field:1 field:2 field:3", "HMGET mhash f:1 f:2 f:390", "HGET shash field:5", "HGET mhash f:390", "HSTRLEN shash field:1", "HRANDFIELD bhash", "HRANDFIELD mhash 10", "HRANDFIELD bhash 100 WITHVALUES",
        "HRANDFIELD shash", "HSCAN bhash 0 COUNT 100", "HSCAN shash 0", "HSETNX shash field:1 v", "HINCRBYFLOAT hf f 1.5",
        "ZCARD szset", "ZRANGE szset 0 -1", "ZRANGE szset 0 -1 WITHSCORES", "ZRANGE mzset 0 99", "ZRANGE mzset 0 -1 WITHSCORES", "ZRANGE bzset 0 -1", "ZRANGE bzset 0 -1 WITHSCORES", "ZREVRANGE mzset 0 99", "ZRANGEBYSCORE bzset 100 200", "ZRANGEBYLEX szset - +", "ZREVRANGEBYSCORE bzset 90000 89900", "ZRANGE bzset 100 200 BYSCORE REV",
        "ZLEXCOUNT szset - +", "ZCOUNT mzset 10 500", "ZRANK szset member:5", "ZREVRANK bzset member:77", "ZMSCORE mzset m:1 m:2 m:3", "ZRANDMEMBER bzset", "ZRANDMEMBER mzset 100", "ZSCAN bzset 0 COUNT 100", "ZRANGESTORE dest mzset 0 -1",
        "ZUNION 2 szset szset2", "ZUNION 2 mzset mzset WITHSCORES", "ZUNIONSTORE dest 2 bzset bzset2", "ZINTER 2 szset szset2", "ZINTERSTORE dest 2 bzset bzset2", "ZINTERCARD 2 bzset bzset2", "ZDIFF 2 bzset bzset2", "ZDIFFSTORE dest 2 mzset mzset", "ZUNIONSTORE dest 2 mzset mset",
        "XLEN bstream", "XADD sx MAXLEN ~ 1000 * f v g w", "XADD sy MAXLEN 100 * f v", "XRANGE sstream - +", "XRANGE bstream - + COUNT 100", "XRANGE bstream - +", "XREVRANGE bstream + - COUNT 100", "XREAD COUNT 10 STREAMS bstream 500", "XREAD STREAMS sstream 999", "XINFO STREAM bstream", "XPENDING sstream g", "XPENDING sstream g - + 10",
        "XREADGROUP GROUP g c COUNT 10 STREAMS sstream 0", "XCLAIM sstream g c 0 1-1 2-1", "XAUTOCLAIM sstream g c 0 0 COUNT 10", "XACK sstream g 99-1", "XTRIM bstream MAXLEN 100000", "XDEL sstream 99-9",
        "PFCOUNT shll", "PFCOUNT bhll", "PFCOUNT shll bhll", "PFMERGE pfdest shll bhll", "PFADD bhll e1", "PFADD shll e1",
        "GEOPOS bgeo m1 m2", "GEODIST bgeo m1 m2 km", "GEOHASH bgeo m1", "GEOSEARCH sgeo FROMLONLAT 0 41 BYRADIUS 100 km", "GEOSEARCH bgeo FROMLONLAT 0 41 BYRADIUS 10 km", "GEOSEARCH bgeo FROMLONLAT 0 41 BYRADIUS 100 km ASC WITHDIST", "GEOSEARCH bgeo FROMLONLAT 0 41 BYBOX 50 50 km COUNT 10 ASC", "GEOSEARCHSTORE dest bgeo FROMLONLAT 0 41 BYRADIUS 50 km", "GEOADD sgeo 0.5 41 m1",
        "SORT nlist", "SORT nlist LIMIT 0 10", "SORT mlist ALPHA", "SORT nblist", "SORT mset ALPHA DESC", "SORT nlist BY nosort GET # LIMIT 0 10", "SORT nlist BY key:* GET key:* ALPHA LIMIT 0 10", "SORT nlist STORE dest",
        "SCAN 0 COUNT 100", "SCAN 0 MATCH key:1* COUNT 100", "KEYS key:77*", "KEYS *", "DUMP slist", "DUMP mhash", "DUMP mzset", "DUMP mlist", "OBJECT ENCODING mhash",
        "MEMORY USAGE mhash",
        "PUBLISH nobody hello", "PUBSUB NUMSUB a b", "CLIENT LIST", "SLOWLOG LEN", "LASTSAVE", "WAIT 0 0", "LATENCY LATEST")
    out.append(("EVAL GET", [["EVAL", "return redis.call('GET', KEYS[1])", "1", "key:1"]], None))
    for how, name in [("EVAL", LIMITER), ("EVALSHA", hashlib.sha1(LIMITER.encode()).hexdigest()), ("FCALL", "limiter")]:
        out.append((f"{how} rate limiter", [[how, name, "1", f"limit:{i}", "100"] for i in range(100)], None))
    out.append(("MULTI SET GET EXEC", ["MULTI", f"SET key:1 {V}", "GET key:1", "EXEC"], None))
    # What consumes is filled again before each pass, which is not counted.
    for title, commands, fill in [
        ("LPOP", ["LPOP q"] * 2000, chunked("RPUSH q", "item:{}", 2000)), ("RPOP 10", ["RPOP q 10"] * 200, chunked("RPUSH q", "item:{}", 2000)),
        ("LPUSH", ["LPUSH q item"] * 2000, ["DEL q"]), ("RPUSH", [f"RPUSH q {V}"] * 2000, ["DEL q"]), ("SPOP", ["SPOP q"] * 2000, ["DEL q"] + chunked("SADD q", "m{}", 2000)),
        ("SPOP 100", ["SPOP q 100"] * 20, ["DEL q"] + chunked("SADD q", "m{}", 2000)), ("SREM", many("SREM q m{}", 2000), ["DEL q"] + chunked("SADD q", "m{}", 2000)), ("SADD", many("SADD q m{}", 2000), ["DEL q"]),
        ("SADD ints", many("SADD q {}", 2000), ["DEL q"]), ("HDEL", many("HDEL q f{}", 2000), ["DEL q"] + chunked("HSET q", "f{} v", 2000)), ("HSET", many("HSET q f{} value", 2000), ["DEL q"]),
        ("ZADD", many("ZADD q {} m{}", 2000, 7), ["DEL q"]), ("ZREM", many("ZREM q m{}", 2000), ["DEL q"] + chunked("ZADD q", "{} m{}", 2000)), ("ZPOPMIN", ["ZPOPMIN q"] * 2000, ["DEL q"] + chunked("ZADD q", "{} m{}", 2000)),
        ("ZREMRANGEBYRANK", ["ZREMRANGEBYRANK q 0 9"] * 200, ["DEL q"] + chunked("ZADD q", "{} m{}", 2000)), ("XADD", ["XADD q * field value other thing"] * 2000, ["DEL q"]), ("XDEL", many("XDEL q {}-1", 1999)[1:], ["DEL q"] + many("XADD q {}-1 f v", 2000)[1:]),
        ("DEL", many("DEL d:{}", 2000), many("SET d:{} v", 2000)), ("UNLINK", many("UNLINK d:{}", 2000), many("SET d:{} v", 2000)), ("DEL big hash", ["DEL d"], chunked("HSET d", "f:{} v:{}", 20000)),
        ("DEL big list", ["DEL d"], chunked("RPUSH d", "item:{}", 50000)), ("DEL big zset", ["DEL d"], chunked("ZADD d", "{} v:{}", 20000)), ("DEL big set", ["DEL d"], chunked("SADD d", "v:{}", 20000)), ("UNLINK big hash", ["UNLINK d"], chunked("HSET d", "f:{} v:{}", 20000)),
        ("DEL big stream", ["DEL d"], many("XADD d {}-1 f v", 20000)[1:]), ("RENAME", many("RENAME d:{} e:{}", 2000), many("SET d:{} v", 2000)), ("GETDEL", many("GETDEL d:{}", 2000), many("SET d:{} v", 2000)), ("SET new", many("SET d:{} value", 2000), [["DEL"] + many("d:{}", 2000)]),
        ("EXPIRE new", many("EXPIRE d:{} 1000", 2000), many("SET d:{} v", 2000)), ("RPUSH 1000", chunked("RPUSH q", "item:{}", 1000, 1000) * 10, ["DEL q"]), ("SADD 1000", chunked("SADD q", "item:{}", 1000, 1000), ["DEL q"]), ("ZADD 1000", chunked("ZADD q", "{} item:{}", 1000, 1000), ["DEL q"]), ("HSET 1000", chunked("HSET q", "f:{} v:{}", 1000, 1000), ["DEL q"]),
        ("LTRIM pop", ["LTRIM q 10 -1"] * 200, ["DEL q"] + chunked("RPUSH q", "item:{}", 2000)), ("LINSERT grow", ["LINSERT q BEFORE item:500 x"] * 200, ["DEL q"] + chunked("RPUSH q", "item:{}", 1000)), ("LREM pop", many("LREM q 1 item:{}", 1000), ["DEL q"] + chunked("RPUSH q", "item:{}", 1000)),
        ("APPEND grow", ["APPEND q " + V] * 2000, ["DEL q"]), ("SETRANGE grow", many("SETRANGE q {} abc", 2000, 50), ["DEL q"]), ("SETBIT grow", many("SETBIT q {} 1", 2000, 97), ["DEL q"]), ("PFADD", many("PFADD q e{}", 2000), ["DEL q"]), ("GEOADD", many("GEOADD q 0.{} 41.{} m{}", 2000), ["DEL q"]),
        ("HEXPIRE", many("HEXPIRE q 1000 FIELDS 1 f{}", 1000), ["DEL q"] + chunked("HSET q", "f{} v", 1000)), ("HGETEX", many("HGETEX q EX 100 FIELDS 1 f{}", 1000), ["DEL q"] + chunked("HSET q", "f{} v", 1000))]:
        out.append((title, commands, fill))
    return out

def limit(commands):
    return b"".join(encode(c) for c in commands)

def measure(servers, title, commands, fill, rounds, target_us):
    """Both do the same work in each round: as much as takes the first of them `target_us`."""
    data, fill = limit(commands), limit(fill or [])
    for s in servers:
        if fill: s.send(fill)
        first = s.send(data)
        if first.startswith(b"-"): print(f"  {title}: {s.name}: {first[:70]!r}", file=sys.stderr)
    def once(s, times):
        if not fill:
            before = s.cpu()
            for _ in range(times): s.send(data)
            return s.cpu() - before
        used = 0
        for _ in range(times):
            s.send(fill); before = s.cpu(); s.send(data); used += s.cpu() - before
        return used
    copies = times = 1
    # Pipelines first: one command alone would measure how a server wakes up.
    while not fill and len(data) < 1 << 17 and once(servers[0], 1) < target_us / 2: data *= 2; copies *= 2
    while times < (20 if fill else 100) and once(servers[0], times) < target_us / 2: times *= 2
    figures = {s: [] for s in servers}
    for turn in range(rounds):
        for s in servers[::1 if turn % 2 else -1]:
            figures[s].append(max(once(s, times), 1) / (times * copies * len(commands)))
    theirs, ours = (figures[s] for s in servers)
    return statistics.median(theirs), statistics.median(ours), statistics.median(b / a for a, b in zip(theirs, ours))

def main():
    ap = argparse.ArgumentParser(); ap.add_argument("redis"); ap.add_argument("fastness"); ap.add_argument("--only", default="")
    ap.add_argument("--rounds", type=int, default=11); ap.add_argument("--over", type=float, default=0); ap.add_argument("--us", type=float, default=5_000)
    a = ap.parse_args()
    os.sched_setaffinity(0, {CORES[-1]})
    servers = [Server("redis", [a.redis], []), Server("fastness", [a.fastness, "serve"], [])]
    rows = []
    try:
        for s in servers: s.send(limit(collections()))
        for title, commands, fill in cases():
            if a.only and not any(word in title for word in a.only.split(",")): continue
            theirs, ours, ratio = measure(servers, title, commands, fill, a.rounds, a.us)
            rows.append((ratio, title, theirs, ours))
    finally:
        for s in servers: s.stop()
    rows.sort(reverse=True)
    print(f"{len(rows)} forms, {sum(r[0] > 1.1 for r in rows)} over 1.10; CPU us per request: theirs, ours, ratio")
    for ratio, title, theirs, ours in rows:
        if ratio >= a.over: print(f"{title:50} {theirs:12.3f} {ours:12.3f} {ratio:6.2f}")

main()
