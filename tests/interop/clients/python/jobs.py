"""What the workers of the queues run: a job that leaves a line behind."""

import os
import time


def record(number, seconds=0.02):
    time.sleep(seconds)
    line = os.open("done", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(line, f"{number}\n".encode())
    os.close(line)
    return number * 2


def fail():
    raise ValueError("a job that fails")


def recorded():
    """The numbers of the jobs that ran, once or more often."""
    try:
        with open("done", encoding="ascii") as lines:
            return {int(line) for line in lines}
    except FileNotFoundError:
        return set()
