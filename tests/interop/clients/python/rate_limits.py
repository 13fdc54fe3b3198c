"""The `limits` package at its exact limit, with every strategy and from several threads."""

import threading
import time

from limits import RateLimitItemPerSecond, RateLimitItemPerYear, storage, strategies

from driver import HOST, PORT, say, title

THREADS = 4
ATTEMPTS = 60
LIMIT = 100

STRATEGIES = (strategies.FixedWindowRateLimiter, strategies.MovingWindowRateLimiter,
              strategies.SlidingWindowCounterRateLimiter)


def main():
    for strategy in STRATEGIES:
        title(strategy.__name__)
        limiters = [strategy(storage.RedisStorage(f"redis://{HOST}:{PORT}/0"))
                    for _ in range(THREADS)]
        item = RateLimitItemPerYear(LIMIT)
        allowed = []

        def hit(limiter):
            allowed.append(sum(limiter.hit(item, strategy.__name__) for _ in range(ATTEMPTS)))

        threads = [threading.Thread(target=hit, args=(limiter,)) for limiter in limiters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(allowed) == LIMIT, f"{sum(allowed)} of {LIMIT} were let through"
        assert not limiters[0].test(item, strategy.__name__)
        assert limiters[0].get_window_stats(item, strategy.__name__).remaining == 0
        limiters[0].clear(item, strategy.__name__)
        assert limiters[0].test(item, strategy.__name__)
        say(sum(allowed))

        brief = RateLimitItemPerSecond(3)
        for _ in range(3):
            limiters[0].hit(brief, "brief")
        deadline = time.monotonic() + 10
        while not limiters[0].hit(brief, "brief"):
            assert time.monotonic() < deadline, "the window never opened again"
            time.sleep(0.02)
        limiters[0].clear(brief, "brief")


if __name__ == "__main__":
    main()
