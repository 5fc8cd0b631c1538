"""Where the links of a page lead: marks that travel through the making of its text, and are read out at the end.

A link's place in the text is known only when the text is whole: words are joined, indented, put into tables. So the
words of a link stand between two characters that no text has, and the first is followed by one for its address.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

MAX_ADDRESS = 2000
# What one character behind the mark can number; further links stay as their words.
MAX_ADDRESSES = 60_000

# Both are no characters in Unicode, and read_text() drops them.
_BEGIN, _END = "\uffff", "\ufffe"
_FIRST_NUMBER = 0xF0000
_MARKS = re.compile(f"{_BEGIN}([\U000f0000-\U000ffffd])|[{_BEGIN}{_END}]")


class Link(NamedTuple):
    """A link: characters of a text, and the absolute address (http or https) that they lead to."""

    start: int
    end: int
    address: str


class LinkMarks:
    """The links of one page; `base` is the address that relative ones start from."""

    def __init__(self, base: str = "") -> None:
        self._base = base if base.startswith(("https://", "http://")) else ""
        self._addresses: dict[str, int] = {}
        self._known: dict[str, str] = {}

    def marked(self, text: str, target: str) -> str:
        """Return the link's words between marks, or as they are where it leads nowhere that can be opened."""
        words = text.strip()
        # A paragraph sign or a picture is no link that somebody reads.
        if not any(char.isalnum() for char in words):
            return text
        address = self._address(target)
        number = self._addresses.setdefault(address, len(self._addresses)) if address else -1
        if not 0 <= number < MAX_ADDRESSES:
            return text
        start = text.find(words)
        mark = _BEGIN + chr(_FIRST_NUMBER + number)
        return f"{text[:start]}{mark}{words}{_END}{text[start + len(words) :]}"

    def read(self, text: str) -> tuple[str, list[Link]]:
        """Return the text without marks, and its links in order."""
        if _BEGIN not in text and _END not in text:
            return text, []
        addresses = list(self._addresses)
        parts: list[str] = []
        links: list[Link] = []
        opened: list[tuple[int, str]] = []
        length = position = 0
        for match in _MARKS.finditer(text):
            parts.append(text[position : match.start()])
            length += match.start() - position
            position = match.end()
            if match[1] and ord(match[1]) - _FIRST_NUMBER < len(addresses):
                opened.append((length, addresses[ord(match[1]) - _FIRST_NUMBER]))
            elif match[0] == _END and opened:
                start, address = opened.pop()
                if length > start:
                    links.append(Link(start, length, address))
        parts.append(text[position:])
        return "".join(parts), sorted(links)

    def _address(self, target: str) -> str:
        if target not in self._known:
            self._known[target] = web_address(target, self._base)
        return self._known[target]


def web_address(target: str, base: str) -> str:
    """Return the absolute http(s) address of a link's target, or nothing where it has none."""
    target = "".join(target.split()) if "\n" in target or "\t" in target else target.strip()
    is_absolute = target.startswith(("https://", "http://"))
    if not target or len(target) > MAX_ADDRESS or not (base or is_absolute):
        return ""
    try:
        address = urljoin(base, target)
        parts = urlsplit(address)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return ""
    return _storable(address) if is_web and len(address) <= MAX_ADDRESS else ""


def _storable(address: str) -> str:
    """Return the address without what no address has: blanks, quotes and what cannot be encoded."""
    return re.sub(
        r"[\x00-\x20\"<>\x7f\ud800-\udfff\ufffe\uffff]",
        lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace")),
        address,
    )
