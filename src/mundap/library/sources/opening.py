"""Opens a source by its name: its pages are at hand until the block is left."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from mundap.errors import SourceError
from mundap.library import sources
from mundap.library.crawling.web import open_web
from mundap.library.parsing import format_of_suffix
from mundap.library.sources.fetched import Fetched
from mundap.library.sources.known import Naming, address, find_known, published_base
from mundap.library.sources.listed import Listed
from mundap.library.sources.pages import FoundPages, SourcePage, find_pages

MAX_NAME = 1000  # as long as the database keeps


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a source beside its pages; texts are empty where nothing is."""

    title: str
    slug: str
    version: str = ""
    language: str = ""
    home_page: str = ""
    licence: str = ""
    base_url: str = ""
    naming: Naming = Naming.FILE


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source's pages, in order of their paths; `settings` are its own, for the parsers.

    `name` opens the same source again, from any folder.
    """

    name: str
    root: Path
    pages: tuple[SourcePage, ...]
    about: Description
    settings: Mapping[str, Any] = field(default_factory=dict)
    listed: Listed | None = None

    def address(self, path: str) -> str:
        """Return where the page is published, or nothing."""
        return address(self.about.base_url, path, self.about.naming)


@cache
def _kinds() -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    for info in iter_modules(sources.__path__):
        module = import_module(f"{sources.__name__}.{info.name}")
        if hasattr(module, "SCHEME"):
            found[module.SCHEME] = module
    return found


def is_source_name(name: str) -> bool:
    """Return whether the name begins like one of the known kinds of source."""
    return name.partition(":")[0] in _kinds()


@contextmanager
def open_source(name: str, *, base_url: str = "") -> Iterator[OpenedSource]:
    """Give the source's pages; what had to be fetched is removed afterwards.

    Pages of a web source are only `listed`: whoever reads them asks for them one by one.
    `base_url` is where the pages are published, for a source that does not say so itself. Raises SourceError.
    """
    scheme, separator, rest = name.strip().partition(":")
    kinds = _kinds()
    if not separator or scheme not in kinds or not rest:
        known = ", ".join(f"{each}:…" for each in sorted(kinds))
        raise SourceError(
            f"{name!r} does not name a source. A source begins with one of: {known} "
            "(for example pypi:django==5.2.19#docs or dir:/path/to/folder)."
        )
    kind = kinds[scheme]
    with tempfile.TemporaryDirectory(prefix="mundap-source-") as folder:
        if hasattr(kind, "list_pages"):
            with open_web() as web:
                listed: Listed = kind.list_pages(rest, web)
            yield _listed(name, listed, Path(folder), base_url=base_url)
        else:
            yield _opened(name, kind.fetch(rest, Path(folder)), base_url=base_url)


def _listed(name: str, listed: Listed, folder: Path, *, base_url: str) -> OpenedSource:
    known = find_known(listed.project) if listed.project else None
    host = urlsplit(listed.base_url).hostname or ""
    title = known.title if known else listed.project or listed.title or host
    return OpenedSource(
        name=_storable(name.strip()),
        root=folder,
        pages=(),
        about=Description(
            title=title[:200],
            slug=known.slug if known else _slug(listed.project or listed.title or host),
            version=listed.version[:50],
            language=listed.language[:10],
            home_page=known.home_page if known else "",
            licence=known.licence if known else "",
            base_url=base_url or listed.base_url,
            naming=Naming.NO_INDEX,
        ),
        listed=listed,
    )


def _opened(name: str, fetched: Fetched, *, base_url: str) -> OpenedSource:
    if fetched.only:
        page_format = format_of_suffix(Path(fetched.only).suffix)
        file = fetched.root / fetched.only
        pages = (SourcePage(fetched.only, file, page_format.name),) if page_format else ()
        found = FoundPages(pages, Naming.FILE)
    else:
        found = find_pages(fetched.root)
    if not found.pages:
        raise SourceError(
            f"{name!r} has no pages that can be read: Mundap reads HTML, Markdown, reStructuredText "
            "and text. Check the folder; a part of it is named after # (as in dir:/path#docs)."
        )
    scheme, _, rest = name.strip().partition(":")
    return OpenedSource(
        name=_storable(f"{scheme}:{fetched.address or rest}"),
        root=fetched.root,
        pages=found.pages,
        about=_description(name, fetched, found, base_url),
        settings=found.settings,
    )


def _description(name: str, fetched: Fetched, found: FoundPages, base_url: str) -> Description:
    project = fetched.project or found.project
    version = fetched.version or found.version
    known = find_known(project) if project else None
    fallback = fetched.called or name
    title = known.title if known else found.project or fetched.project or fallback
    naming = found.naming
    base = base_url or (published_base(known, version) if known else "") or found.base_url
    # At the known place pages are named as there, whichever version's address was given.
    is_known_place = known is not None and urlsplit(base).netloc == urlsplit(known.base_url).netloc
    if known and is_known_place and naming in {Naming.HTML, Naming.FOLDER}:
        naming = known.naming
    return Description(
        title=title[:200],
        slug=known.slug if known else _slug(project or fallback),
        version=version[:50],
        language=found.language[:10],
        home_page=known.home_page if known else "",
        licence=known.licence if known else "",
        base_url=base if re.match(r"https?://", base) else "",
        naming=naming,
    )


def _storable(name: str) -> str:
    """Return the name, which the database keeps to open the source again. Raises SourceError."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{name!r} is not UTF-8 text. Rename the folder or file.") from None
    if len(name) > MAX_NAME:
        raise SourceError(f"The source's name is longer than {MAX_NAME} characters. Move it.")
    return name


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:100] or "documents"
