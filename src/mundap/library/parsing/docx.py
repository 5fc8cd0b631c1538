"""DOCX: mammoth turns it into HTML by its styles, and the HTML is read as any other."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import mammoth

from mundap.library.parsing import html
from mundap.library.parsing.page import Page, PageContext, UnreadablePage

VERSION = 1
SUFFIXES = (".docx",)

MAX_MEMBERS = 10_000
# Of the parts with text; pictures are not unpacked. mammoth needs some forty bytes of memory for each.
MAX_TEXT_BYTES = 30_000_000
_TEXT_PARTS = (".xml", ".rels")
_NOT_DOCX = (
    "It is not a DOCX file, or a damaged one. Open it in a word processor and save it again."
)

# Beside mammoth's own: titles, code, quotations, and Hangul's names of the headings.
_STYLES = "\n".join(
    [
        "p[style-name='Title'] => h1:fresh",
        "p[style-name='제목'] => h1:fresh",
        *(f"p[style-name='제목 {level}'] => h{level}:fresh" for level in range(1, 7)),
        *(f"p[style-name='개요 {level}'] => h{level}:fresh" for level in range(1, 7)),
        *(
            f"p[style-name='{name}'] => pre:separator('\\n')"
            for name in (
                "Code", "Source Code", "Code Block", "HTML Preformatted", "Preformatted Text",
                "Macro Text", "macro", "코드",
            )
        ),
        *(
            f"r[style-name='{name}'] => code"
            for name in ("Code", "Source Text", "Verbatim Char", "HTML Code", "Code Char", "Inline Code")
        ),
        "p[style-name='Quote'] => blockquote > p:fresh",
        "p[style-name='Intense Quote'] => blockquote > p:fresh",
        "comment-reference =>",
    ]
)  # fmt: skip


def recognises(data: bytes) -> bool:
    """Return whether this is a DOCX file, whatever its name."""
    return data.startswith(b"PK\x03\x04") and b"word/document.xml" in data


def parse_bytes(data: bytes, context: PageContext) -> Page:
    """Return the document's page. Raises UnreadablePage."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as exc:
        raise UnreadablePage(_NOT_DOCX) from exc
    try:
        result = mammoth.convert_to_html(
            io.BytesIO(data),
            style_map=_STYLES,
            include_embedded_style_map=False,
            convert_image=_no_image,
        )
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, EOFError) as exc:
        raise UnreadablePage(_NOT_DOCX) from exc
    return html.parse(f"<body>{result.value}</body>", context)


def _check(archive: zipfile.ZipFile) -> None:
    """Raise UnreadablePage for what is no document, or would unpack to far too much."""
    members = archive.infolist()
    names = {member.filename for member in members}
    if "word/document.xml" not in names:
        raise UnreadablePage(_NOT_DOCX)
    # zipfile hands out no more than a member says of itself, so the sum is a bound.
    size = sum(each.file_size for each in members if each.filename.endswith(_TEXT_PARTS))
    if len(members) > MAX_MEMBERS or size > MAX_TEXT_BYTES:
        raise UnreadablePage(
            f"Unpacked, its text is larger than {MAX_TEXT_BYTES // 1_000_000} MB. It was not unpacked."
        )
    if any(member.flag_bits & 1 for member in members):
        raise UnreadablePage("The file is encrypted with a password. Save it without one.")
    for member in members:
        if member.filename.endswith(_TEXT_PARTS):
            with archive.open(member) as part:
                # No word processor writes one; bombs are made of it.
                if b"<!DOCTYPE" in part.read(4096):
                    raise UnreadablePage(_NOT_DOCX)


def _no_image(_image: Any) -> list[Any]:
    return []
