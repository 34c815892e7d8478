"""The same job for each kind of queue: notes that it begins, works for a moment, notes that it is done."""
import os
import time

NOTES, URL, MOMENT = os.environ["NOTES"], os.environ["REDIS"], float(os.environ.get("MOMENT", "0.1"))


def note(word, number):
    # One write to a file that is appended to: notes of several processes do not mix.
    with open(NOTES, "ab", buffering=0) as file:
        file.write(f"{word} {number} {time.time():.3f}\n".encode())


def work(number):
    note("begun", number)
    time.sleep(MOMENT)
    note("done", number)


def celery():
    from celery import Celery

    app = Celery(broker=URL)
    app.conf.worker_prefetch_multiplier = 1
    app.conf.task_acks_late = True
    app.conf.broker_connection_retry_on_startup = True
    app.task(name="work")(work)
    return app


def huey():
    from huey import RedisHuey

    queue = RedisHuey(url=URL)
    queue.work = queue.task(name="work")(work)
    return queue


def dramatiq():
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    dramatiq.set_broker(RedisBroker(url=URL))
    return dramatiq.actor(work, max_retries=0)


kind = os.environ["KIND"]
if kind == "celery":
    app = celery()
elif kind == "huey":
    app = huey()
elif kind == "dramatiq":
    app = dramatiq()


def enqueue(count):
    if kind == "celery":
        for number in range(count):
            app.send_task("work", [number])
    elif kind == "rq":
        from redis import Redis
        from rq import Queue

        queue = Queue(connection=Redis.from_url(URL))
        for number in range(count):
            queue.enqueue("jobs.work", number)
    elif kind == "huey":
        for number in range(count):
            app.work(number)
    else:
        for number in range(count):
            app.send(number)
