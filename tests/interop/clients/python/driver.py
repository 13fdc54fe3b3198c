"""What the drivers share: where the server is, how a reply is shown, how the server is crashed.

A driver is started with the server's port. What it prints is compared with what the same driver
prints on a real Redis; what must hold on any server it asserts. The line `@crash` asks the test to
kill -9 the server and to start it again on the same port and data; the test answers with a line
when the server is up.
"""

import inspect
import os
import sys
import threading

HOST = "127.0.0.1"
# A process that a driver starts has it from the environment.
PORT = int(os.environ.get("DRIVER_PORT") or sys.argv[1])
URL = f"redis://{HOST}:{PORT}/0"

_crashing = threading.Lock()


def shown(value):
    """A text that does not depend on the order of sets."""
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(shown(item) for item in value)) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(k)}: {shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(shown(item) for item in value) + ")"
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    return repr(value)


def say(value):
    """Prints a reply with the place in the driver that asked for it."""
    caller = inspect.currentframe().f_back
    print(f"{caller.f_code.co_name}:{caller.f_lineno} {shown(value)}", flush=True)


def title(text):
    print(f"== {text}", flush=True)


def crash():
    """Returns when the server was killed and is up again."""
    with _crashing:
        print("@crash", flush=True)
        if not sys.stdin.readline():
            raise SystemExit("the test is gone")
