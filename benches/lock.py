#!/usr/bin/env python3
"""How long a command holds the lock, what two reactors cost beside one, and what more cores would give.

    benches/lock.py FASTNESS VALKEY_BENCHMARK [--rounds 3] [--requests 600000]

`held` is the time in commands (INFO's eventloop_duration_cmd_sum, from the lock's taking to the last command's end) per
request, `cpu` the CPU time of all threads per request. With N cores of which each has a reactor, no more than N / cpu requests fit the cores, and no
more than 1 / held the lock; the load generator is thought away. The figures with one reactor and with two come from alternating rounds.
"""
import argparse, os, shutil, socket, statistics, subprocess, tempfile, time


class Server:
    def __init__(self, binary, policy, reactors):
        self.dir = tempfile.mkdtemp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        log = ["--appendonly", "no"] if policy == "off" else ["--appendonly", "yes", "--appendfsync", policy]
        self.process = subprocess.Popen([binary, "serve", "--port", str(self.port), "--dir", self.dir, "--save", "", "--io-threads", str(reactors)] + log,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.ask("PING")
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("does not start")

    def ask(self, line):
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.settimeout(30)
            s.sendall(line.encode() + b"\r\n")
            text = b""
            while not text.endswith(b"\r\n"):
                text += s.recv(1 << 16)
            return text.decode()

    def figures(self):
        # Another process' clock is behind until its threads sleep.
        time.sleep(0.05)
        text = self.ask("INFO debug") + self.ask("INFO everything")
        held = next(line.split(":")[1] for line in text.splitlines() if line.startswith("eventloop_duration_cmd_sum:"))
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(held), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e6

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def run(a, server, test, depth):
    held, cpu = server.figures()
    began = time.monotonic()
    requests = a.requests if depth > 1 else a.requests // 4
    subprocess.run([a.benchmark, "-p", str(server.port), "-t", test, "-n", str(requests), "-r", "100000", "-d", "64", "-c", "50", "-P", str(depth), "-q"],
                   stdout=subprocess.DEVNULL, check=True)
    took = time.monotonic() - began
    held_now, cpu_now = server.figures()
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
            servers = [Server(a.fastness, policy, n) for n in (1, 2)]
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
