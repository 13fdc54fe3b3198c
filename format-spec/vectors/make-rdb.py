#!/usr/bin/env python3
"""Makes the rdb-*.rdb vectors and the text of what they hold, with real servers as the oracle.

    make-rdb.py redis-server-7.0 redis-server-8.0 valkey-server-9.1

Each .rdb is what a server saved, or (rdb-old-types) is put together here byte by byte and loaded by
a server; each .txt is what that server then says the keys hold. Vectors that exist are left alone.
"""
import os, shutil, signal, socket, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    def __init__(self, program, *options, rdb=None):
        self.dir = tempfile.mkdtemp()
        if rdb is not None:
            open(self.dir + "/dump.rdb", "wb").write(rdb)
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        self.process = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", self.dir,
             *options], stdout=subprocess.DEVNULL)
        for _ in range(100):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.05)
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        reply = self.reply()
        if isinstance(reply, Exception):
            raise Exception(f"{words}: {reply}")
        return reply

    def reply(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Exception(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.dir)


def quoted(text):
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else "\\x%02x" % b
                         for b in text) + '"'


def number(text):
    value = float(text)
    return str(int(value)) if value == value // 1 and abs(value) < 1e15 else repr(value)


def mapping(flat):
    return dict(zip(flat[::2], flat[1::2]))


def value_lines(server, key, kind):
    if kind == b"string":
        yield quoted(server("GET", key))
    elif kind == b"list":
        yield from map(quoted, server("LRANGE", key, 0, -1))
    elif kind == b"set":
        yield from map(quoted, sorted(server("SMEMBERS", key)))
    elif kind == b"zset":
        flat = server("ZRANGE", key, 0, -1, "WITHSCORES")
        for member, score in zip(flat[::2], flat[1::2]):
            yield f"{quoted(member)} {number(score)}"
    elif kind == b"hash":
        for field, value in sorted(mapping(server("HGETALL", key)).items()):
            try:
                expire = server("HPEXPIRETIME", key, "FIELDS", 1, field)[0]
            except Exception:
                expire = -1
            yield f"{quoted(field)} {quoted(value)}" + (f" expire {expire}" if expire > 0 else "")
    else:
        yield from stream_lines(server, key)


def stream_lines(server, key):
    info = mapping(server("XINFO", "STREAM", key, "FULL", "COUNT", 0))
    text = lambda name: info[name].decode()
    yield (f"last {text(b'last-generated-id')} first {text(b'recorded-first-entry-id')} deleted "
           f"{text(b'max-deleted-entry-id')} added {info[b'entries-added']}")
    for entry, fields in server("XRANGE", key, "-", "+"):
        yield f"entry {entry.decode()} " + " ".join(map(quoted, fields))
    for group in sorted(map(mapping, info[b"groups"]), key=lambda group: group[b"name"]):
        read = group[b"entries-read"]
        yield (f"group {quoted(group[b'name'])} last {group[b'last-delivered-id'].decode()} read "
               f"{-1 if read is None else read}")
        for consumer in sorted(map(mapping, group[b"consumers"]), key=lambda c: c[b"name"]):
            seen = consumer[b"seen-time"]
            yield (f"consumer {quoted(consumer[b'name'])} seen {seen} active "
                   f"{consumer.get(b'active-time', seen)}")
        for entry, owner, when, count in group[b"pending"]:
            yield f"pending {entry.decode()} {quoted(owner)} time {when} count {count}"


def dataset(server):
    for db in range(16):
        server("SELECT", db)
        keys = sorted(server("KEYS", "*"))
        if keys:
            yield f"[db {db}]"
        for key in keys:
            kind = server("TYPE", key)
            expire = server("PEXPIRETIME", key)
            yield f"{quoted(key)} {kind.decode()}" + (f" expire {expire}" if expire > 0 else "")
            yield from ("  " + line for line in value_lines(server, key, kind))
    for library in server("FUNCTION", "LIST", "WITHCODE"):
        yield "[function]"
        yield quoted(mapping(library)[b"library_code"])


def save(name, server, rdb=None):
    path = f"{HERE}/rdb-{name}"
    if not os.path.exists(path + ".rdb"):
        if rdb is None:
            server("SAVE")
            rdb = open(server.dir + "/dump.rdb", "rb").read()
        open(path + ".rdb", "wb").write(rdb)
        open(path + ".txt", "w").write("\n".join(dataset(server)) + "\n")
    server.close()


