#!/usr/bin/env python3
"""Mixed durability: a cache that may lose a second beside payments that may lose nothing, on one server.

    benches/durability.py FASTNESS [--redis REDIS_SERVER] [--seconds 5] [--rounds 3]

Both write on a timetable at once, which does not wait for the server, so that a stall counts in everything that was due in it:
the cache 10 000 SET a second over 50 connections, payments 500 over 10. Fastness gives each user what its replies
mean (`user-durability`); data is in the folder for temporary files, which ought to be on a disk. Other servers have one answer for all, so they are measured with either. Columns: p50, p99, p99.9 in ms of
cache and payments, CPU us of the server per request of both. The first row has nobody wait.
"""
import argparse, json, os, statistics, subprocess

from server import Server

RATES = {"cache": (10_000, 50), "payments": (500, 10)}


def measure(a, command, with_users):
    server = Server(command + ["--appendonly", "yes"])
    try:
        for user in RATES:
            server.must(f"ACL SETUSER {user} on >secret ~* &* +@all")
        if with_users:
            server.must("CONFIG SET user-durability 'payments always cache everysec'")
        before = server.cpu()
        running = {
            user: subprocess.Popen([a.fastness, "bench", f"redis://{user}:secret@127.0.0.1:{server.port}", "--tests", "set", "--rate", str(rate),
                                    "-c", str(connections), "--duration", str(a.seconds), "--json"], stdout=subprocess.PIPE, text=True)
            for user, (rate, connections) in RATES.items()}
        rows = {user: json.loads(process.communicate()[0])["rows"][0] for user, process in running.items()}
        total = sum(rate for rate, _ in RATES.values()) * a.seconds
        cpu = (server.cpu() - before) / total * 1e6
        return [rows[user][f] for user in RATES for f in ("p50_ms", "p99_ms", "p999_ms")] + [cpu]
    finally:
        server.stop()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("fastness")
    ap.add_argument("--redis")
    ap.add_argument("--seconds", type=float, default=5)
    ap.add_argument("--rounds", type=int, default=3)
    a = ap.parse_args()
    ours = [os.path.abspath(a.fastness), "serve"]
    cases = [("fastness, all everysec", ours + ["--appendfsync", "everysec"], False),
             ("fastness, each its own", ours + ["--appendfsync", "always"], True),
             ("fastness, all always", ours + ["--appendfsync", "always"], False)]
    if a.redis:
        redis = [os.path.abspath(a.redis)]
        cases += [("redis, all everysec", redis + ["--appendfsync", "everysec"], False), ("redis, all always", redis + ["--appendfsync", "always"], False)]
    results = {name: [] for name, _, _ in cases}
    for _ in range(a.rounds):
        for name, command, with_users in cases:
            results[name].append(measure(a, command, with_users))
    print(f"{'':26}{'cache p50':>10}{'p99':>8}{'p99.9':>8}{'payments p50':>14}{'p99':>8}{'p99.9':>8}{'CPU us':>8}")
    for name, rows in results.items():
        c50, c99, c999, p50, p99, p999, cpu = (statistics.median(column) for column in zip(*rows))
        print(f"{name:26}{c50:10.2f}{c99:8.2f}{c999:8.2f}{p50:14.2f}{p99:8.2f}{p999:8.2f}{cpu:8.1f}")


main()
