"""What this process counts about itself; `/metrics` shows it. What it means for operators: docs/monitoring.md."""

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
redis_seconds = Histogram(
    "mundap_redis_seconds", "Time an operation on Redis took.", ["operation"], buckets=_SECONDS
)
redis_failures = Counter(
    "mundap_redis_failures", "Operations that Redis did not carry out.", ["operation"]
)
redis_breaker_open = Gauge(
    "mundap_redis_breaker_open", "1 while Redis is left alone after failures.", ["client"]
)

# --- requests
_LONG = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
requests = Counter(
    "mundap_requests",
    "Requests answered; status 499 where the client left before.",
    ["method", "route", "status"],
)
request_seconds = Histogram(
    "mundap_request_seconds",
    "Time until the whole reply was sent, a stream's end included.",
    ["route"],
    buckets=_LONG,
)
requests_running = Gauge("mundap_requests_running", "Requests being answered.")
refusals = Counter(
    "mundap_refusals", "Requests refused with 429, by the limit that was reached.", ["limit"]
)
logins = Counter("mundap_logins", "Log-ins that went well, and that did not.", ["result"])
event_loop_lag_seconds = Histogram(
    "mundap_event_loop_lag_seconds",
    "How much later than it should the event loop gets to something, measured each second.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)

# --- answers
turns_begun = Counter("mundap_turns_begun", "Questions whose answer was begun here.")
turns_ended = Counter("mundap_turns_ended", "Answers that ended here, by state.", ["state"])
turns_running = Gauge("mundap_turns_running", "Answers being written here.")
turn_seconds = Histogram(
    "mundap_turn_seconds", "Time from a stored question to its stored answer.", buckets=_LONG
)
first_token_seconds = Histogram(
    "mundap_first_token_seconds",
    "Time from a stored question to the first text of its answer.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0),
)
answers = Counter(
    "mundap_answers",
    "Answers that are complete: `answered`, or `not_in_documents`.",
    ["result"],
)

# --- models
model_calls = Counter(
    "mundap_model_calls",
    "Calls of the language model, by how they ended.",
    ["model", "purpose", "result"],
)
model_seconds = Histogram(
    "mundap_model_seconds",
    "Time a call of the language model took.",
    ["model", "purpose"],
    buckets=_LONG,
)
model_tokens = Counter(
    "mundap_model_tokens",
    "Tokens as the endpoint counted them: `prompt` in, `completion` out.",
    ["model", "direction"],
)
embedding_calls = Counter(
    "mundap_embedding_calls", "Calls of the embedding endpoint.", ["model", "result"]
)
embedding_texts = Counter(
    "mundap_embedding_texts", "Texts whose vectors the embedding endpoint gave.", ["model"]
)
embedding_seconds = Histogram(
    "mundap_embedding_seconds",
    "Time a call of the embedding endpoint took.",
    ["model"],
    buckets=_LONG,
)

# --- retrieval
search_seconds = Histogram(
    "mundap_search_seconds",
    "Time that searching took, by step.",
    ["step"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
search_passages = Histogram(
    "mundap_search_passages", "Passages that a search found.", buckets=(0, 1, 2, 4, 8, 16)
)

# --- background work
pages_read = Counter(
    "mundap_pages_read", "Pages of sources that this worker has done with.", ["state"]
)
runs_ended = Counter("mundap_runs_ended", "Runs that this process has ended.", ["state"])

# Each at 0 from the start: Prometheus does not count it as a rise when a number appears.
_FROM_ZERO: tuple[tuple[Counter, tuple[str, ...]], ...] = (
    (cache_misses, ("absent", "rev", "etag", "owner", "tag", "error")),
    (cache_fills, ("stored", "dropped", "failed")),
    (cache_self_checks, ("same", "changed", "different")),
    (refusals, ("user", "address", "turns", "turns_running", "server_busy", "attempts")),
    (logins, ("succeeded", "failed")),
    (turns_ended, ("complete", "stopped", "failed", "interrupted")),
    (answers, ("answered", "not_in_documents")),
)
for _counter, _values in _FROM_ZERO:
    for _value in _values:
        _counter.labels(_value)
