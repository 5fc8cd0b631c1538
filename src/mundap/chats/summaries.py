"""Summaries as readers have them: made on demand beside the request, polled, and an outline until then.

A summary belongs to what it says (`answers.sections.Content.digest`), so its stored citations have places among the
passages, and are tied to the reader's own passages when it is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error, connection, transaction
from django.utils import timezone
from django.utils.translation import activate
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.answers.budget import most_of_summary
from mundap.answers.outline import outline
from mundap.answers.readiness import why_unready
from mundap.answers.sections import Content, read_content
from mundap.answers.summarising import count_calls, summarise
from mundap.chats import limits, usage
from mundap.chats.live import storable
from mundap.chats.runner import get_runner
from mundap.chats.shapes import citation_json, error_json
from mundap.chats.turns import lock_posts
from mundap.chats.usage import Payer, Purpose
from mundap.config import tracing
from mundap.config.threads import in_database_thread, in_lease_thread
from mundap.errors import Conflict, MundapError
from mundap.library import summaries
from mundap.library.models import Collection, Summary
from mundap.library.selectors import get_collection_for
from mundap.library.summaries import Claim
from mundap.llm import client
from mundap.llm.metering import Call, note_calls_in

BEAT_SECONDS = 5.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShownSummary:
    """A summary, or the outline as long as there is none.

    `refusal` says why a model cannot make one. `calls` of the model are made of `calls_total` while it is being made.
    """

    collection: Collection
    title: str
    headings: tuple[str, ...]
    language: str
    state: str
    text: str
    citations: Sequence[Mapping[str, Any]]
    error: Mapping[str, Any] | None = None
    refusal: str = ""
    calls: int = 0
    calls_total: int = 0
    model: str = ""
    made_at: datetime | None = None

    @property
    def is_outline(self) -> bool:
        """Is it made without a model?"""
        return self.state != Summary.State.READY


def read(user: User, slug: str, *, section: str, language: str) -> ShownSummary:
    """Return the summary of a collection, or of a section of it, as it stands. Raises NotFound."""
    collection = get_collection_for(user, slug)
    return _shown(collection, read_content(collection, section), language)


async def make(
    user: User, slug: str, *, section: str, language: str, token: UUID | None = None
) -> ShownSummary:
    """Have the summary made, unless it is there or being made; return it as it stands.

    Without a model nothing is made. Raises NotFound, Conflict where there is nothing to summarise, TooLarge,
    LimitReached, QuotaReached.
    """
    collection = await in_database_thread(get_collection_for, user, slug)
    content = await in_database_thread(read_content, collection, section)
    if not content.entries:
        raise Conflict(await in_database_thread(why_unready, collection, language=language))
    if client.has_model():
        # A task: what is reserved while a client leaves would wait for nobody.
        begin = _begin(user, content, language=language, token=token)
        await asyncio.shield(asyncio.create_task(begin))
    return await in_database_thread(_shown, collection, content, language)


async def _begin(user: User, content: Content, *, language: str, token: UUID | None) -> None:
    held = await in_database_thread(_claim, user, content, language=language, token=token)
    if held:  # its lease runs out where this is as far as it gets
        get_runner().beside(_make(held, content, language))


def _claim(user: User, content: Content, *, language: str, token: UUID | None) -> Claim | None:
    """Return the right to make the summary, with what it may take reserved, as `summaries.claim`."""
    calls = count_calls(content)
    with transaction.atomic(), connection.cursor() as cursor:
        held = summaries.claim(
            content.digest,
            language=language,
            lead_hash=content.lead_hash,
            calls=calls,
            user=user,
        )
        if held:
            lock_posts(cursor, user)
            limits.admit(
                cursor,
                held.maker,
                Payer(user.pk, token),
                most_of_summary(calls),
                purpose=Purpose.SUMMARY,
                seconds=calls * settings.TURN_SECONDS + 60,
            )
    return held


async def _make(held: Claim, content: Content, language: str) -> None:
    """Make the summary and store how that ended."""
    activate(language)
    calls: list[Call] = []
    note_calls_in(calls)
    keeper = asyncio.create_task(_keep(held))
    try:
        with tracing.span("summary"):
            text, cited = await summarise(
                content,
                language=language,
                known=await in_database_thread(summaries.replies_of, held),
                on_reply=partial(_add_reply, held),
            )
        stored = [
            {"number": each.number, "quote": each.quote, "supported": each.supported}
            for each in cited
        ]
        await in_database_thread(
            summaries.finish, held, storable(text), stored, model=settings.CHAT_MODEL
        )
    except MundapError as exc:
        await in_database_thread(summaries.fail, held, error_json(exc))
    except asyncio.CancelledError:  # the server stops
        await in_database_thread(summaries.let_go, held)
        raise
    except Exception:  # the edge of a task: whoever waits for it must hear of an end
        logger.exception("Summary %s failed", held.summary)
        problem = MundapError(_("Something went wrong on our side. Try again."))
        with suppress(Error):
            await in_database_thread(summaries.fail, held, error_json(problem))
    finally:
        keeper.cancel()
        with suppress(Error):  # then a reaper estimates
            await in_database_thread(usage.settle, held.maker, calls)


async def _keep(held: Claim) -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        with suppress(Error):  # it is tried again
            await in_lease_thread(summaries.keep, held)


async def _add_reply(held: Claim, digest: str, reply: str) -> None:
    await in_database_thread(summaries.add_reply, held, digest, storable(reply))


def _shown(collection: Collection, content: Content, language: str) -> ShownSummary:
    found = summaries.find_summary(content.digest, language=language)
    shown = partial(ShownSummary, collection, content.title, content.headings, language)
    if found and found.state == Summary.State.READY:
        cited = [_in_place(each, content) for each in found.citations]
        return shown(found.state, found.text, cited, model=found.model, made_at=found.made_at)
    text, citations = outline(content)
    return shown(
        _state(found),
        text or why_unready(collection, language=language),
        [citation_json(each.as_json()) for each in citations],
        error=found.error if found else None,
        refusal=_refusal(content),
        calls=min(len(found.replies), found.calls) if found else 0,
        calls_total=found.calls if found else 0,
    )


def _state(found: Summary | None) -> str:
    """Return how a summary that is not ready stands; nobody makes one whose lease has run out."""
    if found is None or (found.state == Summary.State.MAKING and not _is_kept(found)):
        return Summary.State.WAITING
    return found.state


def _is_kept(found: Summary) -> bool:
    return found.lease_until is not None and found.lease_until > timezone.now()


def _refusal(content: Content) -> str:
    """Return why no summary can be made by a model, or nothing."""
    if not client.has_model():
        return _("No language model is set up, so this is an outline.")
    try:
        count_calls(content)
    except MundapError as exc:
        return exc.message
    return ""


def _in_place(stored: Mapping[str, Any], content: Content) -> dict[str, Any]:
    """Return the stored citation with the passage that is at its place here."""
    entry = content.entries[stored["number"] - 1]
    return {
        **stored,
        "passage": str(entry.parts[0].passage),
        "document": entry.document,
        "path": entry.path,
        "headings": list(entry.headings),
        "url": entry.url,
    }
