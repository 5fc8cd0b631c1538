"""HTML as Sphinx, MkDocs and others build it."""

from __future__ import annotations

import pytest

from mundap.library.chunking import cut
from mundap.library.parsing import UnreadablePage
from tests.library.parsing.pages import anchors, parsed
from tests.library.shelf import DATA


def test_sphinx_pages():
    text = (DATA / "built" / "index.html").read_text(encoding="utf-8")
    page = parsed(text, ".html")
    assert page.title == "1. Teapot docs"
    for words in ("Sidebar", "Footer", "script", "¶"):
        assert words not in page.text
    found = anchors(page)
    assert found["The kettle API"] == "api", "a name given by hand is better than id1"
    assert found["teapot.Kettle"] == "teapot.Kettle"
    assert found["Kettle.boil()"] == "teapot.Kettle.boil"
    assert "`Kettle.boil()`" in page.text, "a method is shown with its class"
    assert found["samovar"] == "term-samovar"
    assert "```python\nkettle.boil()\n```" in page.text
    assert "Changed in version 2.1: Faster." in page.text
    assert "**Warning:** It is hot." in page.text
    assert "| small | 1 |\n| small | 2 \\| 3 |" in page.text, "a cell over two rows is in both"


def test_mkdocs_pages():
    drafts = cut(parsed((DATA / "site/guide/index.html").read_text(encoding="utf-8"), ".html"))
    assert [draft.headings for draft in drafts] == [
        ("Guide", "How to order"),
        ("Guide", "Appendix"),
    ]
    assert drafts[0].anchor == "how-to-order"
    assert drafts[0].text == (
        'Say please.\n\n- tea\n\n- milk\n\n  - oat\n\n```python\norder("tea")\n```'
    )


@pytest.mark.parametrize("text", ["", "   ", "<html></html>", "<!-- nothing -->"])
def test_empty_pages_have_no_passages(text):
    try:
        assert cut(parsed(text, ".html")) == []
    except UnreadablePage as refused:
        assert "not HTML" in str(refused)


def test_what_no_database_takes_is_replaced():
    page = parsed("<h1>A</h1><p>x&#0;y &#xD800; z</p>", ".html")
    page.text.encode()
    assert "\0" not in page.text
