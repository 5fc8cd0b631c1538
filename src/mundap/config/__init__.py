"""Settings, routes and entry points, and what every app stands on.

Entry points   `asgi`, `celery`
Settings       `env` reads them, `login_providers` and `redis_address` some of them; `production_checks` and
               `redis_checks` at the start
Redis          `redis_servers`, `redis_client` with a `breaker`, `shared_counts`; `seals` of what lies there
PostgreSQL     `threads`, `async_database`, `own_session`; `keys` of secrets that lie there
Requests       `middleware`: `observed`, `asked_by_address`, `body_limit`, `bad_input`, `private_replies`; `addresses`,
               `throttles`, `quotas`
API            `exceptions`, `parsers`, `fields`, `schema`
Watching       `logs`, `metrics`, `tracing` by `spans`
"""
