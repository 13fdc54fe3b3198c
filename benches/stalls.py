#!/usr/bin/env python3
"""What a client feels of BGSAVE and BGREWRITEAOF: latency before and while, the longest stall, extra memory.

usage: stalls.py [--only SCENARIO,...] [--elements N] [--job bgsave|bgrewriteaof] [--timeline FILE.json] NAME='COMMAND ...' ...

Each server is started anew for each scenario and filled; then one connection sends one request every 0.3 ms, for
two seconds before the job and until it ends. `--timeline` keeps every latency of the last scenario for plot.py.
Extra memory is that of a second job. Percentiles of what the client sees, so a busy machine shows in the columns before as well.
"""
import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time


def command(*parts):
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def texts(n, every=500):
    """Runs of `every` numbers below n."""
    for start in range(0, n, every):
        yield range(start, min(start + every, n))


# Seconds from the start of filling to the first expiry.
EXPIRY_AFTER = 20


# Each scenario: what fills the server (n elements), and the request that a probe sends, given a random source.
def fill_small(n):
    for run in texts(n, 1):
        yield command("SET", f"key:{run[0]}", "x" * 64)


def fill_big(n):
    for i in range(10_000):
        yield command("SET", f"big:{i}", "%d" % i * (19_000 + i % 50_000 // 6))


def fill_zset(n):
    for run in texts(n):
        yield command("ZADD", "large", *(part for i in run for part in (i * 7919 % n, f"member:{i}")))


def fill_hash(n):
    for run in texts(n):
        yield command("HSET", "large", *(part for i in run for part in (f"field:{i}", f"value:{i}")))


def fill_set(n):
    for run in texts(n):
        yield command("SADD", "large", *(f"member:{i}" for i in run))


def fill_list(n):
    for run in texts(n):
        yield command("RPUSH", "large", *(f"item:{i}" for i in run))


def fill_stream(n):
    for i in range(n):
        yield command("XADD", "large", f"{i + 1}-0", "field", f"value:{i}")


def fill_expiring(n):
    at = int(time.time() * 1000) + EXPIRY_AFTER * 1000
    for i in range(n):
        yield command("SET", f"key:{i}", "x" * 64, "PXAT", at + i % 2000)


SCENARIOS = {
    "small": (fill_small, lambda r, n: command("SET", f"key:{r.randrange(n)}", "y" * 64)),
    "growing": (fill_small, lambda r, n: command("SET", f"new:{r.getrandbits(60)}", "y" * 64)),
    "big": (fill_big, lambda r, n: command("APPEND", f"big:{r.randrange(10_000)}", "y")),
    "zset": (fill_zset, lambda r, n: command("ZADD", "large", r.randrange(n), f"member:{r.randrange(n)}")),
    "hash": (fill_hash, lambda r, n: command("HSET", "large", f"field:{r.randrange(n)}", "y")),
    "set": (fill_set, lambda r, n: command("SADD", "large", f"new:{r.getrandbits(60)}")),
    "list": (fill_list, lambda r, n: command("LSET", "large", r.randrange(1000), "y")),
    "stream": (fill_stream, lambda r, n: command("XADD", "large", "*", "field", "y")),
    "flushall": (fill_small, lambda r, n: command("SET", f"key:{r.randrange(n)}", "y" * 64)),
    "eviction": (fill_small, lambda r, n: command("SET", f"new:{r.getrandbits(60)}", "y" * 64)),
    "expiry": (fill_expiring, lambda r, n: command("SET", f"other:{r.randrange(n)}", "y" * 64)),
}


# What happens during the job in these happens once.
ONCE = ("flushall", "eviction", "expiry")


class Server:
    def __init__(self, line, port, options):
        self.port = port
        self.dir = tempfile.mkdtemp(prefix="stalls-")
        options = ["--port", str(port), "--dir", self.dir, "--save", "", *options]
        log = open(self.dir + "/out", "wb")
        self.process = subprocess.Popen(line.split() + options, stdout=log, stderr=log, cwd=self.dir)
        self.main = self.connect()

    def connect(self):
        for _ in range(2000):
            try:
                link = socket.create_connection(("127.0.0.1", self.port))
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return link
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"no server at port {self.port}")

    def fill(self, requests):
        batch = []
        for request in requests:
            batch.append(request)
            if sum(map(len, batch[-1:])) > 4096 or len(batch) == 500:
                self.exchange(batch)
                batch = []
        self.exchange(batch)

    def exchange(self, batch):
        if not batch:
            return
        self.main.sendall(b"".join(batch))
        left = sum(2 if b"XADD" in request[:16] else 1 for request in batch)
        while left > 0:
            data = self.main.recv(1 << 16)
            if not data or b"-ERR" in data or b"-OOM" in data:
                raise SystemExit(f"the server answered {data[:80]!r}")
            left -= data.count(b"\r\n")

    def info(self, section):
        link = self.connect()
        link.sendall(command("INFO", section))
        text = b""
        while b"\r\n\r\n" not in text.split(b"\r\n", 1)[-1] and not text.endswith(b"\r\n"):
            text += link.recv(1 << 16)
        time.sleep(0.002)
        link.setblocking(False)
        try:
            while more := link.recv(1 << 16):
                text += more
        except OSError:
            pass
        link.close()
        return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)

    def memory(self):
        """Of the process and its children; pages that they share count once."""
        pids = [self.process.pid]
        for task in os.listdir(f"/proc/{pids[0]}/task"):
            try:
                pids += map(int, open(f"/proc/{pids[0]}/task/{task}/children").read().split())
            except OSError:
                pass
        total = 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/smaps_rollup") as lines:
                    total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            except OSError:
                pass
        return total * 1024

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def probe(server, request, n, stop, seen):
    link, chance = server.connect(), random.Random(3)
    while not stop.is_set():
        text = request(chance, n)
        began = time.perf_counter()
        link.sendall(text)
        while not link.recv(4096).endswith(b"\r\n"):
            pass
        seen.append((began, time.perf_counter() - began))
        time.sleep(0.0003)
    link.close()


