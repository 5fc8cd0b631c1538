"""Fetches one page of a web source and says what it is: new, unchanged, gone, or not to be read."""

from __future__ import annotations

from dataclasses import replace

from mundap.errors import FetchFailed, RobotsDisallow
from mundap.library.crawling.content import as_utf8, format_of
from mundap.library.crawling.html_page import HtmlPage, header_robots, read_head
from mundap.library.crawling.scoping import page_at
from mundap.library.crawling.web import Reply, Web
from mundap.library.sources.listed import FetchedPage, FetchKind, Scope, WebPage


def fetch_page(
    web: Web, url: str, *, scope: Scope, depth: int = 0, etag: str = "", last_modified: str = ""
) -> FetchedPage:
    """Return what the page at this address is now.

    `etag` and `last_modified` are those of the reply before: a server that knows them saves itself the page. Where
    links are followed they are not sent, since a page that has not changed would not show its links. Raises
    FetchFailed, which says whether trying again is of use.
    """
    page = page_at(url, scope, depth=depth)
    if page is None:
        return FetchedPage(FetchKind.LEFT_OUT, url, reason=f"It is not below {scope.base_url}.")
    headers = {} if scope.is_followed else _conditions(etag, last_modified)
    try:
        reply = web.get(page.url, headers=headers, follows=lambda to: _is_same(to, page, scope))
    except RobotsDisallow as exc:
        return FetchedPage(FetchKind.LEFT_OUT, url, reason=exc.message)
    if reply.leads_to:
        return _elsewhere(reply.leads_to, page, scope)
    if reply.status == 304:
        return FetchedPage(FetchKind.UNCHANGED, url, etag=etag, last_modified=last_modified)
    if reply.status in {404, 410}:
        return FetchedPage(FetchKind.GONE, url, reason=f"The server answered {reply.status}.")
    if reply.status != 200:
        raise FetchFailed(_refused(reply))
    return _read(web, reply, page, scope)


def _conditions(etag: str, last_modified: str) -> dict[str, str]:
    found = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return {name: value for name, value in found.items() if value}


def _is_same(url: str, page: WebPage, scope: Scope) -> bool:
    """Return whether it is the same page by another name, as over https or with a session in the query."""
    found = page_at(url, scope)
    return found is not None and found.path == page.path


def _elsewhere(url: str, page: WebPage, scope: Scope) -> FetchedPage:
    """Return that the page is another one, which is read under its own address if it belongs to the source."""
    target = page_at(url, scope, depth=page.depth + 1)
    links = (target,) if target and target.depth <= scope.max_depth else ()
    outside = "" if target else ", which is not of this source"
    return FetchedPage(
        FetchKind.LEFT_OUT, page.url, links=links, reason=f"It leads to {url}{outside}."
    )


def _refused(reply: Reply) -> str:
    reasons = {
        401: "It wants a password, and Mundap has none for other sites.",
        403: "The site does not let Mundap read it.",
    }
    return f"{reasons.get(reply.status, '')} The server answered {reply.status}.".strip()


def _read(web: Web, reply: Reply, page: WebPage, scope: Scope) -> FetchedPage:
    content_type = reply.headers.get("content-type", "")
    wishes = header_robots(reply.headers.get("x-robots-tag", ""))
    format_name = format_of(reply.content, content_type, reply.url)
    fetched = FetchedPage(
        FetchKind.NEW,
        page.url,
        content=as_utf8(reply.content, content_type),
        format_name=format_name,
        etag=_kept(reply.headers.get("etag", ""), 500),
        last_modified=_kept(reply.headers.get("last-modified", ""), 100),
    )
    if format_name == "html":
        head = read_head(fetched.content, reply.url, has_links=scope.is_followed)
        wishes |= head.robots
        if elsewhere := _canonical(web, head, page, scope):
            return elsewhere
        if "nofollow" not in wishes:
            fetched = replace(fetched, links=_links(head, page, scope))
    if "noindex" in wishes:
        return _left_out(fetched, "The page asks not to be indexed (noindex).")
    if not format_name:
        kind = content_type.partition(";")[0].strip() or "of no declared type"
        return _left_out(fetched, f"It is no kind of file that Mundap reads ({kind[:100]}).")
    return fetched


def _kept(header: str, most: int) -> str:
    """Return a header to ask with the next time, if it is one that can be sent."""
    return header if len(header) <= most and header.isascii() and header.isprintable() else ""


def _left_out(fetched: FetchedPage, reason: str) -> FetchedPage:
    return FetchedPage(FetchKind.LEFT_OUT, fetched.url, links=fetched.links, reason=reason)


def _canonical(web: Web, head: HtmlPage, page: WebPage, scope: Scope) -> FetchedPage | None:
    """Return where the page really is, if it names another one of the scope and that one is there.

    Asked, because a template that names the start page on all pages, or a site that has moved, would lose them all; and
    two pages that name each other would both be lost.
    """
    target = page_at(head.canonical, scope) if head.canonical else None
    if target is None or target.path in {page.path, "index.html"}:
        return None
    try:
        reply = web.get(target.url, follows=lambda _to: False)
    except FetchFailed:
        return None
    if reply.status != 200:
        return None
    further = page_at(read_head(reply.content, reply.url).canonical or target.url, scope)
    is_settled = further is None or further.path == target.path
    return _elsewhere(target.url, page, scope) if is_settled else None


def _links(head: HtmlPage, page: WebPage, scope: Scope) -> tuple[WebPage, ...]:
    """Return the pages of the scope that it links to, each once, if they are not too deep."""
    if page.depth >= scope.max_depth:
        return ()
    found: dict[str, WebPage] = {}
    for url in head.links:
        target = page_at(url, scope, depth=page.depth + 1)
        if target is not None and target.path != page.path:
            found.setdefault(target.path, target)
    return tuple(found.values())
