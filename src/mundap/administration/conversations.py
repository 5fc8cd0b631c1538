"""Chats by their ids: numbers and states for who may look; the words only for a reason, which is written down.

The owner sees who looked, as staff, when and why: docs/administration.md.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mundap.accounts import audit
from mundap.administration.lists import LookedAt
from mundap.chats.models import Chat, Message, Turn

REASON_MIN_CHARACTERS = 10
REASON_MAX_CHARACTERS = 300
_TURNS_SHOWN = 50
_MESSAGES_SHOWN = 200


class ReasonForm(forms.Form):
    """Why somebody's conversation has to be read."""

    reason = forms.CharField(
        label=gettext_lazy("Why do you have to read it?"),
        min_length=REASON_MIN_CHARACTERS,
        max_length=REASON_MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


@admin.register(Chat)
class ChatAdmin(LookedAt):
    """Chats, found by their id, a message's or a turn's, or by their owner's address."""

    list_name = gettext_lazy("Chats")
    kind = "chat"
    linked_by = frozenset({"owner__id__exact", "collection__id__exact"})
    list_display = ["id", "owner", "collection", "messages", "updated_at", "deleted_at"]
    list_select_related = ["owner", "collection"]
    sortable_by = ()
    ordering = ["-id"]
    search_fields = ["id"]
    search_help_text = gettext_lazy(
        "The id of a chat, of one of its messages or turns, or an e-mail address"
    )

    @admin.display(description=gettext_lazy("messages"))
    def messages(self, chat: Chat) -> int:
        """How many there are, the versions of one counted once."""
        return chat.next_position

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chat]:
        """Return the chats without their titles: those are made of what was asked."""
        return super().get_queryset(request).defer("title")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return what has this id, or belongs to who has this address."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            return queryset.filter(owner__email__iexact=term), False
        try:
            pk = UUID(term)
        except ValueError:
            return queryset.none(), False
        said_in = Message.objects.filter(pk=pk).values_list("chat_id", flat=True)
        asked_in = Turn.objects.filter(pk=pk).values_list("chat_id", flat=True)
        return queryset.filter(pk__in={pk, *said_in, *asked_in}), False

    def get_urls(self) -> list[Any]:
        """Return our own page in the place of a form."""
        view = self.admin_site.admin_view(self.show)
        return [path("<uuid:pk>/change/", view, name="show_chat"), *super().get_urls()]

    def show(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show a chat's numbers; to a POST with a reason also what was said, once the reason is written down."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        chats = Chat.objects.select_related("owner", "collection").defer("title")
        chat = chats.filter(pk=pk).first()
        if chat is None:
            raise Http404
        can_read = chat.deleted_at is None
        form = ReasonForm(request.POST if request.method == "POST" and can_read else None)
        said: list[Message] = []
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            about = f"chat:{chat.pk}"
            audit.record("chat.read", whom=chat.owner, about=about, details={"reason": reason})
            newest = chat.messages.filter(is_current=True).order_by("-position")
            said = list(newest[:_MESSAGES_SHOWN])[::-1]
        turns = chat.turns.defer("retrieval").order_by("-id")[:_TURNS_SHOWN]
        context = self.admin_site.each_context(request) | {
            "title": _("A conversation"),
            "opts": self.opts,
            "list_name": self.list_name,
            "chat": chat,
            "can_read": can_read,
            "turns": turns,
            "form": form,
            "said": said,
        }
        status = 400 if form.errors else 200
        return TemplateResponse(request, "administration/chat.html", context, status=status)
