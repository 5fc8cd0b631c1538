"""REST framework's APIView for the turn path: its database steps run on the turn path's executor, its handlers await.

Authentication, permissions, throttles, parsers, errors and the schema are those of every other view.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from mundap.accounts.models import User
from mundap.config.threads import in_database_thread
from mundap.config.throttles import TurnThrottle


class AsyncAPIView(APIView):
    """An APIView whose handlers are coroutines."""

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Return the handler's response, or the one for its error; the same steps as in APIView."""
        self.args, self.kwargs = args, kwargs
        self.request = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        try:
            await in_database_thread(self.initial, self.request, *args, **kwargs)
            method = (request.method or "").lower()
            known = method in self.http_method_names
            handler = (known and getattr(self, method, None)) or self.http_method_not_allowed
            response = handler(self.request, *args, **kwargs)
            if inspect.isawaitable(response):
                response = await response
        except Exception as exc:  # noqa: BLE001 - the edge: handle_exception raises what it does not know
            response = self.handle_exception(exc)
        self.response = self.finalize_response(self.request, response, *args, **kwargs)
        return cast("HttpResponseBase", self.response)

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """Return JSON: a stream is chosen by the handler, and errors before it begins are JSON too."""
        return JSONRenderer(), JSONRenderer.media_type

    @property
    def user(self) -> User:
        """Return who sent the request."""
        return cast("User", self.request.user)

    @property
    def token(self) -> UUID | None:
        """Return the id of the API token that the request was sent with, if it was."""
        return getattr(self.request.auth, "pk", None)

    @property
    def sent(self) -> Mapping[str, Any]:
        """Return the JSON object that was sent."""
        return cast("Mapping[str, Any]", self.request.data)


class AskingView(AsyncAPIView):
    """A view whose POST asks a question: that has a limit of its own."""

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the limits of this request."""
        own = [TurnThrottle()] if self.request.method == "POST" else []
        return [*super().get_throttles(), *own]


def wants_stream(request: HttpRequest | Request) -> bool:
    """Tell whether the client accepts server-sent events, by name."""
    accepted = str(request.META.get("HTTP_ACCEPT", "")).lower()
    return "text/event-stream" in accepted
