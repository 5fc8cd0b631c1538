"""Finds the format of a page and decodes its bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import charset_normalizer

from mundap.library import parsing
from mundap.library.parsing.page import Page, PageContext, UnreadablePage


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its module's name, and what the module offers."""

    name: str
    suffixes: tuple[str, ...]
    version: int
    parse: Callable[[str, PageContext], Page]
    titles: Callable[[str, str], dict[str, str]] | None
    depends_on: Callable[[str, PageContext], Iterable[bytes]] | None
    includes: Callable[[str, PageContext], Iterable[str]] | None
    declared_encoding: Callable[[bytes], str | None]


@cache
def formats() -> dict[str, Format]:
    """Return every format of this package by its name."""
    found: dict[str, Format] = {}
    for info in iter_modules(parsing.__path__):
        module = import_module(f"{parsing.__name__}.{info.name}")
        if hasattr(module, "SUFFIXES") and hasattr(module, "parse"):
            found[info.name] = Format(
                name=info.name,
                suffixes=module.SUFFIXES,
                version=getattr(module, "VERSION", 1),
                parse=module.parse,
                titles=getattr(module, "titles", None),
                depends_on=getattr(module, "depends_on", None),
                includes=getattr(module, "includes", None),
                declared_encoding=getattr(module, "declared_encoding", lambda _data: None),
            )
    return found


def format_named(name: str) -> Format | None:
    """Return the format of this name, as `restructuredtext` in Sphinx's source_suffix."""
    return formats().get(name)


def format_of_suffix(suffix: str) -> Format | None:
    """Return the format of files with this suffix, such as `.md`."""
    return next((each for each in formats().values() if suffix.lower() in each.suffixes), None)


_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]")
# A text holds hardly any of these; a program or a picture does.
_MAX_CONTROL_SHARE = 0.02


def read_text(data: bytes, page_format: Format) -> str:
    """Return a page's bytes as text with `\\n` for line ends.

    Tried in turn: a byte order mark, UTF-8, what the page itself declares, and what its bytes look like (as EUC-KR).
    """
    text = _decoded(data, page_format)
    controls = len(_CONTROLS.findall(text))
    if controls > max(8, len(text) * _MAX_CONTROL_SHARE):
        raise UnreadablePage("It is not text: it has too many control characters.")
    return _CONTROLS.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, page_format: Format) -> str:
    marked = [name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)]
    for name in [*marked[:1], "utf-8", page_format.declared_encoding(data)]:
        try:
            if name:
                return data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    # The Korean encodings first: short Korean texts are easily taken for Chinese ones.
    for name in ("cp949",):
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if _looks_korean(text):
            return text
    best = charset_normalizer.from_bytes(data).best()
    if best is None:
        raise UnreadablePage("Its encoding is not known. Save it as UTF-8.")
    return str(best)


def _looks_korean(text: str) -> bool:
    letters = [char for char in text if ord(char) > 127]
    hangul = sum("가" <= char <= "힣" for char in letters)
    return bool(letters) and hangul > len(letters) * 0.8


def parse_page(data: bytes, page_format: Format, context: PageContext) -> Page:
    """Return the parsed page, or raise UnreadablePage."""
    text = read_text(data, page_format)
    try:
        return page_format.parse(text, context)
    except RecursionError as exc:
        raise UnreadablePage("It is nested too deeply.") from exc
