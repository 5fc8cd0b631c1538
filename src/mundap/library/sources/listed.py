"""What a web source hands over: the addresses of its pages, and the bounds within which more are found.

Pages are then fetched one by one (`crawling.fetching`), by any number of workers; everything here is plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page's address, and its path below the base as a folder of the same site would have it.

    `depth` counts the links that lead to it. `content` is there where the listing already has the page
    (llms-full.txt); it is of `format_name` and is not asked for again.
    """

    url: str
    path: str
    depth: int = 0
    content: bytes | None = None
    format_name: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What belongs to a source: addresses below `base_url`, of these only paths that begin with `only`.

    Links are followed where `is_followed`, redirects always, both up to `max_depth`; a run takes no more than
    `max_pages` and no longer than `max_seconds`, whatever the site goes on to offer. Of a site that Sphinx built
    (`is_sphinx`), indexes and the like are no pages. Plain values: `dataclasses.asdict` and back.
    """

    base_url: str
    only: str = ""
    is_followed: bool = False
    is_sphinx: bool = False
    max_depth: int = 20
    max_pages: int = 20_000
    max_seconds: int = 6 * 3600


@dataclass(frozen=True, slots=True)
class Listed:
    """The pages that a web source names, in order of their paths, and what it says of itself."""

    pages: tuple[WebPage, ...]
    scope: Scope
    project: str = ""
    title: str = ""
    version: str = ""
    language: str = ""

    @property
    def base_url(self) -> str:
        """The address that all pages are below."""
        return self.scope.base_url


class FetchKind(StrEnum):
    """What came of asking for a page."""

    NEW = "new"  # its content is here; it may say the same as before
    UNCHANGED = "unchanged"  # the server says that it is as it was
    GONE = "gone"  # the server says that there is no such page
    LEFT_OUT = "left_out"  # it is there, and is not to be read; `reason` says why


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A fetched page; `links` are further pages of the scope, for the run to take up if it does not have them.

    `url` is the one that was asked for. A page that only leads to another one (a redirect, a canonical link) is
    LEFT_OUT with that one as its only link, so that no page is read under two addresses. `content` is UTF-8 where the
    server declared another charset for a text.
    """

    kind: FetchKind
    url: str
    content: bytes = b""
    format_name: str = ""
    etag: str = ""
    last_modified: str = ""
    links: tuple[WebPage, ...] = ()
    reason: str = ""
