"""The kinds of sources as people are told of them: each module of `sources` says in its first line what it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from django.utils.translation import gettext as _

from mundap.library import sources
from mundap.library.uploads import SCHEME as UPLOAD

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


def source_kinds() -> list[SourceKind]:
    """Return the kinds that staff may name, in the reader's language."""
    return [SourceKind(kind.scheme, kind.example, _(kind.about)) for kind in _said()]
