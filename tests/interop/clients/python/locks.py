"""redis-py's Lock: processes that contend for it, and its ends other than a release."""

import multiprocessing
import os
import time

import redis

from driver import PORT, say, title

PROCESSES = 5
TURNS = 12
GUARD = "only-one-holds-the-lock"


def connect():
    return redis.Redis(port=PORT)


def holder(number):
    r = connect()
    for turn in range(TURNS):
        with r.lock("contended", timeout=30, sleep=0.002):
            # Fails when another process is between these two lines, too.
            os.close(os.open(GUARD, os.O_CREAT | os.O_EXCL))
            count = int(r.get("count") or 0)
            time.sleep(0.001)
            r.set("count", count + 1)
            os.unlink(GUARD)


def contention():
    title("contention")
    processes = [multiprocessing.Process(target=holder, args=(n,), daemon=True) for n in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes), "two held the lock"
    count = int(connect().get("count"))
    assert count == PROCESSES * TURNS, f"{count} turns were counted"
    say(count)


def ends():
    title("expiry, extension, foreign release")
    r = connect()
    lock = r.lock("short", timeout=30)
    assert lock.acquire()
    assert not r.lock("short").acquire(blocking=False), "a held lock was taken"
    assert lock.owned() and lock.extend(30) and r.pttl("short") > 30_000
    assert lock.reacquire() and r.pttl("short") <= 30_000
    lock.release()
    for end in ("release", "extend", "reacquire"):
        late = r.lock("late", timeout=0.02)
        assert late.acquire()
        assert r.lock("late", timeout=10).acquire(blocking_timeout=5), "the lock never expired"
        try:
            getattr(late, end)(*([1] if end == "extend" else []))
        except redis.exceptions.LockNotOwnedError as error:
            say(error)
        else:
            raise AssertionError("one that lost the lock ended or prolonged it")
        r.delete("late")


if __name__ == "__main__":
    contention()
    ends()
