"""`llms:https://host/llms.txt`: the pages that a site lists for language models; `llms-full.txt` has them in itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urljoin

from markdown_it import MarkdownIt

from mundap.errors import SourceError
from mundap.library.crawling.scoping import folder_of, joined, page_at
from mundap.library.crawling.starting import check_there, split
from mundap.library.crawling.web import Web
from mundap.library.sources.listed import Listed, Scope, WebPage

SCHEME = "llms"
FULL = "llms-full.txt"
MAX_BYTES = 50_000_000
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"# +(\S.*)")
_SOURCE = re.compile(r"(?:source|url): *<?(https?://[^\s>]+)", re.IGNORECASE)
_SOURCE_LINES = 4  # below the heading, where the page's own address may stand


def list_pages(address: str, web: Web) -> Listed:
    """Return the pages that are linked below the file's folder, or that the file consists of."""
    url, only = split(address, web)
    if not url.endswith(".txt"):
        url = urljoin(folder_of(url), "llms.txt")
    reply = web.get(url, max_bytes=MAX_BYTES)
    check_there(reply)
    text = reply.content.decode("utf-8", "replace")
    scope = Scope(folder_of(reply.url.rpartition("/")[0] + "/"), only=only)
    pages = _parts(text, reply.url, scope) if url.endswith(FULL) else _links(text, reply.url, scope)
    found = {page.path: page for page in pages if page.path.startswith(only)}
    if not found:
        raise SourceError(f"{reply.url} names no pages below {scope.base_url}{only}.")
    title = next(filter(None, map(_heading, text.splitlines())), "")
    ordered = tuple(sorted(found.values(), key=lambda page: page.path))
    return Listed(ordered, scope, title=title if not url.endswith(FULL) else "")


def _links(text: str, url: str, scope: Scope) -> Iterator[WebPage]:
    for token in MarkdownIt("commonmark").parse(text):
        for child in token.children or ():
            if child.type == "link_open":
                page = page_at(joined(url, str(child.attrGet("href") or "")), scope)
                if page is not None:
                    yield page


def _parts(text: str, url: str, scope: Scope) -> Iterator[WebPage]:
    """Yield the pages of one long text, each with a heading of the first level."""
    counts: Counter[str] = Counter()
    for title, lines in _cut(text):
        content = "\n".join(lines).strip()
        if not content:
            continue
        source = next(filter(None, map(_SOURCE.match, lines[1 : 1 + _SOURCE_LINES])), None)
        page = page_at(source[1], scope) if source else None
        path = page.path if page else f"{_slug(title)}.md"
        counts[path] += 1
        if counts[path] > 1:
            stem, dot, suffix = path.rpartition(".")
            path = f"{stem}-{counts[path]}{dot}{suffix}" if dot else f"{path}-{counts[path]}"
        yield WebPage(
            page.url if page else url, path, content=content.encode(), format_name="markdown"
        )


def _cut(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each title with its lines; what looks like a heading in a code block is none."""
    title, lines, fence = "index", list[str](), ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip(" `~"):
            fence = ""
        heading = _heading(line) if not fence else ""
        if heading:
            yield title, lines
            title, lines = heading, []
        lines.append(line)
    yield title, lines


def _heading(line: str) -> str:
    """Return what the line says as a heading of the first level, without the signs that may close it."""
    match = _HEADING.match(line)
    return (match[1].rstrip(" #") or match[1]) if match else ""


def _slug(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-")[:100] or "page"
