"""`sphinx:https://docs.python.org/3.11/`: the pages that a Sphinx site's inventory (objects.inv) names.

Sphinx writes pages of a theme's own, such as a start page, into no inventory: what the start page links to counts too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mundap.errors import SourceError
from mundap.library.crawling.scoping import folder_of, page_at
from mundap.library.crawling.starting import Start, check_there, start
from mundap.library.crawling.web import Reply, Web
from mundap.library.sources.listed import Listed, Scope, WebPage

SCHEME = "sphinx"
FILE = "objects.inv"
MAX_BYTES = 50_000_000
# Nothing in it is tried twice: a line may be as long as the file.
_ENTRY = re.compile(r"(\S(?:.*?\S)??)\s++[^\s:]++:\S++\s++-?\d++\s++(\S*)")


def list_pages(address: str, web: Web) -> Listed:
    """Return the pages that the inventory names, and those that the start page links to."""
    place, _, only = address.partition("#")
    begin = start(f"{place.removesuffix(FILE)}#{only}", web)
    reply = _inventory_reply(begin, web)
    inventory = read_inventory(reply.content)
    scope = Scope(folder_of(reply.url), only=begin.only, is_sphinx=True)
    found: dict[str, WebPage] = {}
    for name in inventory.locations:
        _add(found, name, scope)
    if begin.is_there:
        # Links with a query lead to the same pages: only the inventory's own addresses are taken as they are.
        for url in (begin.url, *begin.head.links):
            _add(found, url, replace(scope, is_followed=True))
    return Listed(
        tuple(sorted(found.values(), key=lambda page: page.path)),
        scope,
        project=inventory.project,
        version=inventory.version,
        language=begin.head.language,
    )


def _inventory_reply(begin: Start, web: Web) -> Reply:
    """Return the inventory of the folder that was named, or of the one that it leads to, as / to /en/stable/."""
    reply = web.get(begin.asked + FILE, max_bytes=MAX_BYTES)
    if reply.status != 200 and folder_of(begin.url) != begin.asked:
        reply = web.get(folder_of(begin.url) + FILE, max_bytes=MAX_BYTES)
    check_there(reply)
    return reply


def _add(found: dict[str, WebPage], url: str, scope: Scope) -> None:
    page = page_at(url, scope)
    if page is not None:
        found.setdefault(page.path, page)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an objects.inv says; `locations` are below its folder, each once."""

    project: str
    version: str
    locations: tuple[str, ...]


def read_inventory(content: bytes) -> Inventory:
    """Return what an inventory of Sphinx's version 1 or 2 says. Raises SourceError."""
    first, _, rest = content.partition(b"\n")
    match = re.fullmatch(rb"# Sphinx inventory version ([12])", first.strip())
    if not match:
        raise SourceError(f"The {FILE} is not one of Sphinx's. Check the address of the source.")
    head = rest.split(b"\n", 3)
    project, version = (_value(line) for line in (*head, b"", b"")[:2])
    if match[1] == b"1":
        lines = rest.decode("utf-8", "replace").splitlines()[2:]
        locations: Iterable[str] = (parts[2] for line in lines if len(parts := line.split()) == 3)
    else:
        locations = _entries(_unpacked(head[3] if len(head) == 4 else b""))
    pages = dict.fromkeys(each.partition("#")[0] for each in locations)
    return Inventory(project, version, tuple(pages))


def _value(line: bytes) -> str:
    return line.decode("utf-8", "replace").partition(":")[2].strip()


def _unpacked(packed: bytes) -> str:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, MAX_BYTES)
    except zlib.error as exc:
        raise SourceError(f"The {FILE} is broken: {exc}.") from exc
    if unpacker.unconsumed_tail:
        raise SourceError(f"The {FILE} unpacks to more than {MAX_BYTES // 1_000_000} MB.")
    if not unpacker.eof:
        raise SourceError(f"The {FILE} is broken: it ends in the middle.")
    return data.decode("utf-8", "replace")


def _entries(text: str) -> Iterable[str]:
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            name, location = match.groups()
            # `$` stands for the name, which is nearly always an anchor.
            yield location[:-1] + name if location.endswith("$") else location
