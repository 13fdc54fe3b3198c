#!/usr/bin/env python3
"""Bytes of memory per record, shape by shape, of any servers that speak RESP.

usage: memory.py [--scale 1.0] [--only SHAPE,...] NAME='COMMAND ...' ...

Each server is started anew for each shape with `--port`, `--dir`, no log and no saves, and filled; `used` is
what INFO's used_memory grew by, `rss` what the kernel counts (smaps_rollup), both per record. After the last shape
the mixed data is flushed, and what the process still holds is printed. The load is the same for all: fixed seeds.
"""
import argparse
import random
import shutil
import socket
import subprocess
import tempfile
import time

WORDS = [b"ka", b"lo", b"mi", b"ne", b"ru", b"sta", b"ti", b"vor", b"xe", b"yu", b"bra", b"den", b"fol", b"gim"]


def command(*parts):
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def strings(count):
    for i in range(count):
        yield 1, command(b"SET", b"key:%012d" % i, b"value-%010d" % (i * 7 % 10**10))


def strings_ttl(count):
    for i in range(count):
        yield 1, command(b"SET", b"key:%012d" % i, b"value-%010d" % (i * 7 % 10**10), b"EX", b"86400")


def hashes(count):
    for i in range(count):
        pairs = [part for f in range(10) for part in (b"field%d" % f, b"v-%d-%06d" % (f, (i + f) % 10**6))]
        yield 1, command(b"HSET", b"hash:%011d" % i, *pairs)


def zset(count):
    chance = random.Random(1)
    for i in range(count):
        yield 1, command(b"ZADD", b"board", b"%d" % chance.randrange(10**9), b"member:%09d" % i)


def lists(count):
    for i in range(count // 50):
        yield 50, command(b"RPUSH", b"list:%011d" % i, *(b"item:%07d" % (i * 50 + n) for n in range(50)))


def int_sets(count):
    chance = random.Random(2)
    for i in range(count // 100):
        members = chance.sample(range(10**6), 100)
        yield 100, command(b"SADD", b"ints:%011d" % i, *(b"%d" % member for member in members))


def word(chance):
    return b"".join(chance.choice(WORDS) for _ in range(4))


def small_word_sets(count):
    chance = random.Random(3)
    for i in range(count // 50):
        members = {word(chance) for _ in range(60)}
        yield 50, command(b"SADD", b"words:%010d" % i, *sorted(members)[:50])


def word_set(count):
    chance = random.Random(4)
    for i in range(count):
        yield 1, command(b"SADD", b"words", b"%s%d" % (word(chance), i))


def stream(count):
    for i in range(count):
        at = b"%d-0" % (1700000000000 + i * 3)
        yield 1, command(b"XADD", b"events", at, b"kind", b"login", b"user", b"user:%07d" % (i * 7 % 10**7))


def mixed(count, size=64):
    chance = random.Random(7)
    text = b" ".join(b"%d" % chance.randrange(10**6) for _ in range(4000))
    for i in range(count):
        at = chance.randrange(len(text) - size)
        key, value = b"user:%08d" % i, text[at : at + size]
        if i % 10 < 6:
            yield 1, command(b"SET", key, value)
        elif i % 10 < 8:
            age = b"%d" % (i % 90)
            yield 1, command(b"HSET", key + b":h", b"name", value[:12], b"mail", value[12:30], b"age", age)
        elif i % 10 == 8:
            yield 1, command(b"ZADD", b"board:%d" % (i % 50), b"%d" % chance.randrange(10**6), key)
        else:
            yield 1, command(b"RPUSH", b"q:%d" % (i % 500), value)


SHAPES = {
    "strings": (strings, 1_000_000, "16-byte keys and values"),
    "ttl": (strings_ttl, 1_000_000, "the same with a time to live"),
    "hashes": (hashes, 300_000, "hash of 10 fields"),
    "zset": (zset, 1_000_000, "sorted set member, one set"),
    "lists": (lists, 5_000_000, "list item, 50 of 12 bytes in a list"),
    "ints": (int_sets, 5_000_000, "integer in a set of 100"),
    "words": (small_word_sets, 2_500_000, "word in a set of 50"),
    "wordset": (word_set, 1_000_000, "word in one set"),
    "stream": (stream, 1_000_000, "stream entry of 2 fields, one stream"),
    "mixed": (mixed, 1_000_000, "mixed records"),
}


class Server:
    def __init__(self, line, port):
        self.dir = tempfile.mkdtemp(prefix="memory-")
        options = ["--port", str(port), "--dir", self.dir, "--save", "", "--appendonly", "no"]
        log = open(self.dir + "/out", "wb")
        self.process = subprocess.Popen(line.split() + options, stdout=log, stderr=log, cwd=self.dir)
        self.socket = self.connect(port)

    def connect(self, port):
        for _ in range(1000):
            try:
                return socket.create_connection(("127.0.0.1", port))
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"no server at port {port}")

    def fill(self, batches):
        batch, records, replies = [], 0, 0
        for count, request in batches:
            batch.append(request)
            records += count
            replies += 1
            if len(batch) == 500:
                self.exchange(batch)
                batch = []
        self.exchange(batch)
        return records

    def exchange(self, batch):
        self.socket.sendall(b"".join(batch))
        # A reply is one line, but for XADD's, which is a bulk string.
        left = sum(2 if b"XADD" in request[:16] else 1 for request in batch)
        while left > 0:
            data = self.socket.recv(1 << 16)
            if not data or b"-ERR" in data or b"-OOM" in data:
                raise SystemExit(f"the server answered {data[:80]!r}")
            left -= data.count(b"\r\n")

    def used(self):
        self.socket.sendall(command(b"INFO", b"memory"))
        text = b""
        while b"used_memory:" not in text or b"\r\n\r\n" not in text and not text.endswith(b"\r\n"):
            text += self.socket.recv(1 << 16)
        time.sleep(0.05)
        return int(text.split(b"used_memory:")[1].split()[0])

    def rss(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def measure(line, shape, scale, port):
    make, count, _ = SHAPES[shape]
    server = Server(line, port)
    try:
        time.sleep(0.2)
        used, rss = server.used(), server.rss()
        records = server.fill(make(int(count * scale)))
        time.sleep(0.5)
        server.socket.close()
        server.socket = server.connect(port)
        full = server.rss() - rss
        result = (server.used() - used) / records, full / records
        left = None
        if shape == "mixed":
            server.exchange([command(b"FLUSHALL")])
            time.sleep(3)
            left = (server.rss() - rss) / full
        return (*result, left)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(SHAPES))
    parser.add_argument("--port", type=int, default=7490)
    parser.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    options = parser.parse_args()
    servers = [server.split("=", 1) for server in options.servers]
    print("| bytes per record, used (rss) | " + " | ".join(name for name, _ in servers) + " | last / first |")
    print("|---" * (len(servers) + 2) + "|")
    for shape in options.only.split(","):
        row = [measure(line, shape, options.scale, options.port + n) for n, (_, line) in enumerate(servers)]
        cells = [f"{used:.1f} ({rss:.1f})" for used, rss, _ in row]
        ratio = row[-1][0] / row[0][0]
        print(f"| {SHAPES[shape][2]} | " + " | ".join(cells) + f" | {ratio:.2f} |", flush=True)
        if row[0][2] is not None:
            cells = [f"{left:.0%}" for _, _, left in row]
            print("| of it still resident 3 s after FLUSHALL | " + " | ".join(cells) + " | |", flush=True)


main()
