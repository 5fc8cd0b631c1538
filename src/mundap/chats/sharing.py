"""Read-only links to chats. A link shows a copy, made when the chat was shared, and nothing of its owner.

What opens a link is the share's random id with a random secret, which is stored encrypted. A copy holds what was
said and quoted then, so what is asked later, or stands around a quotation in a private document, cannot be read by it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from functools import partial
from hmac import compare_digest
from secrets import token_bytes
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, Share, State, Turn
from mundap.chats.selectors import get_chat_for
from mundap.config.keys import cipher, each_token_key, keyed_digest, opened, rotated
from mundap.errors import Conflict, NotFound

_ID_BYTES = 16
_SECRET_BYTES = 16
_PURPOSE = b"share"
_TOKEN_CHARACTERS = 43  # of 32 bytes
_CITATION_KEYS = ("number", "document", "headings", "url", "quote", "supported")


def share_chat(user: User, chat_id: UUID) -> tuple[Share, bool]:
    """Return the chat's share, its copy made anew, and whether there was none before.

    Raises NotFound, and Conflict while there is no finished answer.
    """
    with transaction.atomic():
        chat = get_chat_for(user, chat_id)
        content = {"content": _copy(chat)}
        secret = {"secret": _encrypted(token_bytes(_SECRET_BYTES))}
        share = find_share_for(user, chat_id)
        defaults = content if share else content | secret
        made, is_new = Share.objects.update_or_create(chat=chat, defaults=defaults)
        return made, is_new or share is None


def take_back(user: User, chat_id: UUID) -> None:
    """End the chat's link, if there is one. Raises NotFound for a chat that is not the user's."""
    Share.objects.filter(chat=get_chat_for(user, chat_id)).delete()


def find_share_for(user: User, chat_id: UUID) -> Share | None:
    """Return the share of the user's chat; None also for one whose key is gone, so that nothing opens it."""
    found = Share.objects.filter(chat=chat_id, chat__owner=user, chat__deleted_at=None).first()
    return found if found and _secrets(found) else None


def get_shared(token: str) -> Share:
    """Return what the token opens. Raises NotFound, also once the chat is deleted or its owner is gone."""
    share_id, secret = _parts(token)
    share = share_id and (
        Share.objects.filter(
            pk=share_id, chat__deleted_at=None, chat__owner__is_active=True
        ).first()
    )
    if not share or not any(compare_digest(secret, each) for each in _secrets(share)):
        raise NotFound(_("This link does not work, or was taken back."))
    return share


def token_of(share: Share) -> str:
    """Return what is put into the link: 43 characters, of which nobody can guess the last."""
    return urlsafe_b64encode(share.pk.bytes + _secrets(share)[-1]).decode().rstrip("=")


def rekey() -> int:
    """Bring the secrets of all links under the present key; return how many had another."""
    rewritten = 0
    with transaction.atomic():
        for share in Share.objects.select_for_update().only("secret").order_by("pk"):
            secret = (
                rotated(share.secret, _PURPOSE) if share.secret else _encrypted(_secrets(share)[-1])
            )
            if secret != share.secret:
                Share.objects.filter(pk=share.pk).update(secret=secret)
                rewritten += 1
    return rewritten


def _parts(token: str) -> tuple[UUID | None, bytes]:
    """Return the share's id and the secret that the token has; no id where it cannot be one."""
    if len(token) != _TOKEN_CHARACTERS or not token.isascii():
        return None, b""
    try:
        known = urlsafe_b64decode(token + "=")
        return UUID(bytes=known[:_ID_BYTES]), known[_ID_BYTES:]
    except ValueError:
        return None, b""


def _secrets(share: Share) -> list[bytes]:
    """Return what opens the share; last, what its link is made with. Nothing, where the key for it is gone.

    One from before secrets were stored is opened by its id's digest under any key; the oldest made its link.
    """
    if share.secret:
        secret = opened(share.secret, _PURPOSE)
        return [] if secret is None else [secret]
    seal = partial(keyed_digest, b"share" + share.pk.bytes, size=_SECRET_BYTES)
    return each_token_key(lambda key: seal(key=key))


def _encrypted(secret: bytes) -> str:
    return cipher(_PURPOSE).encrypt(secret).decode()


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
