#!/usr/bin/env python3
"""Scripts: the server's CPU time per EVALSHA, FCALL and EVAL of a rate limiter of three calls, beside a real server's.

    benches/scripts.py REDIS_SERVER FASTNESS BENCHMARK [--rounds 5] [--requests 400000] [--fsync no|everysec|always]

50 connections of redis-benchmark or valkey-benchmark, pipelines of 1 and 16, 10 000 limiters, the servers in turns; the
median of the rounds counts. Without --fsync there is no log.
"""
import argparse, hashlib, socket, statistics, subprocess, sys, tempfile, time, shutil

LIMITER = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return {n, redis.call('TTL', KEYS[1])}"
LIBRARY = "#!lua name=limits\nredis.register_function('limiter', function(KEYS, ARGV) " + LIMITER + " end)"

class Server:
    def __init__(self, program, fsync):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0)); self.port = free.getsockname()[1]
        self.dir = tempfile.mkdtemp()
        log = ["--appendonly", "yes", "--appendfsync", fsync] if fsync else ["--appendonly", "no"]
        self.process = subprocess.Popen(program + ["--port", str(self.port), "--dir", self.dir, "--save", ""] + log,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try: self.socket = socket.create_connection(("127.0.0.1", self.port)); break
            except OSError: time.sleep(0.02)
        self.call("SCRIPT", "LOAD", LIMITER); self.call("FUNCTION", "LOAD", LIBRARY)
    def call(self, *words):
        words = [word.encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        reply = self.socket.recv(65536); assert reply[:1] != b"-", reply
    def cpu(self):
        """Microseconds of all threads: the process' clock."""
        return time.clock_gettime((~self.process.pid << 3) | 2) * 1e6
    def measure(self, benchmark, words, pipeline, requests):
        before = self.cpu()
        command = [benchmark, "-p", str(self.port), "-c", "50", "-P", str(pipeline), "-n", str(requests), "-r", "10000", "-q"] + words
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return (self.cpu() - before) / requests
    def stop(self):
        self.process.kill(); self.process.wait(); shutil.rmtree(self.dir, ignore_errors=True)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("redis"); parser.add_argument("fastness"); parser.add_argument("benchmark")
    parser.add_argument("--rounds", type=int, default=5); parser.add_argument("--requests", type=int, default=400_000)
    parser.add_argument("--fsync")
    options = parser.parse_args()
    servers = [Server([options.redis], options.fsync), Server([options.fastness, "serve"], options.fsync)]
    print("us of server CPU per request: theirs, ours, ratio")
    try:
        for name, script in [("EVALSHA", hashlib.sha1(LIMITER.encode()).hexdigest()), ("FCALL", "limiter"), ("EVAL", LIMITER)]:
            words = [name, script, "1", "limit:__rand_int__", "100"]
            for pipeline, requests in [(16, options.requests), (1, options.requests // 4)]:
                rounds = [[server.measure(options.benchmark, words, pipeline, requests) for server in servers] for _ in range(options.rounds)]
                theirs, ours = (statistics.median(column) for column in zip(*rounds))
                print(f"{name:8} P={pipeline:<3} {theirs:7.2f} {ours:7.2f} {ours / theirs:5.2f}", flush=True)
    finally:
        for server in servers: server.stop()

if __name__ == "__main__":
    sys.exit(main())
