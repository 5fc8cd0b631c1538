"""What stands in front of views: the types of ASGI applications, and of middlewares in Django's sense.

Ours are coroutines only, as the server is; Django bridges to them for its sync test client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[..., Awaitable[None]]  # Django and uvicorn type its arguments differently
GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]
