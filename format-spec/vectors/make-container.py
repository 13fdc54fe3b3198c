#!/usr/bin/env python3
"""Makes the container-*.rdb and lines-*.rdb vectors and the text of what they hold.

    make-container.py redis-server-8.0

The records are what a real server says in DUMP, put into frames here, from the specification and with the
zstd program; each .txt is what the server that loads the result of `zstd -d` then says the keys hold. The
vectors with a table in lines have the frames of the containers of the same name, stored as they are.
Vectors that exist are left alone.
"""
import importlib.util, os, struct, subprocess, sys, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("make_rdb", HERE + "/make-rdb.py")
rdb = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rdb)

MARKER = b"\x50\x2a\x4d\x18" + struct.pack("<I", 16) + b"FASTNESS" + struct.pack("<II", 1, 0)
HEAD, KEYS, MORE, END = range(4)


def zstd(data, level=3):
    return subprocess.run(["zstd", "-q", f"-{level}", "--no-check", "-c"], input=data,
                          stdout=subprocess.PIPE, check=True).stdout


def container(frames):
    """Frames are (kind, keys, bytes of the RDB)."""
    stored = [zstd(plain) for _, _, plain in frames]
    entries = b"".join(struct.pack("<5I", len(s), len(plain), keys, zlib.crc32(s), kind)
                       for (kind, keys, plain), s in zip(frames, stored))
    table = b"\x51\x2a\x4d\x18" + struct.pack("<I", len(entries) + 24) + entries
    table += struct.pack("<QI", sum(keys for _, keys, _ in frames), len(frames))
    table += struct.pack("<I", zlib.crc32(table)) + b"FASTSEEK"
    return MARKER + b"".join(stored) + table


def head(version, libraries):
    out = b"REDIS%04d" % version
    for name, value in [("redis-ver", "7.2.4"), ("made-by", "make-container.py"), ("ctime", "1790000000")]:
        out += b"\xfa" + rdb.string(name) + rdb.string(value)
    return out + b"".join(b"\xf5" + rdb.string(source) for source in libraries)


def records(server, db):
    server("SELECT", db)
    for key in sorted(server("KEYS", "*")):
        expire = server("PEXPIRETIME", key)
        value = server("DUMP", key)[:-10]
        time = b"\xfc" + struct.pack("<q", expire) if expire > 0 else b""
        yield time + value[:1] + rdb.string(key) + value[1:]


def finish(frames, checksum=True):
    body = b"".join(plain for _, _, plain in frames) + b"\xff"
    return frames + [(END, 0, b"\xff" + struct.pack("<Q", rdb.crc64(body) if checksum else 0))]


def full(server):
    """Every type, several frames of keys for each database, one value that goes on in two more."""
    server("CONFIG", "SET", "rdbcompression", "no")
    rdb.fill(server, True)
    server("SELECT", 0)
    server("HSET", "hash-expiring", "a", 1, "b", 2)
    server("HPEXPIREAT", "hash-expiring", 4102444800456, "FIELDS", 1, "a")
    server("SADD", "long", *[f"member {n}" for n in range(200)])
    libraries = [rdb.mapping(library)[b"library_code"] for library in server("FUNCTION", "LIST", "WITHCODE")]
    frames = [(HEAD, 0, head(12, libraries) + b"\xfe\x00\xfb\x28\x02\xfe\x09\xfb\x04\x01")]
    for db in (0, 9):
        select = b"\xfe" + rdb.length(db)
        group = []
        for record in records(server, db):
            if len(record) > 2000 and b"member 7" in record:
                third = len(record) // 3
                frames.append((KEYS, 1, select + record[:third]))
                frames += [(MORE, 0, record[third:2 * third]), (MORE, 0, record[2 * third:])]
                continue
            group.append(record)
            if len(group) == 9:
                frames.append((KEYS, len(group), select + b"".join(group)))
                group = []
        if group:
            frames.append((KEYS, len(group), select + b"".join(group)))
    return finish(frames)


def write(name, frames, program):
    path = f"{HERE}/container-{name}"
    if os.path.exists(path + ".rdb"):
        return
    open(path + ".rdb", "wb").write(container(frames))
    plain = subprocess.run(["zstd", "-q", "-d", "-c", path + ".rdb"], stdout=subprocess.PIPE, check=True).stdout
    assert plain == b"".join(plain for _, _, plain in frames)
    server = rdb.Server(program, rdb=plain)
    open(path + ".txt", "w").write("\n".join(rdb.dataset(server)) + "\n")
    server.close()


def frames_of(path):
    """The frames of a container, decompressed."""
    data = open(path, "rb").read()
    count, = struct.unpack("<I", data[-16:-12])
    entries = data[-24 - 20 * count:-24]
    at = len(MARKER)
    for stored, _, keys, _, kind in struct.iter_unpack("<5I", entries):
        plain = subprocess.run(["zstd", "-q", "-d", "-c"], input=data[at:at + stored], stdout=subprocess.PIPE, check=True)
        yield kind, keys, plain.stdout
        at += stored


def lines(frames):
    rdb_bytes = b"".join(plain for _, _, plain in frames)
    table = b"".join(struct.pack("<5I", len(plain), len(plain), keys, zlib.crc32(plain), kind)
                     for kind, keys, plain in frames)
    table += struct.pack("<QI", sum(keys for _, keys, _ in frames), len(frames))
    table += struct.pack("<I", zlib.crc32(table))
    out = rdb_bytes
    for at in range(0, len(table), 510):
        out += b"#" + table[at:at + 510].hex().encode() + b"\n"
    return out + b"#FASTSEEK 1 %016x\n" % len(rdb_bytes)


def write_lines(name):
    path = f"{HERE}/lines-{name}"
    if not os.path.exists(path + ".rdb"):
        open(path + ".rdb", "wb").write(lines(list(frames_of(f"{HERE}/container-{name}.rdb"))))
        open(path + ".txt", "w").write(open(f"{HERE}/container-{name}.txt").read())


def main(program):
    server = rdb.Server(program)
    write("full", full(server), program)
    server.close()
    write("empty", finish([(HEAD, 0, head(11, []))]), program)
    server = rdb.Server(program)
    server("SET", "key", "value")
    unchecked = [(HEAD, 0, head(11, [])), (KEYS, 1, b"\xfe\x00" + b"".join(records(server, 0)))]
    write("unchecked", finish(unchecked, checksum=False), program)
    server.close()
    write_lines("full")
    write_lines("empty")


if __name__ == "__main__":
    main(*sys.argv[1:])
