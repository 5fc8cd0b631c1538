"""What must be right in production, as system checks (tag `security`): errors stop the start, warnings are said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from mundap.config import env

SECRETS = {
    "SECRET_KEY": "SECRET_KEY",
    "MUNDAP_TOKEN_KEY": "TOKEN_KEY",
    "MUNDAP_CACHE_KEY": "CACHE_KEY",
}
MIN_CHARACTERS, MIN_DIFFERENT = 32, 8
_EXAMPLE = re.compile(
    r"change.?me|example|insecure|placeholder|your.?(secret|key)|replace", re.IGNORECASE
)
_HOW = "Make one: openssl rand -hex 32"
_LOCAL = {"", "localhost", "127.0.0.1", "::1"}


def check_production(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    """Return what is wrong in production; nothing is connected to."""
    if not settings.IS_PRODUCTION:
        return []
    return [*_check_secrets(), *_check_hosts(), *_check_origins(), *_check_database()]


def _check_secrets() -> Iterator[CheckMessage]:
    values = {name: str(getattr(settings, attribute)) for name, attribute in SECRETS.items()}
    for name, value in values.items():
        if len(value) < MIN_CHARACTERS or len(set(value)) < MIN_DIFFERENT:
            yield Error(
                f"{name} is too easy to guess: it has {len(value)} characters, {len(set(value))} of them different.",
                hint=f"{_HOW}. How to exchange it without signing anybody out: docs/operating.md.",
                id="mundap.E021",
            )
        elif _EXAMPLE.search(value):
            yield Error(f"{name} is an example's.", hint=_HOW, id="mundap.E022")
    for one, other in combinations(values, 2):
        if values[one] == values[other]:
            yield Error(
                f"{one} and {other} are the same, so who learns the one has the other.",
                hint=f"Set each to a text of its own. {_HOW}",
                id="mundap.E023",
            )


def _check_hosts() -> Iterator[CheckMessage]:
    if not settings.ALLOWED_HOSTS:
        yield Error(
            "MUNDAP_ALLOWED_HOSTS is not set, so every request is refused.",
            hint="Set it to the names by which people reach Mundap, as in ask.example.org",
            id="mundap.E024",
        )
    if any(host in {"*", "."} for host in settings.ALLOWED_HOSTS):
        yield checks.Warning(
            "MUNDAP_ALLOWED_HOSTS is *, so whoever asks by a name of their own gets links to it, also in mails.",
            hint="Set it to the names by which people reach Mundap, as in ask.example.org",
            id="mundap.W013",
        )
    # Django speaks no TLS itself: without a proxy that is believed, it sends everybody to where it is again.
    if settings.SECURE_SSL_REDIRECT and not settings.TRUSTED_PROXIES:
        yield checks.Warning(
            "Everybody is sent to HTTPS for ever: MUNDAP_TRUSTED_PROXIES is 0, so no proxy can say that it is used.",
            hint="Set it to how many proxies are in front, or MUNDAP_SSL_REDIRECT=0 where they redirect.",
            id="mundap.W014",
        )


def _check_origins() -> Iterator[CheckMessage]:
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        if not origin.startswith("https://"):
            yield Error(
                f"MUNDAP_TRUSTED_ORIGINS has {origin}, whose pages anybody on the way can change.",
                hint="Name only origins that begin with https://",
                id="mundap.E025",
            )


def _check_database() -> Iterator[CheckMessage]:
    database: Mapping[str, Any] = settings.DATABASES["default"]
    host = str(database["HOST"])
    options: Mapping[str, Any] = database["OPTIONS"]
    by_other_means = {"passfile", "service", "sslcert"} & set(options) or any(
        env.text(name) for name in ("PGPASSWORD", "PGPASSFILE", "PGSERVICE")
    )
    is_near = host in _LOCAL or host.startswith(("/", "@"))
    if not is_near and not database["PASSWORD"] and not by_other_means:
        yield Error(
            f"DATABASE_URL has no password, and its server, {host}, is reached over a network.",
            hint="Give its user a password, or a certificate (sslcert).",
            id="mundap.E026",
        )
