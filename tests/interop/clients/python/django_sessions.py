"""Django with its cache and its sessions on the server, by django-redis."""

from django.conf import settings

from driver import HOST, PORT, crash, say, title

settings.configure(
    CACHES={"default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{HOST}:{PORT}/2",
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
    }},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="a key for a test",
)

import django  # noqa: E402

django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402


def main():
    title("cache")
    cache.set("object", {"list": [1, 2.5, None]}, timeout=100)
    say(cache.get("object"))
    say(cache.ttl("object") in (99, 100))
    say(cache.add("object", 1))
    say(cache.get_or_set("computed", lambda: 42, timeout=None))
    say(cache.set_many({f"many:{n}": n for n in range(20)}))
    say(cache.get_many(["many:1", "many:2", "none"]))
    say(cache.incr("many:3", 10))
    say(cache.touch("many:4", 50))
    say(len(list(cache.iter_keys("many:*"))))
    say(cache.delete_pattern("many:1*"))
    say(cache.has_key("many:1"))
    say(cache.set("brief", 1, timeout=0.001, nx=True))
    with cache.lock("cache-lock", timeout=10):
        say("held")
    title("sessions through a crash")
    session = SessionStore()
    session["user"] = {"name": "somebody", "visits": 1}
    session.save()
    session_key = session.session_key
    crash()
    try:
        # The pool's connection was lost with the server.
        cache.get("none")
    except Exception as error:
        say(type(error).__name__)
    kept = SessionStore(session_key=session_key)
    say(kept["user"])
    kept["user"]["visits"] += 1
    kept.save()
    kept.cycle_key()
    say(SessionStore(session_key=kept.session_key)["user"])
    say(SessionStore().exists(session_key))
    say(cache.clear())


if __name__ == "__main__":
    main()
