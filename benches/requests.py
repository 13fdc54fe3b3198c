#!/usr/bin/env python3
"""Requests a second, p99 and the server's CPU time per request, of any servers that take redis-server's options, in turns.

    benches/requests.py redis8=redis-server valkey9=valkey-server fastness='fastness serve'
        [--fsync everysec|always|no] [--pipeline 1,16] [--tests set,get,incr,lpush,hset,zadd] [--clients 50] [--keys 100000]
        [--size 64] [--seconds 2] [--rounds 3] [--generator valkey-benchmark] [--pin] [--json]

valkey-benchmark or redis-benchmark sends the requests. For each figure a server is started anew, on an empty directory below
$TMPDIR; for `get` all keys are set first. The first turn of a test is short and only tells how many requests take the fastest
server --seconds; all servers are then sent as many, in turns, a tenth before that uncounted. Medians of the rounds. CPU time is
that of all threads of the server (/proc/PID/stat, so to 10 ms), and is what a busy machine disturbs least. `--fsync no` is
without a log. `--pin` keeps the servers on the first core and the generator on the last.
"""
import argparse, csv, json, os, shlex, socket, statistics, subprocess, sys
from server import Server, named

CORES = sorted(os.sched_getaffinity(0))
COLUMNS = ["requests_per_second", "p99_ms", "cpu_us"]
# Requests of the turn that only tells how many are enough.
FEW = 20_000


def log_options(fsync):
    log = ["--appendonly", "no"] if fsync == "no" else ["--appendonly", "yes", "--appendfsync", fsync]
    return log + ["--auto-aof-rewrite-percentage", "0"]


def start(command, options):
    """A process runs where the one runs that starts it."""
    if options.pin:
        os.sched_setaffinity(0, CORES[:1])
    server = Server(command + log_options(options.fsync))
    if options.pin:
        os.sched_setaffinity(0, CORES[-1:])
    return server


def fill(server, options):
    """Every key that the generator may ask for."""
    value = b"x" * options.size
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        for begin in range(0, options.keys, 500):
            keys = range(begin, min(begin + 500, options.keys))
            link.sendall(b"".join(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n" % (key, len(value), value) for key in keys))
            left = len(keys) * len(b"+OK\r\n")
            while left > 0:
                part = link.recv(1 << 16)
                if not part or b"-" in part:
                    raise SystemExit(f"SET was answered with {part[:80]!r}")
                left -= len(part)


def generate(server, test, depth, requests, options):
    """Has the generator send them; its line of figures."""
    command = [options.generator, "-p", server.port, "-c", options.clients, "-P", depth, "-n", requests, "-r", options.keys,
               "-d", options.size, "-t", test, "--csv"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    if done.returncode != 0 or len(rows) != 1:
        raise SystemExit(f"{shlex.join(map(str, command))}: {done.stderr.strip() or f'{len(rows)} tests of this name'}")
    return rows[0]


def measure(command, test, depth, requests, options):
    server = start(command, options)
    try:
        if test == "get":
            fill(server, options)
        # Whole pipelines of all clients: the generator sends no part of one.
        whole = depth * options.clients
        requests = -(-requests // whole) * whole
        generate(server, test, depth, -(-requests // 10 // whole) * whole, options)
        before = server.cpu()
        row = generate(server, test, depth, requests, options)
        used = server.cpu() - before
        return {
            "requests_per_second": float(row["rps"]),
            "p99_ms": float(row["p99_latency_ms"]),
            "cpu_us": used * 1e6 / requests,
            "requests": requests,
        }
    finally:
        server.stop()


def compared(servers, test, depth, options):
    """A row of the result for each server."""
    enough = max(measure(command, test, depth, FEW, options)["requests_per_second"] for _, command in servers) * options.seconds
    rounds = {name: [] for name, _ in servers}
    for turn in range(options.rounds):
        for name, command in servers[:: -1 if turn % 2 else 1]:
            rounds[name].append(measure(command, test, depth, int(enough), options))
    for name, taken in rounds.items():
        medians = {column: statistics.median(one[column] for one in taken) for column in COLUMNS}
        yield {"test": test, "pipeline": depth, "server": name, **medians, "rounds": taken}


def ratios(rows):
    """The last server to the best of the others, column by column."""
    *others, last = rows
    best = {column: (max if column == "requests_per_second" else min)(row[column] for row in others) for column in COLUMNS}
    return {column: last[column] / best[column] if best[column] else float("nan") for column in COLUMNS}


def print_head(names):
    versus = [f"{names[-1]} to the best of the others"] if len(names) > 1 else []
    print("| | " + " | | | ".join(names + versus) + " | | |")
    print("|---" * (1 + 3 * len(names + versus)) + "|")
    print("| | " + " | ".join(["requests/s | p99 ms | CPU us"] * len(names) + ["rate | p99 | CPU"] * len(versus)) + " |", flush=True)


def print_line(title, rows):
    cells = [f"{row['requests_per_second']:.0f} | {row['p99_ms']:.2f} | {row['cpu_us']:.2f}" for row in rows]
    if len(rows) > 1:
        cells.append(" | ".join(f"{ratio:.2f}" for ratio in ratios(rows).values()))
    print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fsync", choices=["everysec", "always", "no"], default="everysec")
    parser.add_argument("--pipeline", default="1,16")
    parser.add_argument("--tests", default="set,get,incr,lpush,hset,zadd")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generator", default="valkey-benchmark")
    parser.add_argument("--pin", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    options = parser.parse_args()
    servers = named(parser, options.servers)
    rows, log = [], "no log" if options.fsync == "no" else options.fsync
    if not options.json:
        print_head([name for name, _ in servers])
    for depth in map(int, options.pipeline.split(",")):
        for test in options.tests.lower().split(","):
            rows += compared(servers, test, depth, options)
            if not options.json:
                print_line(f"{log}, P={depth}, {test.upper()}", rows[-len(servers) :])
    if options.json:
        json.dump({"settings": vars(options), "rows": rows}, sys.stdout, indent=1)
        print()


main()
