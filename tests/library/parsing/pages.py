"""How the tests of the formats read a page."""

from __future__ import annotations

from pathlib import Path

from mundap.library.parsing import Page, PageContext, format_of_suffix, parse_page


def parsed(content: str | bytes, suffix: str, *, url: str = "", **settings: str) -> Page:
    page_format = format_of_suffix(suffix)
    assert page_format
    data = content.encode() if isinstance(content, str) else content
    return parse_page(
        data, page_format, PageContext("page" + suffix, Path("/nowhere"), settings, url=url)
    )


def anchors(page: Page) -> dict[str, str]:
    return {section.headings[-1]: section.anchor for section in page.sections if section.headings}


def links(page: Page) -> dict[str, str]:
    return {page.text[link.start : link.end]: link.address for link in page.links}