def quantile(seen, q):
    ordered = sorted(latency for _, latency in seen)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1e3 if ordered else 0.0


def until_done(server, busy, look=lambda: None):
    began = time.perf_counter()
    while time.perf_counter() - began < 120:
        look()
        if server.info("persistence").get(busy) == "0":
            return
        time.sleep(0.05)


def growth(server, job, busy):
    """Memory at its highest during another job, to what it was before. Looking at it takes milliseconds of a core when a
    process has a gigabyte, so it is not done while latencies count."""
    before = server.memory()
    peaks = [before]
    server.exchange([command(job.upper())])
    until_done(server, busy, lambda: peaks.append(server.memory()))
    return f"x{max(peaks) / before:.2f}"


def measure(name, line, scenario, options, port):
    fill, request = SCENARIOS[scenario]
    rewrite = options.job == "bgrewriteaof"
    flags = ["--appendonly", "yes" if rewrite else "no", "--appendfsync", "everysec"]
    flags += ["--auto-aof-rewrite-percentage", "0"]
    server = Server(line, port, flags)
    try:
        filled_from = time.time()
        server.fill(fill(options.elements))
        if scenario == "eviction":
            used = int(server.info("memory")["used_memory"])
            server.exchange([command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")])
            server.exchange([command("CONFIG", "SET", "maxmemory", used - used // 50)])
        if scenario == "expiry":
            # The keys begin to expire soon after the job begins.
            time.sleep(max(0.0, EXPIRY_AFTER - 2.2 - (time.time() - filled_from)))
        stop, seen = threading.Event(), []
        thread = threading.Thread(target=probe, args=(server, request, options.elements, stop, seen))
        thread.start()
        time.sleep(2)
        quiet = list(seen[100:])
        began, at = time.perf_counter(), len(seen)
        server.exchange([command(options.job.upper())])
        if scenario == "flushall":
            time.sleep(0.1)
            server.exchange([command("FLUSHALL")])
        busy = "aof_rewrite_in_progress" if rewrite else "rdb_bgsave_in_progress"
        until_done(server, busy)
        took = time.perf_counter() - began
        during = list(seen[at:])
        time.sleep(1 if options.timeline else 0)
        kept = list(seen)
        grown = "-" if scenario in ONCE else growth(server, options.job, busy)
        stop.set()
        thread.join()
        print(
            f"| {scenario} | {name} | {took:.1f} | {quantile(quiet, .99):.2f} -> {quantile(during, .99):.2f} "
            f"| {quantile(quiet, .999):.2f} -> {quantile(during, .999):.2f} "
            f"| {quantile(quiet, 1):.1f} -> {quantile(during, 1):.1f} | {grown} |",
            flush=True,
        )
        return {"name": name, "took": took, "points": [(start - began, latency) for start, latency in kept]}
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--elements", type=int, default=1_000_000)
    parser.add_argument("--job", choices=["bgsave", "bgrewriteaof"], default="bgsave")
    parser.add_argument("--timeline")
    parser.add_argument("--port", type=int, default=7520)
    parser.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    options = parser.parse_args()
    print("| while | server | s | p99 ms | p99.9 ms | longest ms | memory |\n|---|---|---|---|---|---|---|")
    lines = []
    for scenario in options.only.split(","):
        lines = []
        for number, server in enumerate(options.servers):
            name, line = server.split("=", 1)
            lines.append(measure(name, line, scenario, options, options.port + number))
    if options.timeline:
        with open(options.timeline, "w") as out:
            json.dump({"job": options.job, "servers": lines}, out)


main()
