#!/usr/bin/env python3
"""Backup and restore of half a million records, beside a plain copy, redis-cli --rdb and a Redis that loads the same RDB.

usage: benches/backup.py FASTNESS REDIS-SERVER REDIS-CLI [RECORDS [random]]
With `random` the values are random hexadecimal digits instead of alike. Prints a line for each: seconds (the best of three where it can be repeated), and bytes.
"""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

FASTNESS, REDIS, CLI = sys.argv[1:4]
RECORDS = int(sys.argv[4]) if len(sys.argv) > 4 else 500_000
RANDOM = random.Random(1) if len(sys.argv) > 5 else None


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def cli(port, *words):
    done = subprocess.run([CLI, "-p", str(port), *words], capture_output=True, text=True)
    return done.stdout.strip()


def start(*command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    port = command[command.index("--port") + 1]
    began = time.monotonic()
    while cli(port, "PING") != "PONG":
        assert process.poll() is None, command
        time.sleep(0.005)
    return process, time.monotonic() - began


def fill(port):
    feed = subprocess.Popen([CLI, "-p", str(port), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    for number in range(RECORDS):
        key = f"record:{number}"
        kind = number % 4
        if kind == 0:
            words = ["SET", key, f"value of {number} " * 4]
        elif kind == 1:
            words = ["HSET", key, "name", f"name {number}", "mail", f"{number}@example.org", "age", str(number % 90)]
        elif kind == 2:
            words = ["RPUSH", key] + [f"item {number + n}" for n in range(5)]
        else:
            words = ["ZADD", key] + [w for n in range(4) for w in (str(n), f"member {number + n}")]
        if RANDOM:
            words[-1] = f"{RANDOM.getrandbits(320):080x}"
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        feed.stdin.write(request.encode())
    feed.stdin.close()
    assert feed.wait() == 0


def timed(command):
    began = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.monotonic() - began, done.stdout


def show(what, seconds, size=None):
    print(f"{what:52} {seconds:7.2f} s" + (f" {size / 1e6:8.1f} MB" if size else ""), flush=True)


def size_of(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(path) for name in names)


def main():
    root = tempfile.mkdtemp(prefix="fastness-bench-")
    place = lambda name: os.path.join(root, name)
    port = free_port()
    server, _ = start(FASTNESS, "serve", "--port", str(port), "--dir", place("data"), "--appendfsync", "everysec")
    fill(port)
    cli(port, "BGREWRITEAOF")
    time.sleep(1)
    while "aof_rewrite_in_progress:1" in cli(port, "INFO", "persistence"):
        time.sleep(0.1)
    show("the directory, log rewritten", 0, size_of(place("data")))
    source = f"redis://127.0.0.1:{port}"
    for number in range(3):
        seconds, _ = timed([FASTNESS, "backup", "create", "--from", source, "--to", place(f"repository{number}")])
        show("backup create, the first", seconds, size_of(place(f"repository{number}")))
    seconds, _ = timed([FASTNESS, "backup", "create", "--from", source, "--to", place("repository0")])
    show("backup create, nothing has changed", seconds)
    for number in range(3):
        began = time.monotonic()
        subprocess.run(["cp", "-r", place("data"), place(f"copy{number}")], check=True)
        seconds = time.monotonic() - began
        subprocess.run(["sync"], check=True)
        show("cp -r of the directory (and sync: %.2f s)" % (time.monotonic() - began), seconds)
    for number in range(3):
        seconds, _ = timed([FASTNESS, "restore", "--from", place("repository0"), "--dir", place(f"restored{number}")])
        show("restore, verified", seconds)
    half = size_of(place("repository0")) // 2
    restore = [FASTNESS, "restore", "--from", place("repository0"), "--dir", place("resumed")]
    slow = subprocess.Popen([*restore, "--rate", str(half)], stdout=subprocess.DEVNULL)
    time.sleep(1.2)
    slow.kill()
    slow.wait()
    seconds, out = timed([*restore, "--json"])
    out = json.loads(out)
    show("restore, gone on with after a kill (%d %% kept)" % (out["bytes_kept"] * 100 // max(out["bytes"], 1)), seconds)
    seconds, out = timed([FASTNESS, "restore", "--from", place("repository0"), "--output", place("dump.rdb"), "--json"])
    show("restore as RDB for Redis", seconds, size_of(place("dump.rdb")))
    assert json.loads(out)["keys"] == RECORDS, out
    server.kill()
    server.wait()
    started, seconds = start(FASTNESS, "serve", "--port", str(free_port()), "--dir", place("restored0"))
    show("Fastness starts on what was restored", seconds)
    started.kill()
    started.wait()
    os.mkdir(place("redis"))
    shutil.copy(place("dump.rdb"), place("redis/dump.rdb"))
    for _ in range(3):
        port = free_port()
        redis, seconds = start(REDIS, "--port", str(port), "--dir", place("redis"), "--save", "", "--repl-diskless-sync-delay", "0")
        show("Redis loads the same records from RDB", seconds)
        assert cli(port, "DBSIZE") == str(RECORDS)
        seconds, _ = timed([CLI, "-p", str(port), "--rdb", place("cli.rdb")])
        show("redis-cli --rdb from Redis", seconds, size_of(place("cli.rdb")))
        seconds, _ = timed([FASTNESS, "backup", "create", "--from", f"redis://127.0.0.1:{port}", "--to", place(f"of-redis{port}")])
        show("backup create from Redis, over replication", seconds)
        redis.kill()
        redis.wait()
    shutil.rmtree(root)


main()
