"""Keeping chats: the list of all of them, and what one does with one: rename, pin, delete and undo, take a copy home.

Every change is a form that works without a script and then goes back to where it stands (`back`). A script sends
`fragment` along and gets only what has changed.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from mundap.accounts.models import User
from mundap.chats import exporting, services, sharing
from mundap.chats.listed import list_page, side
from mundap.chats.models import TITLE_MAX_CHARACTERS, Chat
from mundap.chats.selectors import get_chat_for
from mundap.chats.sharing_api import file_response


@login_required
@never_cache
@require_safe
def chat_list(request: HttpRequest) -> HttpResponse:
    """All chats, page by page; `?q=` searches titles and messages, `?deleted=` offers to undo."""
    user = cast("User", request.user)
    query = request.GET.get("q", "").strip()
    page = list_page(
        user,
        query=query,
        cursor=request.GET.get("cursor", ""),
        is_in_pinned="pinned" in request.GET,
    )
    context: dict[str, Any] = {"q": query, "page": page}
    if "fragment" in request.GET:
        return render(request, "chats/_rows.html", context)
    deleted = find_deleted(user, request.GET.get("deleted", ""))
    return render(request, "chats/list.html", side(user) | context | {"deleted_chat": deleted})


@login_required
@never_cache
@require_safe
def manage(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """What one can do with a chat. `?fragment=1`: without the frame, for the list."""
    if "fragment" in request.GET:
        return managed(request, chat_id)
    user = cast("User", request.user)
    return render(request, "chats/manage.html", side(user) | _managing(request, chat_id))


@login_required
@never_cache
@require_safe
def export(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """The chat as a file, `?format=md` or `json`."""
    kind = request.GET.get("format", "md")
    content, name = exporting.export_chat(cast("User", request.user), chat_id, kind=kind)
    return file_response(content, name, kind=kind)


@login_required
@require_POST
def rename(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Give the chat another title; an empty one changes nothing."""
    title = " ".join(request.POST.get("title", "").split())[:TITLE_MAX_CHARACTERS]
    if title:
        services.change_chat(cast("User", request.user), chat_id, title=title)
    return _done(request, chat_id)


@login_required
@require_POST
def pin(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Pin the chat, or (`pinned=0`) take the pin off."""
    is_pinned = request.POST.get("pinned") != "0"
    services.change_chat(cast("User", request.user), chat_id, pinned=is_pinned)
    return _done(request, chat_id)


@login_required
@require_POST
def delete(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Delete the chat; the page after it offers to undo."""
    services.delete_chat(cast("User", request.user), chat_id)
    if "fragment" in request.POST:
        return HttpResponse(status=204)
    page = "pages:chat_list" if request.POST.get("back") == "list" else "pages:home"
    return redirect(f"{reverse(page)}?{urlencode({'deleted': str(chat_id)})}")


@login_required
@require_POST
def restore(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Bring a deleted chat back."""
    services.restore_chat(cast("User", request.user), chat_id)
    return _done(request, chat_id)


def find_deleted(user: User, chat_id: str) -> Chat | None:
    """Return the user's chat that has just been deleted; None for anything else that may stand in an address."""
    try:
        known = UUID(chat_id)
    except ValueError:
        return None
    return Chat.objects.filter(pk=known, owner=user, deleted_at__isnull=False).first()


def managed(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Return the forms about a chat as a fragment."""
    return render(request, "chats/_manage.html", _managing(request, chat_id))


def _managing(request: HttpRequest, chat_id: UUID) -> dict[str, Any]:
    user = cast("User", request.user)
    share = sharing.find_share_for(user, chat_id)
    path = reverse("pages:shared", args=[sharing.token_of(share)]) if share else ""
    return {
        "chat": get_chat_for(user, chat_id),
        "share": share,
        "share_url": request.build_absolute_uri(path) if path else "",
        "back": request.POST.get("back") or request.GET.get("back", "list"),
    }


def _done(request: HttpRequest, chat_id: UUID) -> HttpResponse:
    """Go back to where the form stands; a script gets the forms as they are now."""
    if "fragment" in request.POST:
        return managed(request, chat_id)
    is_in_list = request.POST.get("back") == "list"
    return redirect("pages:chat_list") if is_in_list else redirect("pages:chat", chat_id)
