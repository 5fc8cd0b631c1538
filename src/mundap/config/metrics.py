"""What this process counts about itself; `/metrics` shows it. Names and labels are for operators: docs/operating.md."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_chat_reads = Counter("mundap_chat_reads", "Chats read, by where they came from.", ["result"])
reads_not_modified = _chat_reads.labels("not_modified")
reads_cached = _chat_reads.labels("cached")
reads_loaded = _chat_reads.labels("loaded")
_chat_read_seconds = Histogram(
    "mundap_chat_read_seconds",
    "Time that reading a chat took, in front of Django and in it.",
    ["door"],
    buckets=_SECONDS,
)
front_read_seconds = _chat_read_seconds.labels("front")
django_read_seconds = _chat_read_seconds.labels("django")
cache_hits = Counter("mundap_cache_hits", "Bodies taken from Redis.")
cache_misses = Counter(
    "mundap_cache_misses", "Bodies that Redis did not have, or that did not validate.", ["reason"]
)
cache_fills = Counter("mundap_cache_fills", "Bodies offered to Redis.", ["result"])
cache_self_checks = Counter(
    "mundap_cache_self_checks",
    "Hits read again from Postgres; `different` must stay 0.",
    ["result"],
)
# Each at 0 from the start: Prometheus does not count it as a rise when a number appears.
for _counter, _values in (
    (cache_misses, ("absent", "rev", "etag", "owner", "tag", "error")),
    (cache_fills, ("stored", "dropped", "failed")),
    (cache_self_checks, ("same", "changed", "different")),
):
    for _value in _values:
        _counter.labels(_value)
redis_seconds = Histogram(
    "mundap_redis_seconds", "Time an operation on Redis took.", ["operation"], buckets=_SECONDS
)
redis_failures = Counter(
    "mundap_redis_failures", "Operations that Redis did not carry out.", ["operation"]
)
redis_breaker_open = Gauge(
    "mundap_redis_breaker_open", "1 while Redis is left alone after failures.", ["client"]
)
