"""RQ with two workers: every job that was accepted runs, although the server is killed meanwhile."""

import logging
import multiprocessing
import time

import redis
from rq import Queue, Retry, Worker
from rq.registry import StartedJobRegistry

import jobs
from driver import PORT, crash, say, title

JOBS = 30


def connect():
    return redis.Redis(port=PORT)


def work():
    logging.disable(logging.CRITICAL)
    Worker(["jobs"], connection=connect()).work(logging_level="CRITICAL")


def wait(what, condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def main():
    queue = Queue("jobs", connection=connect())
    title("results, failures and dependencies")
    accepted = [queue.enqueue(jobs.record, n, retry=Retry(max=5), result_ttl=500)
                for n in range(JOBS)]
    workers = [multiprocessing.Process(target=work, daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    wait("some jobs", lambda: len(jobs.recorded()) >= 5)
    crash()
    say("crashed")
    accepted += [queue.enqueue(jobs.record, n, retry=Retry(max=5), result_ttl=500)
                 for n in range(JOBS, JOBS + 10)]
    started = StartedJobRegistry("jobs", connection=connect())

    def all_ran():
        # A job whose worker could not say how it ended is still listed as started, and one whose worker had taken it
        # and said no more is between the queues: RQ looks there every ten minutes.
        if queue.is_empty():
            between = queue.intermediate_queue
            for job_id in started.get_job_ids() + between.get_job_ids():
                queue.connection.lrem(between.key, 1, job_id)
                queue.enqueue_job(queue.fetch_job(job_id))
        return jobs.recorded() >= set(range(JOBS + 10))

    wait("every job", all_ran)
    say(len(accepted))
    after = queue.enqueue(jobs.record, 1000)
    then = queue.enqueue(jobs.record, 1001, depends_on=after)
    failing = queue.enqueue(jobs.fail)
    wait("the dependent job", lambda: then.get_status(refresh=True) == "finished")
    wait("the failure", lambda: failing.get_status(refresh=True) == "failed")
    assert then.return_value(refresh=True) == 2002
    for worker in workers:
        worker.kill()


if __name__ == "__main__":
    main()
