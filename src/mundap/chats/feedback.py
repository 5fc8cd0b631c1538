"""Why an answer did not help: a few reasons to choose from, kept in front of what was written, in the comment."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

REASONS = {
    "wrong": _("It is wrong"),
    "unsupported": _("The sources do not say it"),
    "off": _("It misses the question"),
    "incomplete": _("Something is missing"),
    "unclear": _("It is hard to follow"),
}
_SEPARATOR = ": "


def joined(reason: str, words: str) -> str:
    """Return the comment to store; a reason that is none of ours is left out."""
    return _SEPARATOR.join(filter(None, [reason if reason in REASONS else "", words.strip()]))


def parted(comment: str) -> tuple[str, str]:
    """Return the reason, which may be empty, and the words of a stored comment."""
    reason, _separator, words = comment.partition(_SEPARATOR)
    return (reason, words) if reason in REASONS else ("", comment)
