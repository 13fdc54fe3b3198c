#!/usr/bin/env python3
"""What other clients feel, and what memory does, while one client does something slow or large; beside a real server.

    benches/neighbours.py REDIS_SERVER FASTNESS [--only WORD] [--members 10000000] [--seconds 4]

The others are `fastness bench` with 2000 requests a second on a timetable (GET and SET, 20 connections), so that a stall counts in
everything that was due in it. `rss` is the process' peak while it lasts, over what it was before.
"""
import argparse, json, os, resource, shutil, socket, subprocess, sys, tempfile, threading, time

def encode(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

class Server:
    def __init__(self, name, command):
        self.name, self.dir = name, tempfile.mkdtemp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0)); self.port = free.getsockname()[1]
        self.process = subprocess.Popen(command + ["--port", str(self.port), "--dir", self.dir, "--appendonly", "no", "--save", "",
            "--maxclients", "20000", "--proto-max-bulk-len", "536870912"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try: self.connect().close(); return
            except OSError: time.sleep(0.02)
    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port)); s.settimeout(120); return s
    def rss(self):
        return int(open(f"/proc/{self.process.pid}/statm").read().split()[1]) * 4096
    def send(self, data):
        """Sends requests, takes all replies."""
        with self.connect() as s:
            writer = threading.Thread(target=s.sendall, args=(data + encode("ECHO", "the-end"),)); writer.start()
            tail = b""
            while not tail.endswith(b"$7\r\nthe-end\r\n"):
                part = s.recv(1 << 20)
                if not part: return
                tail = (tail + part)[-20:]
            writer.join()
    def number(self, section, field):
        with self.connect() as s:
            s.sendall(encode("INFO", section)); text = b""
            while field.encode() + b":" not in text: text += s.recv(1 << 16)
            return int(text.split(field.encode() + b":")[1].split(b"\r")[0])
    def stop(self):
        self.process.kill(); self.process.wait(); shutil.rmtree(self.dir, ignore_errors=True)

def repeat(act):
    def run(server, done):
        while not done.is_set():
            act(server); done.wait(0.05)
    return run

def deaf(server, done):
    s = server.connect(); s.setblocking(False); request = encode("GET", "large") * 50
    while not done.is_set():
        try: s.send(request)
        except BlockingIOError: done.wait(0.01)
        except OSError: s.close(); s = server.connect(); s.setblocking(False); done.wait(0.1)
    s.close()

def idle(server, done):
    a_few = 10_000 if resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 12_000 else 3000
    before, memory = server.rss(), server.number("memory", "used_memory")
    open_ones = [server.connect() for _ in range(a_few)]
    time.sleep(0.5)
    server.per_connection = ((server.rss() - before) / a_few, (server.number("memory", "used_memory") - memory) / a_few)
    done.wait()
    for s in open_ones: s.close()

def storm(server, done):
    while not done.is_set():
        some = [server.connect() for _ in range(200)]
        for s in some: s.sendall(b"PING\r\n")
        for s in some: s.recv(100); s.close()

SCENES = {
    "nothing": (lambda s, a: None, lambda s, done: done.wait()),
    "KEYS * of 1 000 000": (lambda s, a: [s.send(b"".join(encode("SET", f"many:{i}", "v") for i in range(at, at + 50_000))) for at in range(0, 1_000_000, 50_000)], repeat(lambda s: s.send(encode("KEYS", "*")))),
    "100 MB value, SET and GET": (lambda s, a: None, repeat(lambda s: (s.send(encode("SET", "huge", b"x" * 100_000_000)), s.send(encode("GET", "huge"))))),
    "SUNION": (lambda s, a: [s.send(b"".join(encode("SADD", f"set{at % 2}", *range(i, i + 1000)) for i in range(at, at + 100_000, 1000))) for at in range(0, a.members, 100_000)], repeat(lambda s: s.send(encode("SUNION", "set0", "set1")))),
    "never reads": (lambda s, a: s.send(encode("SET", "large", b"x" * 1_000_000)), deaf),
    "idle connections": (lambda s, a: None, idle),
    "connection storm": (lambda s, a: None, storm),
    "pipelines of 100 000": (lambda s, a: None, repeat(lambda s: s.send(b"".join(encode("SET", f"p:{i}", "v" * 20) for i in range(100_000))))),
}

def scene(name, server, a):
    prepare, act = SCENES[name]
    prepare(server, a)
    before, peak, done = server.rss(), [0], threading.Event()
    def watch():
        while not done.wait(0.01): peak[0] = max(peak[0], server.rss())
    others = [threading.Thread(target=act, args=(server, done)), threading.Thread(target=watch)]
    for t in others: t.start()
    time.sleep(1.5 if act is idle else 0.1)
    out = subprocess.run([a.fastness, "bench", f"127.0.0.1:{server.port}", "--mix", "get=80,set=20", "--rate", "2000", "-c", "20", "--duration", str(a.seconds), "--json"], capture_output=True, text=True).stdout
    done.set()
    for t in others: t.join()
    row = json.loads(out)["rows"][0]
    return row["p50_ms"], row["p99_ms"], row["max_ms"], (peak[0] - before) / 1e6, getattr(server, "per_connection", None)

def main():
    ap = argparse.ArgumentParser(); ap.add_argument("redis"); ap.add_argument("fastness"); ap.add_argument("--only", default="")
    ap.add_argument("--members", type=int, default=10_000_000); ap.add_argument("--seconds", type=float, default=4)
    a = ap.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{'':28}" + "".join(f"{n + ': p50, p99, max ms, rss MB':>42}" for n in ("redis", "fastness")))
    for name in SCENES:
        if a.only and a.only not in name: continue
        line = f"{name:28}"
        for which, command in (("redis", [a.redis]), ("fastness", [a.fastness, "serve"])):
            server = Server(which, command)
            try:
                p50, p99, most, rss, each = scene(name, server, a)
                line += f"{p50:12.2f}{p99:10.2f}{most:10.2f}{rss:10.1f}"
                if each: line += f" ({each[0]:.0f} rss, {each[1]:.0f} used per connection)"
            finally: server.stop()
        print(line, flush=True)

main()
