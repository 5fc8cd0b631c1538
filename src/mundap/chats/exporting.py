"""Whole chats as files: JSON with every version of every message, Markdown with the current ones.

Nothing is left out and nothing is cut: what a person keeps must not depend on us. Citations are written as they stand
in the messages, so a file is complete without the documents. Markdown is written so that no viewer fetches an image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.db import connection
from django.utils.text import slugify
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.inert_markdown import inert
from mundap.chats.models import State
from mundap.chats.selectors import no_chat
from mundap.chats.shapes import (
    CHAT_COLUMNS,
    CHAT_JOINS,
    MESSAGE_COLUMNS,
    chat_json,
    dump,
    message_json,
    source_title,
    timestamp,
)
from mundap.errors import InvalidInput
from mundap.library.web_addresses import web_address

CONTENT_TYPES = {"json": "application/json", "md": "text/markdown; charset=utf-8"}
_NAME_CHARACTERS = 60
_NOT_IN_ADDRESSES = re.compile(r"[<>\\\s]")
_ENDINGS = {
    State.STOPPED: "stopped",
    State.FAILED: "failed",
    State.INTERRUPTED: "interrupted",
    State.RUNNING: "still being written",
}


def export_chat(user: User, chat_id: UUID, *, kind: str) -> tuple[bytes, str]:
    """Return the user's chat as a file of this kind (a key of CONTENT_TYPES) and the file's name.

    Raises InvalidInput for another kind, NotFound.
    """
    if kind not in CONTENT_TYPES:
        raise InvalidInput(
            _("A chat is exported as “md” or “json”."), fields={"format": _("unknown")}
        )
    chats = read_chats(user, [chat_id])
    if not chats:
        raise no_chat()
    return as_file(chats[0], kind=kind), f"{file_name(chats[0])}.{kind}"


def read_chats(
    user: User, chat_ids: Sequence[UUID], *, with_deleted: bool = False
) -> list[dict[str, Any]]:
    """Return these of the user's chats as JSON with all their messages, oldest first; two statements for all of them.

    Each message also says its `version` and whether it `is_current`; a deleted chat says when (`deleted_at`).
    """
    with connection.cursor() as db:
        db.execute(
            f"""
            SELECT c.deleted_at, {CHAT_COLUMNS} FROM chats_chat c {CHAT_JOINS}
            WHERE c.id = ANY(%s) AND c.owner_id = %s AND (%s OR c.deleted_at IS NULL) ORDER BY c.id
            """,  # noqa: S608 - constants
            [list(chat_ids), user.pk, with_deleted],
        )
        chats = {row[1]: _chat(row) for row in db.fetchall()}
        db.execute(
            f"""
            SELECT m.chat_id, m.version, m.is_current, {MESSAGE_COLUMNS} FROM chats_message m
            WHERE m.chat_id = ANY(%s) ORDER BY m.chat_id, m.position, m.version
            """,  # noqa: S608 - constants
            [list(chats)],
        )
        for chat, version, is_current, *row in db.fetchall():
            message = message_json(row) | {"version": version, "is_current": is_current}
            chats[chat]["messages"].append(message)
    return list(chats.values())


def _chat(row: Sequence[Any]) -> dict[str, Any]:
    deleted_at, *columns = row
    mark = {"deleted_at": timestamp(deleted_at)} if deleted_at else {}
    return chat_json(columns) | mark | {"messages": []}


def as_file(chat: Mapping[str, Any], *, kind: str) -> bytes:
    """Return a chat of `read_chats` as the bytes of a file."""
    return dump(chat) if kind == "json" else as_markdown(chat).encode()


def file_name(chat: Mapping[str, Any]) -> str:
    """Return a name for the chat's file, without its ending: the day and the title."""
    title = slugify(chat["title"], allow_unicode=True)[:_NAME_CHARACTERS].strip("-")
    return f"{chat['created_at'][:10]}-{title or 'chat'}"


def as_markdown(chat: Mapping[str, Any]) -> str:
    """Return the chat's current messages as Markdown, each answer with its sources."""
    about = [chat["collection"] or "", chat["created_at"][:16].replace("T", " ") + " UTC"]
    if "deleted_at" in chat:
        about.append(f"deleted on {chat['deleted_at'][:10]}")
    parts = [f"# {_one_line(chat['title']) or _('Untitled')}", " · ".join(filter(None, about))]
    for message in chat["messages"]:
        if not message["is_current"]:
            continue
        if message["role"] == "user":
            parts += _question(message["text"])
        else:
            parts += _answer(message)
    return "\n\n".join(parts) + "\n"


def _question(text: str) -> list[str]:
    """Return the question as a heading; one of several lines keeps them below it."""
    first, _break, rest = inert(text.strip()).partition("\n")
    return [f"## {first.strip()}", rest.strip()] if rest.strip() else [f"## {first.strip()}"]


def _answer(message: Mapping[str, Any]) -> Iterator[str]:
    if message["text"].strip():
        yield inert(message["text"].strip())
    if ending := _ENDINGS.get(message["state"]):
        yield f"*({ending})*"
    if message["citations"]:
        yield "\n".join(_source(citation) for citation in message["citations"])


def _source(citation: Mapping[str, Any]) -> str:
    title = _one_line(re.sub(r"[\\\[\]]", r"\\\g<0>", source_title(citation)))
    url = _NOT_IN_ADDRESSES.sub(lambda char: quote(char[0]), web_address(citation["url"]))
    place = f"[{title}](<{url}>)" if url else title
    doubt = " (?)" if citation["supported"] is False else ""
    return f"- \\[{citation['number']}\\]{doubt} {place}: “{_one_line(citation['quote'])}”"


def _one_line(text: str) -> str:
    return inert(" ".join(text.split()))
