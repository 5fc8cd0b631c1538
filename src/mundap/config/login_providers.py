"""Logging in elsewhere: which providers are set up, as allauth wants to know it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mundap.errors import ConfigurationError

_SCOPES = {"google": ["profile", "email"], "github": ["user:email"]}


@dataclass(frozen=True, slots=True)
class LoginProvider:
    """A provider as the settings name it; without a client id it is not offered. `issuer` is OpenID Connect's."""

    kind: str
    name: str
    client_id: str
    secret: str
    issuer: str = ""


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
