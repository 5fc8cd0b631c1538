"""Where a web source begins: the address that was named, where it leads, and what stands in the start page's head."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mundap.errors import FetchFailed, SourceError
from mundap.library.crawling.html_page import HtmlPage, read_head
from mundap.library.crawling.scoping import folder_of, path_below
from mundap.library.crawling.web import Reply, Web


@dataclass(frozen=True, slots=True)
class Start:
    """A source's start page; `asked` is the folder that was named, `url` where the page was found in the end.

    `only` is what was written after `#`. A folder may be without one.
    """

    asked: str
    url: str
    only: str
    is_there: bool
    head: HtmlPage

    @property
    def base_url(self) -> str:
        """The folder that pages lie below: the one that was named, unless it leads out of itself."""
        return self.asked if path_below(self.url, self.asked) else folder_of(self.url)

    @property
    def site_name(self) -> str:
        """The site's name, which stands behind the page's own title."""
        return re.split(r"\s+[-—–|·»]\s+", self.head.title)[-1]


def split(address: str, web: Web) -> tuple[str, str]:
    """Return the address as it is asked and what stands after its `#`. Raises FetchFailed for what is none."""
    place, _, only = address.partition("#")
    return str(web.rules.target(place)), only.lstrip("/")


def start(address: str, web: Web, *, must_be_there: bool = False) -> Start:
    """Return the start page of the folder or page at the address, without its words where there is none."""
    url, only = split(address, web)
    folder = folder_of(url)
    try:
        # As it was given: a folder without a slash at its end is asked for like that by its own links.
        reply = web.get(url)
    except FetchFailed as exc:
        # One that passes must not make pages seem to be gone.
        if must_be_there or exc.is_retryable:
            raise
        return Start(folder, url, only, False, HtmlPage())
    if reply.status != 200:
        if must_be_there:
            check_there(reply)
        return Start(folder, url, only, False, HtmlPage())
    head = read_head(reply.content, reply.url, has_links=True)
    return Start(folder, reply.url, only, True, head)


def check_there(reply: Reply) -> None:
    """Raise SourceError if it is not there."""
    if reply.status != 200:
        raise SourceError(
            f"The server answered {reply.status} for {reply.url}. Check the address of the source."
        )
