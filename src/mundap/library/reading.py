"""Reads pages into passages; `reading_pool` has processes that do so. No database, no Django.

A page comes as bytes, with the format to read it by. What all pages of a source share (its settings, the titles that
links show, files that are included) lies in a folder, so that another process, on another machine too, reads alike.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mundap.library.chunking import CHUNKER_VERSION, PassageDraft, cut
from mundap.library.parsing import (
    Format,
    PageContext,
    UnreadablePage,
    format_named,
    parse_page,
    read_text,
)
from mundap.library.sources import OpenedSource, SourcePage

MAX_TEXT_BYTES = 10_000_000
MAX_FILE_BYTES = 100_000_000  # of formats that are not plain text, such as PDF
CONTEXT_FILE = ".mundap-context.json"  # no page is hidden, so this is nobody's name
# The settings of a source that change what a page says.
_TELLING_SETTINGS = (
    "rst_prolog",
    "rst_epilog",
    "extlinks",
    "project",
    "release",
    "default_role",
    "anchors",
)

_KEPT = ("settings", "titles", "addresses")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GivenPage:
    """A page as bytes; `content_hash` is what it is known by: another one means that it has to be read again."""

    path: str
    content: bytes
    format_name: str
    url: str = ""
    content_hash: str = ""


@dataclass(frozen=True, slots=True)
class ReadPage:
    """What became of a page: its text and passages, or an error; a lasting one does not go away by itself."""

    path: str
    title: str = ""
    text: str = ""
    drafts: tuple[PassageDraft, ...] = ()
    error: str = ""
    is_lasting: bool = True


class SourceContext:
    """What the pages of one source share: its folder and settings, the titles that links show, and where they lead."""

    def __init__(
        self,
        root: Path,
        settings: Mapping[str, Any],
        titles: Mapping[str, str],
        addresses: Mapping[str, str],
    ) -> None:
        self.root = root
        self.settings = dict(settings)
        self.titles = dict(titles)
        self.addresses = dict(addresses)
        telling = {name: self.settings.get(name) for name in _TELLING_SETTINGS}
        self._shared = json.dumps([CHUNKER_VERSION, telling], sort_keys=True, default=str).encode()

    @classmethod
    def of(cls, source: OpenedSource) -> SourceContext:
        """Return the context of an opened source."""
        titles: dict[str, str] = {}
        addresses: dict[str, str] = {}
        for page in source.pages:
            found = _titles(page)
            titles |= found
            if address := source.address(page.path):
                addresses |= dict.fromkeys(found, address)
        return cls(source.root, source.settings, titles, addresses)

    @classmethod
    def kept(cls, folder: Path) -> SourceContext:
        """Return the context that `keep` wrote there."""
        known = json.loads((folder / CONTEXT_FILE).read_bytes())
        return cls(folder, *(known.get(name, {}) for name in _KEPT))

    @staticmethod
    def keep(folder: Path, known: Mapping[str, Any]) -> None:
        """Write what `as_json` returned into the folder, for other processes."""
        (folder / CONTEXT_FILE).write_text(json.dumps(known), encoding="utf-8")

    def as_json(self) -> dict[str, Any]:
        """Return the settings, titles and addresses as they are kept."""
        known = {name: getattr(self, name) for name in _KEPT}
        shown: dict[str, Any] = json.loads(json.dumps(known, default=str))
        return shown

    def read_with(self, page_format: Format) -> str:
        """Return a digest of the parser, the chunker and the settings."""
        return blake2b(self._reader(page_format), digest_size=32).hexdigest()

    def content_hash(self, page: GivenPage) -> str:
        """Return what the page is known by: its bytes, what reads it, and what it shows of other pages."""
        page_format = get_format(page.format_name)
        digest = blake2b(digest_size=32)
        digest.update(self._reader(page_format) + page.content)
        for shown in self._shown_of_others(page, page_format):
            digest.update(b"|" + shown)
        for name in sorted(self.included(page)):
            digest.update(b"|" + (self.root / name).read_bytes())
        return digest.hexdigest()

    def included(self, page: GivenPage) -> set[str]:
        """Return the paths of the files that the page includes, and of those that they include."""
        page_format = get_format(page.format_name)
        found: set[str] = set()
        if page_format.includes is None or len(page.content) > MAX_TEXT_BYTES:
            return found
        waiting = [page.content]
        while waiting:
            text = _text(waiting.pop(), page_format)
            for name in page_format.includes(text, self._page(page)):
                if name not in found:
                    found.add(name)
                    waiting.append((self.root / name).read_bytes())
        return found

    def read(self, page: GivenPage) -> ReadPage:
        """Return the page's passages, or why there are none."""
        page_format = get_format(page.format_name)
        if excess := too_large(len(page.content), page_format):
            return ReadPage(page.path, error=excess)
        try:
            parsed = parse_page(page.content, page_format, self._page(page))
            drafts = cut(parsed)
        except UnreadablePage as exc:
            return ReadPage(page.path, error=str(exc))
        except MemoryError:
            return ReadPage(page.path, error="It needs too much memory to be read.")
        except Exception as exc:  # an edge: foreign parsers of foreign markup; the others go on
            logger.warning("A page cannot be read: %s", page.content_hash, exc_info=True)
            return ReadPage(
                page.path,
                error=f"The page's markup could not be read ({type(exc).__name__}: {exc}).",
            )
        title = parsed.title or Path(page.path).stem
        return ReadPage(page.path, title[:500], parsed.text, tuple(drafts))

    def _reader(self, page_format: Format) -> bytes:
        return self._shared + f"|{page_format.name}|{page_format.version}|".encode()

    def _page(self, page: GivenPage) -> PageContext:
        return PageContext(
            page.path,
            self.root,
            self.settings,
            self.titles,
            url=page.url,
            addresses=self.addresses,
        )

    def _shown_of_others(self, page: GivenPage, page_format: Format) -> Iterable[bytes]:
        if page_format.depends_on is None or len(page.content) > MAX_TEXT_BYTES:
            return ()
        return page_format.depends_on(_text(page.content, page_format), self._page(page))


def get_format(name: str) -> Format:
    """Return the format of this name. Raises LookupError."""
    found = format_named(name)
    if found is None:
        raise LookupError(f"no format is called {name!r}")
    return found


def too_large(size_bytes: int, page_format: Format) -> str:
    """Return what to say of a page that is too large to be read, or nothing."""
    most = MAX_FILE_BYTES if page_format.is_binary else MAX_TEXT_BYTES
    return f"The page is larger than {most // 1_000_000} MB." if size_bytes > most else ""


def read_source(source: OpenedSource) -> Iterator[ReadPage]:
    """Yield all pages of a source, read in this process."""
    context = SourceContext.of(source)
    for page in source.pages:
        given = GivenPage(
            page.path, page.file.read_bytes(), page.format_name, source.address(page.path)
        )
        yield context.read(given)


def _titles(page: SourcePage) -> dict[str, str]:
    page_format = get_format(page.format_name)
    if page_format.titles is None or page.file.stat().st_size > MAX_TEXT_BYTES:
        return {}
    return page_format.titles(_text(page.file.read_bytes(), page_format), page.path)


def _text(content: bytes, page_format: Format) -> str:
    try:
        return read_text(content, page_format)
    except UnreadablePage:
        return ""
