"""The page of a summary; `?fragment=1` gives it without the frame, for the pane, with what went wrong in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from mundap.accounts.models import User
from mundap.chats import summaries
from mundap.chats.listed import side
from mundap.chats.rendering import linked_html
from mundap.chats.summary_api import POLL_SECONDS, SECTION_BYTES
from mundap.config.throttles import require_rate
from mundap.errors import MundapError


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
async def summary(request: HttpRequest, slug: str) -> HttpResponse:
    """A summary of `?section=` in `?language=`, or of the whole collection; POST has it made."""
    user = cast("User", await request.auser())
    asked = summary_wish(request)
    if request.method != "POST":
        return await sync_to_async(_page)(request, user, slug, asked)
    try:
        await sync_to_async(require_rate)("turns", str(user.pk))
        section, chosen = asked["section"], asked["language"]
        await summaries.make(user, slug, section=section, language=chosen)
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

    def link(citation: Mapping[str, Any]) -> str:
        query = urlencode({"summary": slug, "n": citation["number"], **asked})
        return f"{reverse('pages:passage', args=[citation['passage']])}?{query}"

    context: dict[str, Any] = {
        "summary": shown,
        "html": linked_html(shown.text, citations=shown.citations, link=link),
        "trouble": error.message if error else (shown.error or {}).get("message", ""),
        "action": f"{request.path}?{urlencode(asked)}",
        "poll_seconds": POLL_SECONDS,
    }
    if "fragment" in request.GET:
        return render(request, "chats/_summary.html", context)
    status = error.status if error else 200
    return render(request, "chats/summary.html", side(user) | context, status=status)


def summary_wish(request: HttpRequest) -> dict[str, str]:
    """Return which section is asked about in which language, in one that there is."""
    language = request.GET.get("language", "")
    if language not in dict(settings.LANGUAGES):
        language = get_language() or settings.LANGUAGE_CODE
    return {"section": request.GET.get("section", "")[:SECTION_BYTES], "language": language}
