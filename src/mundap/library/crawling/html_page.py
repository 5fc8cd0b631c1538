"""What an HTML page says to those who crawl: where it really is, what it links to, and what it does not want."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree
from lxml import html as lxml_html
from lxml.html import HtmlElement

from mundap.library.crawling.robots import AGENT
from mundap.library.crawling.scoping import joined

_AGENT_NAMED = re.compile(r"\s*([\w-]+)\s*:")


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """The words of a page's head, and the addresses that it links to, made absolute; nothing where it says nothing."""

    title: str = ""
    language: str = ""
    canonical: str = ""
    is_by_sphinx: bool = False
    robots: frozenset[str] = frozenset()
    links: tuple[str, ...] = ()


def read_head(content: bytes, url: str, *, has_links: bool = False) -> HtmlPage:
    """Return what the page says, its links only if they are asked for. What cannot be read as HTML says nothing."""
    parser = lxml_html.HTMLParser(
        remove_comments=True, no_network=True, encoding="utf-8" if _is_utf8(content) else None
    )
    try:
        tree = lxml_html.document_fromstring(content, parser=parser)
    except (etree.LxmlError, ValueError):
        return HtmlPage()
    base = joined(url, _first(tree, "//base/@href")) or url
    canonical = _first(tree, "//link[translate(@rel, 'CANONICAL', 'canonical')='canonical']/@href")
    return HtmlPage(
        title=" ".join((tree.findtext(".//title") or "").split()),
        language=(tree.get("lang") or "").strip(),
        canonical=joined(base, canonical) if canonical else "",
        is_by_sphinx=has_links and _is_by_sphinx(tree),
        robots=_robots(tree),
        links=_links(tree, base) if has_links else (),
    )


def header_robots(text: str) -> frozenset[str]:
    """Return what X-Robots-Tag headers, one a line, ask of everybody or of us."""
    found: frozenset[str] = frozenset()
    for line in text.splitlines():
        agent = _AGENT_NAMED.match(line)
        if agent is None or agent[1].lower() == AGENT.lower():
            found |= _directives(line[agent.end() :] if agent else line)
    return found


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _first(tree: HtmlElement, path: str) -> str:
    found = tree.xpath(path)
    return str(found[0]).strip() if found else ""


def _is_by_sphinx(tree: HtmlElement) -> bool:
    scripts = " ".join(map(str, tree.xpath("//script/@src | //link/@href | //a/@href")))
    return (
        "documentation_options.js" in scripts
        or "objects.inv" in scripts
        or "genindex.html" in scripts
    )


def _robots(tree: HtmlElement) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for meta in tree.iter("meta"):
        if (meta.get("name") or "").strip().lower() in {"robots", AGENT.lower()}:
            found |= _directives(meta.get("content") or "")
    return found


def _directives(text: str) -> frozenset[str]:
    found = {word.strip().lower() for word in text.split(",")}
    return frozenset(found | {"noindex", "nofollow"} if "none" in found else found)


def _links(tree: HtmlElement, base: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for link in tree.iter("a", "area"):
        href = link.get("href")
        if href and "nofollow" not in (link.get("rel") or "").lower().split():
            found[joined(base, href).partition("#")[0]] = None
    found.pop("", None)
    return tuple(found)
