"""What is not what it seems, is endless or broken: read as far as it goes, or refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mundap.library.chunking import cut
from mundap.library.parsing import UnreadablePage
from tests.library.parsing.pages import links, parsed
from tests.library.parsing.test_pdf import lines, made

SUFFIXES = [".html", ".md", ".rst", ".txt", ".ipynb", ".pdf", ".docx", ".srt"]
PDF = made(lambda canvas: lines(canvas, 60, 700, ["Water boils in the kettle."]))
PAGE = "<!DOCTYPE html><html><body><h1 id='a'>Tea</h1><p>Brewed.</p></body></html>"


@pytest.mark.parametrize("suffix", [".pdf", ".txt", ".md", ".docx", ".srt"])
def test_html_by_another_name_is_read_as_html(suffix):
    page = parsed(PAGE, suffix)
    assert (page.title, page.sections[0].anchor) == ("Tea", "a")


@pytest.mark.parametrize("suffix", [".txt", ".html", ".ipynb"])
def test_a_pdf_by_another_name_is_read_as_pdf(suffix):
    assert parsed(PDF, suffix).text == "Water boils in the kettle."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a picture"),
        (b"\x7fELF" + bytes(100), "a program"),
        (b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml", "Excel"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b"{\\rtf1 words}", "Rich Text"),
    ],
)
@pytest.mark.parametrize("suffix", [".md", ".pdf"])
def test_other_files_are_called_what_they_are(data, said, suffix):
    with pytest.raises(UnreadablePage, match=said):
        parsed(data, suffix)


def test_text_by_the_name_of_a_pdf_is_refused():
    with pytest.raises(UnreadablePage, match="damaged or not a PDF"):
        parsed("Only words.", ".pdf")


def test_links_are_web_addresses_or_none():
    page = parsed(
        '<p><a href="/a">one</a> <a href="b.html#c">two</a> <a href="javascript:x()">three</a> '
        '<a href="data:text/html,x">four</a> <a href="mailto:a@b.c">five</a> '
        '<a href="//other.example/x y">six</a> <a href="#d">seven</a> <a href="http://[">eight</a></p>',
        ".html",
        url="https://example.com/docs/page.html",
    )
    assert page.text == "one two three four five six seven eight"
    assert links(page) == {
        "one": "https://example.com/a",
        "two": "https://example.com/docs/b.html#c",
        "six": "https://other.example/x%20y",
        "seven": "https://example.com/docs/page.html#d",
    }


def test_passages_have_the_links_of_their_own_words():
    sections = "".join(
        f"<h2>Part {number}</h2><p>See <a href='https://example.com/{number}'>page {number}</a>.</p>"
        for number in range(3)
    )
    drafts = cut(parsed(f"<h1>All</h1>{sections}", ".html"))
    assert [
        [(draft.text[link.start : link.end], link.address) for link in draft.links]
        for draft in drafts
    ] == [[(f"page {number}", f"https://example.com/{number}")] for number in range(3)]


def test_links_of_markdown_and_restructuredtext():
    markdown = parsed("[a *b*](x.md) and <https://c.example/>", ".md", url="https://e.example/d/")
    assert links(markdown) == {
        "a b": "https://e.example/d/x.md",
        "https://c.example/": "https://c.example/",
    }
    text = "`one <https://a.example>`_, two_, `three`__, :pep:`8`.\n\n.. _two: b\n__ https://c.example\n"
    assert links(parsed(text, ".rst", url="https://e.example/d/")) == {
        "one": "https://a.example",
        "two": "https://e.example/d/b",
        "three": "https://c.example",
        "PEP 8": "https://peps.python.org/pep-0008/",
    }


def test_equal_titles_and_anchors_are_different_places():
    drafts = cut(parsed("<h1>T</h1>" + "<h2 id='a'>Same</h2><p>Words of it.</p>" * 3, ".html"))
    assert [draft.anchor for draft in drafts] == ["a", "a", "a"]
    assert len({(draft.start, draft.end) for draft in drafts}) == 3


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("<div>" * 50_000 + "x", ".html"),
        ("<b>" * 50_000 + "x", ".html"),
        ("<ul><li>" * 50_000 + "x", ".html"),
        (("<table><tr><td rowspan=100>" * 6) + "x" + ("</table>" * 6), ".html"),
        ("<table><tr>" + "<td>a" * 5000 + "</tr>" + "<tr><td>b" * 5000, ".html"),
        (">" * 50_000 + " x", ".md"),
        ("<!-- " * 50_000, ".md"),
        ("- " * 50_000, ".md"),
        ("\n" * 500_000, ".rst"),
        (".. unknown:: `open\n\n   :odd: **x\n\n" * 200, ".rst"),
        ("word " * 200_000, ".txt"),
        ("x" * 1_000_000, ".txt"),
        ("> " * 50_000, ".ipynb"),
    ],
    ids=range(13),
)
def test_endless_markup_ends(text, suffix):
    try:
        drafts = cut(parsed(text, suffix))
    except UnreadablePage as refused:
        assert str(refused)
    else:
        assert all(len(draft.text) <= 2000 for draft in drafts)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300)
    | st.text("<>/ab=\"'&;#*_`[]()!:|.-+\n 가{}\\", max_size=300).map(str.encode),
    st.sampled_from(SUFFIXES),
)
def test_nothing_but_a_refusal_comes_out(data, suffix):
    try:
        page = parsed(data, suffix, url="https://example.com/")
    except UnreadablePage as refused:
        assert str(refused)
    else:
        for draft in cut(page):
            draft.text.encode()
            assert all(0 <= link.start < link.end <= len(draft.text) for link in draft.links)
