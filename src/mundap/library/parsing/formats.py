"""Finds the format of a page, by its name and by its first bytes, and reads it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from mundap.library import parsing
from mundap.library.parsing.decoding import decoded
from mundap.library.parsing.foreign import foreign_kind
from mundap.library.parsing.page import Page, PageContext, UnreadablePage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its module's name, and what the module offers.

    A module reads text by `parse`, or bytes that are no text by `parse_bytes`; then the format is binary.
    """

    name: str
    suffixes: tuple[str, ...]
    version: int
    parse: Callable[[str, PageContext], Page] | None
    parse_bytes: Callable[[bytes, PageContext], Page] | None
    titles: Callable[[str, str], dict[str, str]] | None
    depends_on: Callable[[str, PageContext], Iterable[bytes]] | None
    includes: Callable[[str, PageContext], Iterable[str]] | None
    declared_encoding: Callable[[bytes], str | None]
    recognises: Callable[[bytes], bool]

    @property
    def is_binary(self) -> bool:
        """Return whether a page of this format is no text."""
        return self.parse_bytes is not None

    def read(self, data: bytes, context: PageContext) -> Page:
        """Return the page that these bytes are."""
        if self.parse_bytes is not None:
            return self.parse_bytes(data, context)
        if self.parse is None:
            raise LookupError(f"{self.name} has no parser")
        return self.parse(read_text(data, self), context)


@cache
def formats() -> dict[str, Format]:
    """Return every format of this package by its name."""
    found: dict[str, Format] = {}
    for info in iter_modules(parsing.__path__):
        module = import_module(f"{parsing.__name__}.{info.name}")
        if hasattr(module, "SUFFIXES"):
            found[info.name] = Format(
                name=info.name,
                suffixes=module.SUFFIXES,
                version=getattr(module, "VERSION", 1),
                parse=getattr(module, "parse", None),
                parse_bytes=getattr(module, "parse_bytes", None),
                titles=getattr(module, "titles", None),
                depends_on=getattr(module, "depends_on", None),
                includes=getattr(module, "includes", None),
                declared_encoding=getattr(module, "declared_encoding", lambda _data: None),
                recognises=getattr(module, "recognises", lambda _data: False),
            )
    return found


def format_named(name: str) -> Format | None:
    """Return the format of this name, as `restructuredtext` in Sphinx's source_suffix."""
    return formats().get(name)


def format_of_suffix(suffix: str) -> Format | None:
    """Return the format of files with this suffix, such as `.md`."""
    return next((each for each in formats().values() if suffix.lower() in each.suffixes), None)


def read_text(data: bytes, page_format: Format) -> str:
    r"""Return a page's bytes as text with `\n` for line ends. Raises UnreadablePage."""
    return decoded(data, page_format.declared_encoding(data))


def parse_page(data: bytes, page_format: Format, context: PageContext) -> Page:
    """Return the parsed page, or raise UnreadablePage, and nothing else.

    What says by its first bytes that it is of another format is read as that, whatever its name promises.
    """
    actual = next((each for each in formats().values() if each.recognises(data)), None)
    if actual is None and (found := foreign_kind(data)):
        raise UnreadablePage(f"It is {found}, which Mundap does not read.")
    page_format = actual or page_format
    try:
        return page_format.read(data, context)
    except UnreadablePage:
        raise
    except RecursionError as exc:
        raise UnreadablePage("It is nested too deeply.") from exc
    except MemoryError as exc:
        raise UnreadablePage("It needs too much memory to be read.") from exc
    except Exception as exc:  # an edge: foreign markup in foreign parsers
        logger.warning("A page cannot be read as %s", page_format.name, exc_info=True)
        message = f"It could not be read as {page_format.name} ({type(exc).__name__}: {exc})."
        raise UnreadablePage(message[:500]) from exc
