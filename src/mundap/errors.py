"""Every exception of Mundap; each has a code, an HTTP status and a public message.

MundapError
├── InvalidInput                    400  the request or file is wrong; `fields` says where
│   └── TooLarge                    413
├── NotSignedIn                     401
├── NotAllowed                      403
├── NotFound                        404  also for what belongs to somebody else
├── Conflict                        409
│   └── TurnInProgress              409  `extra` tells where to follow the running turn
├── KeyReused                       422  an idempotency key came back with another request
├── LimitReached                    429
│   └── QuotaReached                429  what may be used in a day or a month is used up; `headers` say what is left
├── SourceError                     400  a documentation source cannot be read
│   └── FetchFailed                 502  a web server did not give a page
│       └── RobotsDisallow          502  its robots.txt does not want it to be read
├── IngestionRunning                409  another process is ingesting the same collection
├── ModelError                      502  the chat or embedding endpoint failed
│   ├── ModelUnavailable            503
│   └── ModelTimeout                504
├── ServiceUnavailable              503  the database, the cache or the disk is not there
├── ConfigurationError              500  a setting is missing or wrong
└── EmbeddedError                   500  an embedded part did not start
    └── DataVersionMismatch         500  a data folder of another PostgreSQL major version
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class MundapError(Exception):
    """The root. `message` is shown to users as it is: it says what is wrong and what to do."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    is_retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """`fields` maps an input's name to its own message; `extra` joins the JSON error."""
        super().__init__(message)
        self.message = message
        self.fields = dict(fields or {})
        self.extra = dict(extra or {})

    def as_json(self) -> dict[str, Any]:
        """Return the body of the one JSON error shape that every endpoint uses."""
        error: dict[str, Any] = {"code": self.code, "message": str(self.message)}
        if self.fields:
            error["fields"] = {name: str(text) for name, text in self.fields.items()}
        return {"error": error | self.extra}


class InvalidInput(MundapError):
    """The request is wrong."""

    code = "invalid_input"
    status = 400


class TooLarge(InvalidInput):
    """The request or file is larger than allowed."""

    code = "too_large"
    status = 413


class NotSignedIn(MundapError):
    """There is no valid session or token."""

    code = "not_signed_in"
    status = 401


class NotAllowed(MundapError):
    """The user is known and may not do this."""

    code = "not_allowed"
    status = 403


class NotFound(MundapError):
    """There is no such object for this user."""

    code = "not_found"
    status = 404


class Conflict(MundapError):
    """The object is not in a state that allows this."""

    code = "conflict"
    status = 409


class TurnInProgress(Conflict):
    """The chat has a running turn."""

    code = "turn_in_progress"


class KeyReused(MundapError):
    """The idempotency key was used for another request."""

    code = "idempotency_key_reused"
    status = 422


class LimitReached(MundapError):
    """Too many requests or running turns."""

    code = "limit_reached"
    status = 429
    is_retryable = True


class QuotaReached(LimitReached):
    """All that may be used in a day or a month is used."""

    code = "quota_reached"

    def __init__(
        self, message: str, *, headers: Mapping[str, str] | None = None, **shown: Any
    ) -> None:
        """`headers` go with the error where it is told over HTTP."""
        super().__init__(message, **shown)
        self.headers = dict(headers or {})


class SourceError(MundapError):
    """A documentation source is missing, empty, broken or not allowed."""

    code = "source_error"
    status = 400


class FetchFailed(SourceError):
    """A web server did not give what was asked for; `was_asked` is false where it was not even asked yet."""

    code = "fetch_failed"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        is_retryable: bool = False,
        retry_after_seconds: float | None = None,
        was_asked: bool = True,
        **shown: Any,
    ) -> None:
        """`retry_after_seconds` is when it may be asked again, if the server or its pace says so."""
        super().__init__(message, **shown)
        self.is_retryable = is_retryable
        self.retry_after_seconds = retry_after_seconds
        self.was_asked = was_asked


class RobotsDisallow(FetchFailed):
    """The site's robots.txt does not want the page to be read."""

    code = "robots_disallow"


class IngestionRunning(MundapError):
    """Another process is ingesting this collection."""

    code = "ingestion_running"
    status = 409
    is_retryable = True


class ModelError(MundapError):
    """The chat or embedding endpoint refused or sent rubbish."""

    code = "model_error"
    status = 502


class ModelUnavailable(ModelError):
    """The endpoint cannot be reached."""

    code = "model_unavailable"
    status = 503
    is_retryable = True


class ModelTimeout(ModelError):
    """The endpoint was silent for too long."""

    code = "model_timeout"
    status = 504
    is_retryable = True


class ServiceUnavailable(MundapError):
    """The database, the cache or the disk is not there."""

    code = "service_unavailable"
    status = 503
    is_retryable = True


class ConfigurationError(MundapError):
    """A setting is missing or wrong."""

    code = "configuration_error"


class EmbeddedError(MundapError):
    """An embedded part did not start; the message names its log."""

    code = "embedded_error"


class DataVersionMismatch(EmbeddedError):
    """The data folder belongs to another PostgreSQL major version."""

    code = "data_version_mismatch"
