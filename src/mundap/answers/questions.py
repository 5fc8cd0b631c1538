"""What counts as a question; the same rule for every door."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from mundap.errors import InvalidInput, TooLarge


def checked_question(text: Any, *, field: str = "text") -> str:
    """Return the question without white space around it.

    Raises InvalidInput for an empty one or one that is not text (also NUL bytes and lone surrogates, which PostgreSQL
    cannot store), TooLarge above 16 KB; `field` is what the caller's input is called.
    """
    if not isinstance(text, str):
        raise InvalidInput(_("The question must be a text."), fields={field: _("Not a text.")})
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        message = _("The question has characters that are not text (NUL or half a character).")
        raise InvalidInput(message, fields={field: message})
    question = text.strip()
    if not question:
        raise InvalidInput(_("Write a question first."), fields={field: _("Empty.")})
    if len(question.encode()) > settings.QUESTION_MAX_BYTES:
        message = _(
            "The question is longer than %(size)d KB. Shorten it, or upload it as a document."
        ) % {"size": settings.QUESTION_MAX_BYTES // 1024}
        raise TooLarge(message, fields={field: message})
    return question
