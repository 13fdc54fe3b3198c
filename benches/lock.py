#!/usr/bin/env python3
"""How long a command holds the lock, what two reactors cost beside one, and what more cores would give.

    benches/lock.py FASTNESS VALKEY_BENCHMARK [--rounds 3] [--requests 600000]

`held` is the time in commands (INFO's eventloop_duration_cmd_sum, from the lock's taking to the last command's end) per
request, `cpu` the CPU time of all threads per request. With N cores of which each has a reactor, no more than N / cpu requests fit the cores, and no
more than 1 / held the lock; the load generator is thought away. The figures with one reactor and with two come from alternating rounds.
"""
import argparse, statistics, subprocess, time

from server import Server


def start(binary, policy, reactors):
    log = ["--appendonly", "no"] if policy == "off" else ["--appendonly", "yes", "--appendfsync", policy]
    return Server([binary, "serve", "--io-threads", str(reactors)] + log)


def figures(server):
    """Microseconds in commands, and of CPU."""
    text = server.ask("INFO everything")
    held = next(line.split(":")[1] for line in text.splitlines() if line.startswith("eventloop_duration_cmd_sum:"))
    return int(held), server.cpu() * 1e6


def run(a, server, test, depth):
    held, cpu = figures(server)
    began = time.monotonic()
    requests = a.requests if depth > 1 else a.requests // 4
    subprocess.run([a.benchmark, "-p", str(server.port), "-t", test, "-n", str(requests), "-r", "100000", "-d", "64", "-c", "50", "-P", str(depth), "-q"],
                   stdout=subprocess.DEVNULL, check=True)
    took = time.monotonic() - began
    held_now, cpu_now = figures(server)
    return (held_now - held) / requests, (cpu_now - cpu) / requests, requests / took / 1000


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("fastness")
    ap.add_argument("benchmark")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--requests", type=int, default=600_000)
    a = ap.parse_args()
    print(f"{'':22}{'one reactor: held, cpu us, krps':>34}{'two: held, cpu us, krps':>30}{'thousands a second on 4, 8, 16 cores':>40}")
    for policy in ("off", "everysec", "always"):
        for depth in (16, 1):
            servers = [start(a.fastness, policy, n) for n in (1, 2)]
            try:
                for test in ("set", "get"):
                    rows = ([], [])
                    for _ in range(a.rounds):
                        for server, kept in zip(servers, rows):
                            kept.append(run(a, server, test, depth))
                    one, two = ([statistics.median(column) for column in zip(*kept)] for kept in rows)
                    limits = [min(1000 / one[0], cores * 1000 / one[1]) for cores in (4, 8, 16)]
                    cells = "".join(f"{limit:>9.0f}{' lock' if limit == 1000 / one[0] else ' cores':6}" for limit in limits)
                    print(f"{policy + ', ' + test + ' P=' + str(depth):22}{one[0]:16.3f}{one[1]:9.2f}{one[2]:9.0f}{two[0]:12.3f}{two[1]:9.2f}{two[2]:9.0f}   {cells}", flush=True)
            finally:
                for server in servers:
                    server.stop()


main()
