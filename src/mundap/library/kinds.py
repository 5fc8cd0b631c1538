"""The kinds of sources as people are told of them: each module of `sources` says in its first line what it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mundap.accounts.models import User
from mundap.library import sources
from mundap.library.sources import folder
from mundap.library.uploads import SCHEME as UPLOAD

# Marked for translation here; a kind that is not among them is told of in English.
_TRANSLATED = (
    gettext_noop(
        "a folder, an archive or a single page on this machine; `#part` is a folder inside."
    ),
    gettext_noop("a folder of a git repository, at a branch, a tag or a commit."),
    gettext_noop(
        "the pages that a site lists for language models; `llms-full.txt` has them in itself."
    ),
    gettext_noop(
        "a folder of a package's source distribution, found through pip's own configuration."
    ),
    gettext_noop("a site without a list of its pages; links below the path are followed."),
    gettext_noop("the pages that its sitemaps name."),
    gettext_noop("the pages that a Sphinx site's inventory (objects.inv) names."),
)
_FIRST_LINE = re.compile(r"`([^`]+)`(?:, ([^:]*))?: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source: how its names begin, one of them, and what it is."""

    scheme: str
    example: str
    about: str


@cache
def _said() -> tuple[SourceKind, ...]:
    found = []
    for info in iter_modules(sources.__path__):
        module = import_module(f"{sources.__name__}.{info.name}")
        scheme = getattr(module, "SCHEME", "")
        said = _FIRST_LINE.match((module.__doc__ or "").partition("\n")[0])
        if scheme and said and scheme != UPLOAD:
            found.append(SourceKind(scheme, said[1], said[3]))
    return tuple(found)


def source_kinds_for(user: User) -> list[SourceKind]:
    """Return the kinds that they may name, who are staff, in their language."""
    return [
        SourceKind(
            kind.scheme,
            kind.example,
            _(kind.about) if kind.about in _TRANSLATED else kind.about,
        )
        for kind in _said()
        if kind.scheme != folder.SCHEME or user.is_superuser
    ]