def fill(server, modern):
    server("SET", "text", "hello")
    server("SET", "empty", "")
    server("SET", "", "the empty key")
    for name, value in [("i8", -128), ("i16", -129), ("i32", 70000), ("i32min", -2147483648),
                        ("over32", 2147483648), ("i64", -9223372036854775808)]:
        server("SET", name, value)
    server("SET", 12345, "integer key")
    server("SET", "lzf", "abcabcabc" * 20)
    server("SET", "binary", bytes(range(256)))
    server("SET", "expires", "x", "PXAT", 4102444800123)
    server("CONFIG", "SET", "list-max-listpack-size", 3)
    server("RPUSH", "list", "one", 2, 300, "four", -5, 1 << 40, "seven")
    server("RPUSH", "list-plain", "a", "p" * 9000, "b")
    server("RPUSH", "list-numbers", 0, 127, 128, -1, -4096, 4095, 4096, 32767, -32768, 32768,
           -8388608, 8388608, 2147483647, -2147483649, "01", "-0", "x" * 63, "y" * 64, "z" * 4096)
    for name, members in [("16", [1, -5, 300]), ("32", [1, 70000]), ("64", [1 << 40, -7])]:
        server("SADD", "intset" + name, *members)
    server("SADD", "set", "a", "b", 3, "")
    server("ZADD", "zset", 1.5, "x", -2, "y", "inf", "top", "-inf", "bottom", 0.1, "tenth", 1e17, "big")
    server("HSET", "hash", "f", "v", "n", -5, "", "empty", "e", "")
    for kind in ["set", "zset", "hash"]:
        server("CONFIG", "SET", kind + "-max-listpack-value" if modern or kind != "set"
               else "set-max-intset-entries", 2)
    server("SADD", "set-table", "long member", "b", 4)
    server("ZADD", "zset-skiplist", 1.5, "long member", "-inf", "x", 3, "y", 1e300, "z")
    server("HSET", "hash-table", "long field", "long value", "n", 17)
    server("SELECT", 9)
    server("HSET", "hash", "other", "database", "k", "v")
    server("PEXPIREAT", "hash", 4102444800999)
    streams(server)
    server("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)")


def streams(server):
    server("CONFIG", "SET", "stream-node-max-entries", 3)
    for i in range(1, 8):
        server("XADD", "stream", f"{i}-{i % 3}", "f", i, "g", "value")
    server("XADD", "stream", "8-0", "other", "fields")
    server("XDEL", "stream", "2-2", "8-0")
    server("XGROUP", "CREATE", "stream", "group", "0")
    server("XGROUP", "CREATE", "stream", "idle", "$")
    server("XGROUP", "CREATECONSUMER", "stream", "group", "waiting")
    server("XREADGROUP", "GROUP", "group", "alice", "COUNT", 3, "STREAMS", "stream", ">")
    server("XREADGROUP", "GROUP", "group", "bob", "COUNT", 2, "STREAMS", "stream", ">")
    server("XCLAIM", "stream", "group", "bob", 0, "1-1")
    server("XACK", "stream", "group", "3-0")
    server("XADD", "stream-empty", "5-5", "f", "v")
    server("XDEL", "stream-empty", "5-5")
    server("XADD", "stream-back", "100-500", "a", "b")
    server("XADD", "stream-back", "101-1", "a", "c", "d", "e")


def crc64(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95ac9329ac4bc9b5 if crc & 1 else 0)
    return crc


def length(n):
    if n < 64:
        return bytes([n])
    return (0x4000 | n).to_bytes(2, "big") if n < 16384 else b"\x80" + n.to_bytes(4, "big")


def string(text):
    text = text if isinstance(text, bytes) else text.encode()
    return length(len(text)) + text


def ziplist(*items):
    body, previous, tail = b"", 0, 10
    for item in items:
        tail = 10 + len(body)
        entry = bytes([previous]) if previous < 254 else b"\xfe" + struct.pack("<I", previous)
        if isinstance(item, int):
            entry += (bytes([0xf1 + item]) if 0 <= item <= 12
                      else b"\xfe" + struct.pack("<b", item) if -128 <= item < 128
                      else b"\xc0" + struct.pack("<h", item) if -32768 <= item < 32768
                      else b"\xf0" + struct.pack("<i", item)[:3] if -(1 << 23) <= item < 1 << 23
                      else b"\xd0" + struct.pack("<i", item) if -(1 << 31) <= item < 1 << 31
                      else b"\xe0" + struct.pack("<q", item))
        else:
            n = len(item)
            entry += (bytes([n]) if n < 64 else (0x4000 | n).to_bytes(2, "big") if n < 16384
                      else b"\x80" + n.to_bytes(4, "big")) + item.encode()
        body, previous = body + entry, len(entry)
    return struct.pack("<IIH", 11 + len(body), tail, len(items)) + body + b"\xff"


