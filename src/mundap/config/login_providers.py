"""Logging in elsewhere: which providers are set up, as allauth and the Content-Security-Policy want to know it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mundap.errors import ConfigurationError

# Where the form of the log-in page is sent on to, which the policy must allow.
_SENT_ON_TO = {"google": "https://accounts.google.com", "github": "https://github.com"}
_SCOPES = {"google": ["profile", "email"], "github": ["user:email"]}


@dataclass(frozen=True, slots=True)
class LoginProvider:
    """A provider as the settings name it; without a client id it is not offered. `issuer` is OpenID Connect's."""

    kind: str
    name: str
    client_id: str
    secret: str
    issuer: str = ""

    @property
    def origin(self) -> str:
        """Where the person's browser goes to."""
        parts = urlsplit(self.issuer)
        return _SENT_ON_TO.get(self.kind) or f"{parts.scheme}://{parts.netloc}"


def offered(providers: Iterable[LoginProvider]) -> list[LoginProvider]:
    """Return those that are set up. Raises ConfigurationError for one that is set up by half."""
    found = []
    for one in providers:
        needed = [one.client_id, one.secret, *([] if one.kind in _SCOPES else [one.issuer])]
        if all(needed):
            found.append(one)
        elif any(needed):
            raise ConfigurationError(
                f"Logging in with {one.name} is set up by half: it needs the client's id and secret"
                + ("." if one.kind in _SCOPES else ", and the issuer.")
            )
    return found


def as_allauth_settings(providers: Iterable[LoginProvider]) -> dict[str, dict[str, Any]]:
    """Return SOCIALACCOUNT_PROVIDERS."""
    return {
        one.kind: {
            "OAUTH_PKCE_ENABLED": True,
            **({"SCOPE": _SCOPES[one.kind]} if one.kind in _SCOPES else {}),
            "APPS": [
                {
                    "provider_id": "oidc" if one.issuer else one.kind,
                    "name": one.name,
                    "client_id": one.client_id,
                    "secret": one.secret,
                    "settings": {"server_url": one.issuer} if one.issuer else {},
                }
            ],
        }
        for one in providers
    }
