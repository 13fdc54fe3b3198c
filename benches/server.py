"""A server that a benchmark starts: on a free port, in a folder of its own, ended with it."""
import os, shlex, shutil, socket, subprocess, tempfile, time


def named(parser, words):
    """The servers of a command line: names, and commands as lists."""
    if any("=" not in word for word in words):
        parser.error("a server is NAME=COMMAND")
    return [(name, shlex.split(line)) for name, line in (word.split("=", 1) for word in words)]


class Server:
    def __init__(self, command):
        self.dir = tempfile.mkdtemp(prefix="bench-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(command + ["--port", str(self.port), "--dir", self.dir, "--save", ""],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(400):
            try:
                if self.ask("PING").startswith("+PONG"):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        self.stop()
        raise SystemExit(f"{command}: does not start")

    def ask(self, line):
        """One request; its reply as it came, which has to end with a line."""
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.settimeout(30)
            s.sendall(line.encode() + b"\r\n")
            text = b""
            while not text.endswith(b"\r\n"):
                more = s.recv(1 << 16)
                if not more:
                    raise ConnectionError(f"{line}: the server closed the connection")
                text += more
            return text.decode()

    def must(self, line):
        reply = self.ask(line)
        if reply.startswith("-"):
            raise SystemExit(f"{line}: {reply}")

    def cpu(self):
        """Seconds of all threads."""
        # Another process' clock is behind until its threads sleep.
        time.sleep(0.05)
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