def old_types():
    """Every type that servers before 7.0 wrote, streams of version 1 included."""
    text_double = lambda text: bytes([len(text)]) + text
    ident = struct.pack(">QQ", 7, 1)
    node = bytes.fromhex("27000000 1200 0201 0001 0101 816602 0001"
                         "0201 0001 0001 8161 02 0401"
                         "0201 0101 0001 8162 02 0401 ff")
    node = struct.pack("<I", len(node)) + struct.pack("<H", 15) + node[6:]
    out = b"REDIS0009" + b"\xfa" + string("redis-ver") + string("5.0.14") \
        + b"\xfa" + string("redis-bits") + b"\xc0\x40" + b"\xfa" + string("made-by") + string("hand") \
        + b"\xfe\x00\xfb\x0f\x01"
    out += b"\x00" + string("string") + string("value")
    out += b"\xfd" + struct.pack("<i", 2000000000) + b"\x00" + string("seconds") + string("v")
    out += b"\x01" + string("list") + b"\x03" + string("a") + b"\xc0\x05" + string("c")
    out += b"\x02" + string("set") + b"\x02" + string("x") + string("y")
    out += b"\x03" + string("zset1") + b"\x04" + string("m") + text_double(b"1.5") + string("n") \
        + b"\xfe" + string("o") + b"\xff" + string("p") + text_double(b"-17")
    out += b"\x04" + string("hash") + b"\x02" + string("f") + string("v") + string("g") + b"\xc0\x07"
    out += b"\x05" + string("zset2") + b"\x02" + string("m") + struct.pack("<d", 2.5) + string("l") \
        + struct.pack("<d", -1)
    out += b"\x09" + string("zipmap") \
        + string(bytes.fromhex("02 03666f6f 0300 626172 0568656c6c6f 0502 776f726c64 0000 ff"))
    out += b"\x0a" + string("list-ziplist") \
        + string(ziplist("a", 0, 12, 13, -100, 300, -70000, 1 << 24, 1 << 40, "b" * 300, "tail"))
    out += b"\x0b" + string("intset") + string(struct.pack("<IIhhh", 2, 3, -3, 4, 500))
    out += b"\x0c" + string("zset-ziplist") + string(ziplist("y", -2, "x", "1.5", "z", "inf"))
    out += b"\x0d" + string("hash-ziplist") + string(ziplist("f", "v", "n", 7))
    out += b"\x0e" + string("quicklist") + b"\x02" + string(ziplist("a", 1)) + string(ziplist("b"))
    out += b"\x0f" + string("stream1") + b"\x01" + string(ident) + string(node) \
        + b"\x02\x08\x01" + b"\x01" + string("grp") + b"\x07\x01" \
        + b"\x01" + ident + struct.pack("<q", 1600000000000) + b"\x03" \
        + b"\x01" + string("who") + struct.pack("<q", 1600000000001) + b"\x01" + ident
    out += b"\xff"
    return out + struct.pack("<Q", crc64(out))


def main(redis70, redis80, valkey91):
    server = Server(redis70)
    fill(server, False)
    save("redis-7.0", server)
    server = Server(redis70, "--sanitize-dump-payload", "yes", rdb=old_types())
    save("old-types", server, old_types())
    server = Server(redis70)
    save("empty", server)
    server = Server(redis70, "--rdbcompression", "no", "--rdbchecksum", "no",
                    "--maxmemory-policy", "allkeys-lfu", "--maxmemory", "1gb")
    server("SET", "plain", "a" * 70)
    server("SET", "counted", "b")
    save("lfu-unchecked", server)
    server = Server(redis70, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb")
    server("SET", "old", "a")
    server("PEXPIREAT", "old", 4102444800123)
    time.sleep(2.2)
    save("lru", server)
    server = Server(redis80)
    fill(server, True)
    server("SELECT", 0)
    server("CONFIG", "SET", "hash-max-listpack-value", 64)
    server("HSET", "hash-ttl", "a", 1, "b", 2, "c", "three")
    server("HPEXPIREAT", "hash-ttl", 4102444800123, "FIELDS", 1, "b")
    server("HPEXPIREAT", "hash-ttl", 4102444800007, "FIELDS", 1, "c")
    server("CONFIG", "SET", "hash-max-listpack-value", 2)
    server("HSET", "hash-ttl-table", "long field", 1, "b", "second", "c", "three")
    server("HPEXPIREAT", "hash-ttl-table", 4102444800123, "FIELDS", 1, "long field")
    server("HPEXPIREAT", "hash-ttl-table", 4102444800007, "FIELDS", 1, "c")
    save("redis-8.0", server)
    server = Server(valkey91)
    fill(server, True)
    server("SELECT", 0)
    server("HSET", "hash-ttl", "a", 1, "b", 2, "c", "three")
    server("HPEXPIREAT", "hash-ttl", 4102444800123, "FIELDS", 1, "b")
    save("valkey-9.1", server)


if __name__ == "__main__":
    main(*sys.argv[1:])
