"""What a fetched file is: by its bytes first, then by what the server and the address say."""

from __future__ import annotations

import codecs
import re
from email.message import Message
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from mundap.library.parsing import format_of_suffix

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "text/x-rst": ".rst",
    "text/prs.fallenstein.rst": ".rst",
    "text/vtt": ".vtt",
    "application/x-subrip": ".srt",
    "application/x-ipynb+json": ".ipynb",
}
# Says no more than that the server does not know; the address may.
_VAGUE = {"", "text/plain", "application/octet-stream", "binary/octet-stream", "application/json"}
_HTML = re.compile(
    rb"\s*(?:<!--.*?-->\s*|<\?xml[^>]*\?>\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.DOTALL | re.IGNORECASE,
)
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # those of UTF-32 begin alike
_LOOKED_AT_BYTES = 4096


def format_of(content: bytes, content_type: str, url: str) -> str:
    """Return the name of the format to read this by, or nothing where none can.

    A server that sends an error page as PDF has it read as HTML, and a PDF that is called HTML is a PDF.
    """
    suffix = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower()
    found = format_of_suffix(_suffix(content[:_LOOKED_AT_BYTES], _type(content_type), suffix))
    return found.name if found else ""


def _suffix(head: bytes, declared: str, suffix: str) -> str:
    if _HTML.match(head.removeprefix(codecs.BOM_UTF8)):
        return ".html"
    if b"%PDF-" in head[:1024]:
        return ".pdf"
    if head.startswith(b"PK\x03\x04"):
        return ".docx" if declared == _WORD or suffix == ".docx" else ""
    if b"\x00" in head and not head.startswith(_WIDE_MARKS):
        return ""
    if declared in _SUFFIXES:
        return _SUFFIXES[declared]
    if suffix in {".pdf", ".docx"} or (declared not in _VAGUE and not declared.startswith("text/")):
        return ""
    return suffix if format_of_suffix(suffix) else ".txt" if declared == "text/plain" else ""


def as_utf8(content: bytes, content_type: str) -> bytes:
    """Return a text in UTF-8, where the server declares another charset and it is of that one.

    What is UTF-8 already is so whatever the server says.
    """
    message = Message()
    message["content-type"] = content_type
    charset = message.get_content_charset()
    if not charset or charset == "utf-8" or not _type(content_type).startswith("text/"):
        return content
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return content.decode(charset).encode("utf-8")
        except (ValueError, LookupError):
            return content
    return content


def _type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
