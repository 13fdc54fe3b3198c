#!/usr/bin/env python3
"""A million mixed records: resident bytes for each, and how long a restart takes, from the log and from its rewritten base.

    benches/restart.py redis8=redis-server valkey9=valkey-server fastness='fastness serve' [--keys 1000000] [--rounds 1] [--json]

Of ten records six are strings of 64 bytes, two hashes of three fields, one is a member of one of 50 sorted sets and one an item
of one of 500 lists; the same for all servers. Each server in turn is started on an empty directory below $TMPDIR with a log
(`appendfsync everysec`), filled, ended with SIGTERM and started again: a restart lasts from there until DBSIZE answers what
it did before. BGREWRITEAOF, and the same again. What is read was just written, so it comes from the page cache. Resident bytes are what
the process grew by (smaps_rollup), before the first restart. Medians of the rounds.
"""
import argparse, json, os, random, signal, socket, statistics, subprocess, sys, time
from server import Server, named

LOG = ["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]
# What is measured, and what a row of the table is called.
FIGURES = {
    "bytes_per_record": "resident bytes per record",
    "restart_from_log_s": "restart from the log, s",
    "restart_from_base_s": "restart from its rewritten base, s",
    "log_mib": "the log, MiB",
    "rewritten_mib": "after BGREWRITEAOF, MiB",
}


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def records(count):
    chance = random.Random(20261130)
    # Values are stretches of this: words of a small vocabulary and numbers, as text in a store is.
    vocabulary = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randrange(3, 9))) for _ in range(300)]
    text = b" ".join(chance.choice(vocabulary) + b"%d" % chance.randrange(1000) for _ in range(20_000))
    for ten in range(0, count, 10):
        for i in range(ten, min(ten + 10, count)):
            kind, at = i - ten, chance.randrange(len(text) - 64)
            value = text[at : at + 64]
            if kind < 6:
                yield request(b"SET", b"page:%08d" % i, value)
            elif kind < 8:
                yield request(b"HSET", b"account:%07d" % i, b"name", value[:12], b"town", value[12:30], b"age", b"%d" % (i % 97))
            elif kind == 8:
                yield request(b"ZADD", b"ranking:%02d" % (ten // 10 % 50), b"%d" % chance.randrange(10**6), b"gamer:%07d" % i)
            else:
                yield request(b"RPUSH", b"queue:%03d" % (ten // 10 % 500), value)


class Kept(Server):
    """A server that is ended and started again on what it kept."""

    def __init__(self, command):
        self.command = command + LOG
        super().__init__(self.command)

    def ask(self, line):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as link, link.makefile("rb") as reply:
            link.sendall(line.encode() + b"\r\n")
            head = reply.readline()
            if not head:
                raise ConnectionError("closed without an answer")
            return (reply.read(int(head[1:])) if head.startswith(b"$") else head).decode()

    def fill(self, requests):
        with socket.create_connection(("127.0.0.1", self.port)) as link:
            batch = []
            for one in requests:
                batch.append(one)
                if len(batch) == 500:
                    self.exchange(link, batch)
                    batch = []
            self.exchange(link, batch)

    def exchange(self, link, batch):
        link.sendall(b"".join(batch))
        left = len(batch)
        while left > 0:
            part = link.recv(1 << 16)
            if not part or b"-" in part:
                raise SystemExit(f"{self.command[0]} answered {part[:80]!r}")
            left -= part.count(b"\n")

    def resident(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))

    def on_disk(self):
        """Blocks, not lengths: room that a file has ahead and never wrote is not counted."""
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(self.dir) for name in names]
        return sum(os.stat(path).st_blocks * 512 for path in paths) / (1 << 20)

    def rewrite(self):
        self.must("BGREWRITEAOF")
        while any(f"aof_rewrite_{word}:1" in self.ask("INFO persistence") for word in ("in_progress", "scheduled")):
            time.sleep(0.05)
        if "aof_last_bgrewrite_status:ok" not in self.ask("INFO persistence"):
            raise SystemExit(f"{self.command[0]}: BGREWRITEAOF failed")

    def restarted(self):
        """Seconds from a start to the answer of before."""
        wanted = self.ask("DBSIZE")
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        began = time.perf_counter()
        self.process = subprocess.Popen(self.command + ["--port", str(self.port), "--dir", self.dir, "--save", ""],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        answer = None
        while answer != wanted:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.command[0]}: does not start again")
            try:
                answer = self.ask("DBSIZE")
            except OSError:
                pass
            if answer is not None and answer.startswith(":") and answer != wanted:
                raise SystemExit(f"{self.command[0]}: DBSIZE was {wanted.strip()} and is {answer.strip()}")
            time.sleep(0 if answer == wanted else 0.005)
        return time.perf_counter() - began


def measure(command, keys):
    server = Kept(command)
    try:
        before = server.resident()
        server.fill(records(keys))
        # What connections took is given back, the last second's log is written.
        time.sleep(1.5)
        grown = server.resident() - before
        log = server.on_disk()
        from_log = server.restarted()
        server.rewrite()
        rewritten = server.on_disk()
        from_base = server.restarted()
        return dict(zip(FIGURES, (grown / keys, from_log, from_base, log, rewritten)))
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    options = parser.parse_args()
    servers = named(parser, options.servers)
    rounds = {name: [] for name, _ in servers}
    for turn in range(options.rounds):
        for name, command in servers[:: -1 if turn % 2 else 1]:
            rounds[name].append(measure(command, options.keys))
    medians = {name: {figure: statistics.median(one[figure] for one in taken) for figure in FIGURES} for name, taken in rounds.items()}
    if options.json:
        rows = [{"server": name, **medians[name], "rounds": taken} for name, taken in rounds.items()]
        json.dump({"settings": vars(options), "rows": rows}, sys.stdout, indent=1)
        print()
        return
    names = list(medians)
    versus = [f"{names[-1]} to the best of the others"] if len(names) > 1 else []
    print("| | " + " | ".join(names + versus) + " |")
    print("|---" * (1 + len(names + versus)) + "|")
    for figure, title in FIGURES.items():
        values = [medians[name][figure] for name in names]
        cells = [f"{value:.2f}" if figure.endswith("_s") else f"{value:.1f}" for value in values]
        if versus:
            cells.append(f"{values[-1] / min(values[:-1]):.2f}")
        print(f"| {title} | " + " | ".join(cells) + " |")


main()
