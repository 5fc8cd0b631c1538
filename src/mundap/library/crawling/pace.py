"""How fast a web server may be asked, by all workers on all machines together: one row a host in Postgres.

By plain SQL: processes that only read pages come by here without Django's models. The table is `models.HostPace`.
"""

from __future__ import annotations

from django.db import connection

MAX_HOLD_OFF_SECONDS = 3600.0

_RESERVE = """
INSERT INTO library_hostpace AS pace (host, free_at)
VALUES (%(host)s, clock_timestamp() + make_interval(secs => %(delay)s))
ON CONFLICT (host) DO UPDATE
    SET free_at = greatest(pace.free_at, clock_timestamp()) + make_interval(secs => %(delay)s)
    WHERE pace.free_at <= clock_timestamp() + make_interval(secs => %(patience)s)
RETURNING extract(epoch FROM free_at - clock_timestamp()) - %(delay)s
"""
_LEFT = (
    "SELECT extract(epoch FROM free_at - clock_timestamp()) FROM library_hostpace WHERE host = %s"
)
_HOLD_OFF = """
INSERT INTO library_hostpace AS pace (host, free_at)
VALUES (%(host)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (host) DO UPDATE
    SET free_at = greatest(pace.free_at, clock_timestamp() + make_interval(secs => %(seconds)s))
"""


def reserve(host: str, *, delay_seconds: float, patience_seconds: float) -> tuple[bool, float]:
    """Return whether the host's next free moment is now ours, and in how many seconds it is.

    It is not reserved where it is further away than `patience_seconds`.
    """
    values: dict[str, str | float] = {
        "host": host,
        "delay": delay_seconds,
        "patience": patience_seconds,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, values)
        if row := cursor.fetchone():
            return True, max(0.0, float(row[0]))
        cursor.execute(_LEFT, [host])
        row = cursor.fetchone()
        return False, max(0.0, float(row[0])) if row else 0.0


def hold_off(host: str, seconds: float) -> None:
    """Let nobody ask the host for so many seconds."""
    values: dict[str, str | float] = {"host": host, "seconds": min(seconds, MAX_HOLD_OFF_SECONDS)}
    with connection.cursor() as cursor:
        cursor.execute(_HOLD_OFF, values)
