"""Strict readers of environment variables: a wrong value is a clear error at start, never a silent default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from mundap.errors import ConfigurationError

# A server that vanishes without a word, as in a failover, would be waited for a quarter of an hour, or two.
_DATABASE_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


def text(name: str, default: str = "") -> str:
    """Return the variable without surrounding white space; an empty one counts as not set."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool) -> bool:
    """Return a boolean written as 1/0, true/false, yes/no or on/off."""
    value = text(name).lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ConfigurationError(f"{name}={value!r} is neither true nor false; write 1 or 0.")


def integer(name: str, default: int, *, minimum: int = 0) -> int:
    """Return a whole number of at least `minimum`."""
    value = text(name)
    try:
        number = int(value) if value else default
    except ValueError:
        raise ConfigurationError(f"{name}={value!r} is not a whole number.") from None
    if number < minimum:
        raise ConfigurationError(f"{name}={number} is too small; it must be at least {minimum}.")
    return number


def seconds(name: str, default: float) -> float:
    """Return a number of seconds, which may have a fraction."""
    value = text(name)
    try:
        number = float(value) if value else default
    except ValueError:
        number = -1.0
    if not 0 <= number < 3600:
        raise ConfigurationError(f"{name}={value!r} is not a number of seconds, such as 0.5.")
    return number


def amount(name: str) -> Decimal:
    """Return an amount of money, as in 12.50; 0 where none is set."""
    value = text(name)
    try:
        return _amount(value) if value else Decimal(0)
    except ValueError:
        raise ConfigurationError(f"{name}={value!r} is not an amount, such as 12.50.") from None


def prices(name: str) -> dict[str, tuple[Decimal, Decimal]]:
    """Return {model: (input, output)} from `model=input/output`, with commas between models."""
    found = {}
    for each in words(name):
        model, _sign, pair = each.rpartition("=")
        given, _slash, made = pair.partition("/")
        try:
            found[model.strip()] = (_amount(given), _amount(made))
        except ValueError:
            model = ""
        if not model.strip():
            raise ConfigurationError(
                f"{name}: {each!r} is not a price; write model=input/output, as in small-1=0.15/0.60."
            )
    return found


def _amount(value: str) -> Decimal:
    """Return the amount of a text. Raises ValueError, also for what is below zero or no number at all."""
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        raise ValueError from None
    if not (number.is_finite() and 0 <= number < 10**9):
        raise ValueError
    return number


def time_zone(name: str, default: str) -> str:
    """Return the name of a time zone, as in Asia/Seoul."""
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise ConfigurationError(
            f"{name}={value!r} is not a time zone; write it as in Asia/Seoul."
        ) from None
    return value


def words(name: str, default: Iterable[str] = ()) -> list[str]:
    """Return a list written with commas."""
    parts = [part.strip() for part in text(name).split(",")]
    return [part for part in parts if part] or list(default)


def choice(name: str, options: tuple[str, ...], *, default: str) -> str:
    """Return one of `options`."""
    value = text(name, default)
    if value not in options:
        raise ConfigurationError(f"{name}={value!r} is unknown; use one of: {', '.join(options)}.")
    return value


def rate(name: str, default: str) -> str:
    """Return an amount a period, as in `600/min`."""
    value = text(name, default)
    if not re.fullmatch(r"\d+\s*/\s*[smhd][a-z]*", value):
        raise ConfigurationError(f"{name}={value!r} is not a rate; write it as in {default}.")
    return value


def url(name: str, *, schemes: tuple[str, ...], default: str = "") -> str:
    """Return an address with one of `schemes`, without a trailing slash."""
    value = text(name, default)
    try:
        is_known = not value or urlsplit(value).scheme in schemes
    except ValueError:
        raise ConfigurationError(f"{name} is not an address that can be read.") from None
    if not is_known:
        raise ConfigurationError(
            f"{name} must start with {' or '.join(f'{s}://' for s in schemes)}."
        )
    return value.rstrip("/")


def listener(name: str) -> tuple[str, int] | None:
    """Return the address and port to listen at, written as `127.0.0.1:9808` or `[::]:9808`; None where none is set."""
    value = text(name)
    if not value:
        return None
    host, _colon, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigurationError(f"{name}={value!r} is no address; write it as 127.0.0.1:9808.")
    return host.strip("[]"), int(port)


def database(name: str) -> dict[str, Any]:
    """Return Django's database settings from a `postgresql://user:password@host:port/name?host=…` address.

    Every query parameter goes to libpq as it is (sslmode, host for a socket's folder, …), before our own.
    """
    parts = urlsplit(url(name, schemes=("postgresql", "postgres"), default="postgresql:///mundap"))
    given = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    options: dict[str, object] = {**_DATABASE_PATIENCE, **given}
    host = options.pop("host", parts.hostname or "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "mundap",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(_port(parts, name) or options.pop("port", "")),
        "OPTIONS": options,
    }


def direct_database_url() -> str:
    """Return the address at which a session is PostgreSQL's own: past a pooler, where there is one."""
    return text("MUNDAP_DIRECT_DATABASE_URL") or text("DATABASE_URL")


def _port(parts: SplitResult, name: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ConfigurationError(f"{name} has a port that is not a number.") from None
