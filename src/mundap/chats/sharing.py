"""Read-only links to chats. A link shows a copy, made when the chat was shared, and nothing of its owner.

Nothing that opens a link is stored: its token is the share's random id with a keyed digest of it. A copy holds what was
said and quoted then, so what is asked later, or stands around a quotation in a private document, cannot be read by it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from hmac import compare_digest
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, Share, State, Turn
from mundap.chats.selectors import get_chat_for
from mundap.errors import Conflict, NotFound

_ID_BYTES = 16
_SEAL_BYTES = 16
_TOKEN_CHARACTERS = 43  # of 32 bytes
_CITATION_KEYS = ("number", "document", "headings", "url", "quote", "supported")


def share_chat(user: User, chat_id: UUID) -> tuple[Share, bool]:
    """Return the chat's share, its copy made anew, and whether there was none before.

    Raises NotFound, and Conflict while there is no finished answer.
    """
    with transaction.atomic():
        chat = get_chat_for(user, chat_id)
        return Share.objects.update_or_create(chat=chat, defaults={"content": _copy(chat)})


def take_back(user: User, chat_id: UUID) -> None:
    """End the chat's link, if there is one. Raises NotFound for a chat that is not the user's."""
    Share.objects.filter(chat=get_chat_for(user, chat_id)).delete()


def find_share_for(user: User, chat_id: UUID) -> Share | None:
    """Return the share of the user's chat."""
    return Share.objects.filter(chat=chat_id, chat__owner=user, chat__deleted_at=None).first()


def get_shared(token: str) -> Share:
    """Return what the token opens. Raises NotFound, also once the chat is deleted or its owner is gone."""
    share_id = _opened(token)
    share = share_id and (
        Share.objects.filter(
            pk=share_id, chat__deleted_at=None, chat__owner__is_active=True
        ).first()
    )
    if not share:
        raise NotFound(_("This link does not work, or was taken back."))
    return share


def token_of(share: Share) -> str:
    """Return what is put into the link: 43 characters, of which nobody can guess the last without TOKEN_KEY."""
    return urlsafe_b64encode(share.pk.bytes + _seal(share.pk)).decode().rstrip("=")


def _opened(token: str) -> UUID | None:
    if len(token) != _TOKEN_CHARACTERS or not token.isascii():
        return None
    try:
        known = urlsafe_b64decode(token + "=")
        share_id = UUID(bytes=known[:_ID_BYTES])
    except ValueError:
        return None
    return share_id if compare_digest(known[_ID_BYTES:], _seal(share_id)) else None


def _seal(share_id: UUID) -> bytes:
    key = blake2b(settings.TOKEN_KEY.encode()).digest()
    return blake2b(b"share" + share_id.bytes, key=key, digest_size=_SEAL_BYTES).digest()


def _copy(chat: Chat) -> dict[str, Any]:
    """Return what the link shows: title, documents, and the current messages up to the last finished answer."""
    messages = list(Message.objects.filter(chat=chat, is_current=True).order_by("position"))
    while messages and (messages[-1].role == "user" or messages[-1].state == State.RUNNING):
        messages.pop()
    if not messages:
        raise Conflict(_("There is no finished answer to share yet."))
    turns = Turn.objects.filter(answer__in=messages).values_list("answer_id", "retrieval")
    unanswered = {answer for answer, found in turns if found.get("is_answered") is False}
    return {
        "title": chat.title,
        "collection": chat.collection.title if chat.collection else "",
        "messages": [
            _copied(message) | {"is_answered": message.pk not in unanswered} for message in messages
        ],
    }


def _copied(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "text": message.text,
        "state": message.state,
        "citations": [_quoted(citation) for citation in message.citations],
    }


def _quoted(citation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a citation without what would lead to its passage."""
    return {key: citation.get(key) for key in _CITATION_KEYS}
