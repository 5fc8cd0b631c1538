"""A summary by the chat model: what is too long for it is noted part by part, and the notes are joined.

Which statements the passages carry, `citations` says, as of any answer; which links and code are theirs, `borrowed`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

from django.conf import settings
from django.utils.translation import get_language_info, override
from django.utils.translation import gettext as _

from mundap.answers import citations
from mundap.answers.borrowed import with_own_code, with_own_links
from mundap.answers.events import Citation
from mundap.answers.evidence import MOST_NUMBERS, Evidence, as_material
from mundap.answers.sections import Content, Link
from mundap.config.threads import in_database_thread
from mundap.errors import ModelError, ModelTimeout, TooLarge
from mundap.llm import client
from mundap.llm.client import Usage
from mundap.llm.metering import count_tokens
from mundap.llm.prompts import prompt

MATERIAL_SHARE = 0.6  # of the model's context; the rest is for rules, links and the summary
NOTES_TOKENS = 600  # that the model may write about a part
NOTES_BYTES = 2400  # of them that are joined with others
NOTES_WORDS = 250
AT_ONCE = 3  # calls
MOST_LINKS = 20  # that the model is told of at once
MOST_ADDRESS_CHARACTERS = 200
_HEADING = re.compile(r"#{1,6} ")

T = TypeVar("T")
OnReply = Callable[[str, str], Awaitable[None]]


def count_calls(content: Content) -> int:
    """Return how many calls of the model a summary takes. Raises TooLarge where that is more than is allowed."""
    calls = waiting = len(_parts(content))
    if waiting > 1:
        while waiting > _notes_at_once():
            waiting = -(-waiting // _notes_at_once())
            calls += waiting
        calls += 1
    is_numbered = content.is_complete and len(content.entries) <= MOST_NUMBERS
    if calls > settings.SUMMARY_CALLS or not is_numbered:
        raise TooLarge(
            _(
                "This is too long for one summary, for which at most %(most)d calls of the language model are allowed. "
                "Choose one of its sections."
            )
            % {"most": settings.SUMMARY_CALLS}
        )
    return calls


async def summarise(
    content: Content, *, language: str, known: Mapping[str, str], on_reply: OnReply
) -> tuple[str, tuple[Citation, ...]]:
    """Return the summary as Markdown with markers, and what these stand for.

    `known` are notes of an earlier attempt; `on_reply` is told of new ones, with the digest of what was asked. Raises
    ModelError or a subclass.
    """
    parts = _parts(content)
    if len(parts) == 1:
        material = f"{as_material(parts[0])}\n\n{_listed(_links_of(content, parts[0]))}"
        kind = "numbered passages"
    else:
        writer = _NotesWriter(content.own_title, known, on_reply)
        material = await writer.notes_of(
            [f"{as_material(part)}\n\n{_listed(_links_of(content, part))}" for part in parts]
        )
        kind = "notes of numbered passages"
    with override(language):
        asked = prompt(
            "summary",
            title=content.own_title,
            material=kind,
            language=get_language_info(language)["name"],
            ideas=_("Key ideas"),
            terms=_("Terms"),
            uses=_("Uses"),
            code=_("Code"),
            links=_("Links"),
            passages=material,
        )
    return await in_database_thread(_checked, await _reply(asked), content)


class _NotesWriter:
    """Notes of material that is too long to be read at once, and notes of these, until they can be."""

    def __init__(self, title: str, known: Mapping[str, str], on_reply: OnReply) -> None:
        self._title = title
        self._known = known
        self._on_reply = on_reply
        self._room = asyncio.Semaphore(AT_ONCE)

    async def notes_of(self, parts: Sequence[str]) -> str:
        """Return the notes of all parts as one text that the model can be given."""
        notes = await _all([self._noted(part) for part in parts])
        size = _notes_at_once()
        while len(notes) > size:
            groups = [notes[place : place + size] for place in range(0, len(notes), size)]
            notes = await _all([self._noted("\n\n".join(group)) for group in groups])
        return "\n\n".join(notes)

    async def _noted(self, part: str) -> str:
        asked = prompt("summary_notes", title=self._title, words=str(NOTES_WORDS), passages=part)
        digest = blake2b(asked.encode(), digest_size=16).hexdigest()
        if digest in self._known:
            return self._known[digest]
        async with self._room:
            notes = _shortened(await _reply(asked, max_tokens=NOTES_TOKENS))
        await self._on_reply(digest, notes)
        return notes


def _budget() -> int:
    return int(settings.CHAT_CONTEXT_TOKENS * MATERIAL_SHARE)


def _notes_at_once() -> int:
    """Return how many notes fit into the model's context together."""
    return max(2, _budget() // (NOTES_BYTES // 3))


def _parts(content: Content) -> list[list[Evidence]]:
    """Return the content's passages in parts that fit into the model's context."""
    parts: list[list[Evidence]] = [[]]
    room = _budget()
    for entry in content.entries:
        cost = count_tokens(as_material([entry]))
        if parts[-1] and cost > room:
            parts.append([])
            room = _budget()
        parts[-1].append(entry)
        room -= cost
    return parts


def _links_of(content: Content, part: Sequence[Evidence]) -> list[Link]:
    numbers = {entry.number for entry in part}
    short = (link for link in content.links if len(link.address) <= MOST_ADDRESS_CHARACTERS)
    return [link for link in short if link.number in numbers][:MOST_LINKS]


def _listed(links: Sequence[Link]) -> str:
    return "\n".join(f"- [{link.label}]({link.address}) [{link.number}]" for link in links)


def _shortened(notes: str) -> str:
    """Return the notes cut at a line, where the model wrote more than it was to."""
    short = notes.encode()[:NOTES_BYTES].decode(errors="ignore")
    return notes if short == notes else short.rpartition("\n")[0] or short


async def _all(tries: Sequence[Awaitable[T]]) -> list[T]:
    """Return all results in order; after the first failure the others are given up, since each costs."""
    tasks = [asyncio.ensure_future(each) for each in tries]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _reply(asked: str, *, max_tokens: int | None = None) -> str:
    """Return the model's whole reply. It is streamed, so that a long one is not taken for a model that is silent."""
    try:
        async with asyncio.timeout(settings.TURN_SECONDS):
            stream = client.stream_chat(
                [{"role": "user", "content": asked}], purpose="summary", max_tokens=max_tokens
            )
            pieces = [piece async for piece in stream if not isinstance(piece, Usage)]
    except TimeoutError as exc:
        raise ModelTimeout(_("The language model took too long. Try again.")) from exc
    reply = "".join(pieces).strip()
    if not reply:
        raise ModelError(_("The language model sent an empty answer. Try again."))
    return reply


def _checked(reply: str, content: Content) -> tuple[str, tuple[Citation, ...]]:
    text = with_own_links(with_own_code(reply, content), content)
    text, cited = citations.check(text, content.entries, by_meaning=True)
    if not cited:
        raise ModelError(
            _("The language model did not say where its summary is from, so it is not shown.")
        )
    return _without_empty_headings(text), cited


def _without_empty_headings(text: str) -> str:
    """Return the text without headings that nothing stands under, since it was not the content's own."""
    kept: list[str] = []
    is_empty = True
    for line in reversed(text.splitlines()):
        is_heading = bool(_HEADING.match(line))
        if is_heading and is_empty:
            continue
        kept.append(line)
        is_empty = is_heading or (is_empty and not line.strip())
    return "\n".join(reversed(kept)).strip()
