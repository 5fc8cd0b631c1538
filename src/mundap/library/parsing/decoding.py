"""From a text's bytes to its characters: what it declares, and what its bytes look like, Korean first."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

import charset_normalizer

from mundap.library.parsing.page import UnreadablePage

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# As browsers take them: pages name the small set and use the large one (https://encoding.spec.whatwg.org/#names).
_MEANT = {
    "euc_kr": "cp949", "ks_c_5601_1987": "cp949", "ksc5601": "cp949", "windows_949": "cp949",
    "shift_jis": "cp932", "x_sjis": "cp932", "windows_31j": "cp932", "x_euc_jp": "euc_jp",
    "gb2312": "gb18030", "gbk": "gb18030", "x_gbk": "gb18030",
    "iso_8859_1": "cp1252", "latin1": "cp1252", "us_ascii": "cp1252", "ascii": "cp1252",
}  # fmt: skip
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]")
# A text holds hardly any of these; a program or a picture does.
_MAX_CONTROL_SHARE = 0.02
# A page with a few bytes of another encoding, from a paste, is still of its own.
_MAX_BROKEN_SHARE = 0.1
# What is guessed from; more says no more, and takes seconds for megabytes.
_GUESSED_BYTES = 100_000


def decoded(data: bytes, declared: str | None = None) -> str:
    r"""Return the bytes as text with `\n` for line ends. Raises UnreadablePage.

    Tried in turn: a byte order mark, UTF-8, UTF-16 without its mark, what the page itself declares, and what its bytes
    look like (as EUC-KR).
    """
    text = _decoded(data, declared)
    controls = len(_CONTROLS.findall(text))
    if controls > max(8, len(text) * _MAX_CONTROL_SHARE):
        raise UnreadablePage("It is not text: it has too many control characters.")
    return _CONTROLS.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, declared: str | None) -> str:
    marked = [name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)]
    named = _meant(declared) if declared else None
    escaped = "iso2022_jp" if b"\x1b$B" in data else None
    for name in (*marked[:1], _wide(data), escaped, "utf-8", named):
        if name and (text := _exactly(data, name)) is not None:
            return text
    for name in (*marked[:1], named, "utf-8"):
        if name and (text := _nearly(data, name)) is not None:
            return text
    for name, is_likely in _LIKELY:
        text = _exactly(data, name)
        if text is not None and is_likely(text):
            return text
    best = charset_normalizer.from_bytes(data[:_GUESSED_BYTES]).best()
    if best is None:
        raise UnreadablePage("Its encoding is not known. Save it as UTF-8.")
    return data.decode(best.encoding, "replace")


def _meant(declared: str) -> str | None:
    name = re.sub(r"[-_. ]+", "_", declared.strip().lower())
    try:
        return codecs.lookup(_MEANT.get(name, name)).name
    except (LookupError, ValueError):
        return None


def _exactly(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _nearly(data: bytes, name: str) -> str | None:
    """Return the text if few of its characters beyond ASCII are broken."""
    try:
        text = data.decode(name, "replace")
    except LookupError:
        return None
    others = len(text) - len(text.encode("ascii", "ignore"))
    return text if text.count("\ufffd") <= others * _MAX_BROKEN_SHARE else None


def _wide(data: bytes) -> str | None:
    """Return the kind of UTF-16 that this is without saying so: every other byte of its ASCII letters is zero."""
    head = data[:4096]
    if b"\0" not in head or len(data) % 2:
        return None
    first, second = head[0::2].count(0), head[1::2].count(0)
    fewer, more = sorted((first, second))
    if fewer or more < len(head) // 50:
        return None
    return "utf-16-be" if first else "utf-16-le"


# The Hangul of EUC-KR, which hardly any Korean text leaves; CP949's other syllables are what Japanese bytes look like.
_HANGUL = frozenset(
    bytes((first, second)).decode("euc_kr")
    for first in range(0xB0, 0xC9)
    for second in range(0xA1, 0xFF)
)


def _looks_korean(text: str) -> bool:
    letters = [char for char in text if ord(char) > 127]
    return bool(letters) and sum(char in _HANGUL for char in letters) > len(letters) * 0.8


def _looks_japanese(text: str) -> bool:
    letters = [char for char in text if ord(char) > 127]
    kana = sum("ぁ" <= char <= "ヿ" for char in letters)
    return bool(letters) and kana > len(letters) * 0.25


_WESTERN = frozenset(
    "àâäåãáæçéèêëíìîïñóòôöõøœúùûüýÿßÀÂÄÅÃÁÆÇÉÈÊËÍÎÏÑÓÔÖÕØŒÚÙÛÜ«»’‘“”„–—…•°©®§€£¿¡·\xa0"
)


def _looks_western(text: str) -> bool:
    letters = [char for char in text if ord(char) > 127]
    return (
        len(letters) < len(text) * 0.35
        and sum(map(_WESTERN.__contains__, letters)) >= len(letters) * 0.95
    )


# The Korean encodings first: short Korean texts are easily taken for Chinese ones.
_LIKELY: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("cp949", _looks_korean),
    ("cp932", _looks_japanese),
    ("euc_jp", _looks_japanese),
    ("cp1252", _looks_western),
)
