"""From a page's bytes to a `Page`: one file a format.

A module of this package that has SUFFIXES and parse() is a format, by its own name; nothing else is to be done for
another one. What is no text has parse_bytes() instead. A format may also have VERSION (part of what a page is known
by, so that a better parser reads all pages again), recognises() for pages with a wrong name, titles() and depends_on()
for links between pages, includes() for files that pages include, and declared_encoding().
"""

from mundap.library.parsing.formats import (
    Format,
    format_named,
    format_of_suffix,
    parse_page,
    read_text,
)
from mundap.library.parsing.links import Link
from mundap.library.parsing.page import Kind, Page, PageContext, UnreadablePage

__all__ = [
    "Format",
    "Kind",
    "Link",
    "Page",
    "PageContext",
    "UnreadablePage",
    "format_named",
    "format_of_suffix",
    "parse_page",
    "read_text",
]
