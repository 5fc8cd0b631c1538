"""The page of a summary; `?fragment=1` gives it without the frame, for the pane."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from mundap.accounts.models import User
from mundap.chats import summaries
from mundap.chats.listed import side
from mundap.chats.rendering import answer_html
from mundap.chats.summary_api import POLL_SECONDS, SECTION_BYTES
from mundap.config.throttles import require_rate
from mundap.errors import MundapError


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
async def summary(request: HttpRequest, slug: str) -> HttpResponse:
    """A summary of `?section=` in `?language=`, or of the whole collection; POST has it made."""
    user = cast("User", await request.auser())
    asked = _wish(request)
    if request.method != "POST":
        return await sync_to_async(_page)(request, user, slug, asked)
    try:
        await sync_to_async(require_rate)("turns", str(user.pk))
        await summaries.make(user, slug, **asked)
    except MundapError as exc:
        return await sync_to_async(_page)(request, user, slug, asked, error=exc)
    return redirect(f"{request.path}?{request.GET.urlencode()}")


def _page(
    request: HttpRequest,
    user: User,
    slug: str,
    asked: dict[str, str],
    *,
    error: MundapError | None = None,
) -> HttpResponse:
    shown = summaries.read(user, slug, **asked)
    context: dict[str, Any] = {
        "summary": shown,
        "html": answer_html(shown.text, citations=shown.citations, message=""),
        "trouble": error.message if error else (shown.error or {}).get("message", ""),
        "action": f"{request.path}?{urlencode(asked)}",
        "poll_seconds": POLL_SECONDS,
    }
    status = error.status if error else 200
    if "fragment" in request.GET:
        return render(request, "chats/_summary.html", context, status=status)
    return render(request, "chats/summary.html", side(user) | context, status=status)


def _wish(request: HttpRequest) -> dict[str, str]:
    """Return what is to be read or made, in a language that there is."""
    language = request.GET.get("language", "")
    if language not in dict(settings.LANGUAGES):
        language = get_language() or settings.LANGUAGE_CODE
    return {"section": request.GET.get("section", "")[:SECTION_BYTES], "language": language}
