"""Each format becomes readable text with headings, blocks and the anchors that are really published."""

from __future__ import annotations

from pathlib import Path

import pytest

from mundap.library.chunking import PassageDraft, cut
from mundap.library.parsing import (
    Page,
    PageContext,
    UnreadablePage,
    format_named,
    format_of_suffix,
    parse_page,
    read_text,
)
from mundap.library.reading import read_source
from mundap.library.sources import open_source
from tests.library.shelf import DATA


def parsed(text: str, suffix: str, **settings: str) -> Page:
    page_format = format_of_suffix(suffix)
    assert page_format
    return parse_page(
        text.encode(), page_format, PageContext("page" + suffix, Path("/nowhere"), settings)
    )


def anchors(page: Page) -> dict[str, str]:
    return {section.headings[-1]: section.anchor for section in page.sections if section.headings}


@pytest.fixture(scope="module")
def kettle() -> list[PassageDraft]:
    """The passages of the Sphinx project's page, read as ingestion reads it."""
    with open_source(f"dir:{DATA / 'sphinx'}") as source:
        read = {page.path: page for page in read_source(source)}
    assert not any(page.error for page in read.values())
    return list(read["guide/kettle.txt"].drafts)


def about(drafts: list[PassageDraft], heading: str) -> PassageDraft:
    return next(draft for draft in drafts if draft.headings[-1] == heading)


class TestReStructuredText:
    def test_markup_becomes_readable_text(self, kettle):
        first = kettle[0]
        assert first.headings == ("How to brew",)
        assert "Use `boil()` and `Kettle`; see #42, How to brew and PEP 8." in first.text
        assert "A link stays as its words." in first.text

    def test_escapes_leave_nothing_behind(self):
        page = parsed(
            "Title of ``A``\\s\n================\n\nMany ``Kettle``\\s, x\\ *y*.\n", ".rst"
        )
        assert page.sections[0].headings == ("Title of As",)
        assert page.text.endswith("Many `Kettle`s, xy.")

    def test_includes_stay_within_the_source(self, kettle):
        text = "\n".join(draft.text for draft in kettle)
        assert "Shared words about water." in text
        assert '`snippet.py`:\n```python\nKETTLE = "copper"\n```' in text
        assert "Words outside" not in text

    def test_a_setting_has_the_anchor_of_its_own_type(self, kettle):
        setting = about(kettle, "KETTLE_SIZE")
        assert setting.anchor == "std-setting-KETTLE_SIZE"
        assert setting.text.startswith("Default: `2`")
        assert "**New in Teapot 2.0:** It was fixed before." in setting.text

    def test_definitions_are_passages_of_their_own(self, kettle):
        whole = about(kettle, "Kettle")
        assert (whole.anchor, whole.kind) == ("teapot.kettle.Kettle", "definition")
        assert whole.text == "`class Kettle(size, *, colour=None)`\n\nHolds water."
        assert about(kettle, "Kettle.size").anchor == "teapot.kettle.Kettle.size"
        boil = about(kettle, "Kettle.boil()")
        assert boil.headings == ("How to brew", "Classes", "Kettle", "Kettle.boil()")
        assert boil.anchor == "teapot.kettle.Kettle.boil"
        assert "`Kettle.boil(seconds=60)`" in boil.text
        assert "```\nKettle(2).boil()\n```" in boil.text
        assert "**Note:** Mind the steam." in boil.text
        assert "**Deprecated since Teapot 2.1:** Use `Kettle.heat()`." in boil.text

    def test_text_beside_a_definition_belongs_to_it(self, kettle):
        heat = about(kettle, "heat()")
        assert heat.anchor == "teapot.kettle.Kettle.heat"
        assert heat.headings == ("How to brew", "Classes", "heat()"), "the name is not said twice"
        assert "`Kettle.aheat(degrees)`" in heat.text
        assert "This text stands beside the method" in heat.text
        assert "pour" not in heat.text
        assert about(kettle, "pour()").anchor == "teapot.kettle.pour"

    def test_repeated_titles_get_the_anchors_that_sphinx_gives(self, kettle):
        notes = [draft for draft in kettle if draft.headings[-1] == "Notes"]
        assert notes[0].anchor == "notes"
        assert notes[1].anchor == "id2", "id1 is the first title's, whose name its label has taken"

    def test_lists_and_tables(self, kettle):
        text = "\n\n".join(draft.text for draft in kettle if draft.anchor == "id2")
        assert "- one" in text
        assert "- two\n\n  with a second paragraph" in text
        assert "1. first\n2. second" in text
        assert "- term\n  what it means" in text
        assert "| Cup | Size |\n| --- | --- |\n| small | 1 |\n| large | `2` |" in text

    def test_what_is_meant_for_other_outputs_is_left_out(self, kettle):
        text = "\n".join(draft.text for draft in kettle)
        assert "Printed only" not in text
        assert "Seen in a browser." in text

    def test_unknown_markup_shows_its_content(self, kettle):
        text = "\n".join(draft.text for draft in kettle)
        assert "Content of an unknown directive, with an role." in text
        assert "```console\n$ teapot boil\n```" in text

    def test_terms_commands_and_options(self, kettle):
        assert about(kettle, "samovar").anchor == "term-samovar"
        assert about(kettle, "brew").anchor == "django-admin-brew"
        assert about(kettle, "--strong").anchor == "cmdoption-brew-strong"

    def test_links_show_titles_of_other_pages(self):
        with open_source(f"dir:{DATA / 'sphinx'}") as source:
            read = {page.path: page for page in read_source(source)}
        assert (
            "Written by the Teapot team. Start with brewing, then How to brew."
            in read["index.txt"].text
        )

    def test_broken_markup_is_read_as_far_as_it_goes(self):
        page = parsed("Title\n=====\n\n.. note::\n\n*open `and ``wrong\n\n====\nBad\n==\n", ".rst")
        assert page.title == "Title"
        assert "and" in page.text

    def test_a_page_that_is_nested_without_end_is_refused(self):
        deep = "\n".join("  " * level + "- x\n" for level in range(600))
        with pytest.raises(UnreadablePage, match="nested"):
            parsed(deep, ".rst")


class TestHtml:
    def test_sphinx_pages(self):
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

    def test_mkdocs_pages(self):
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
    def test_empty_pages_have_no_passages(self, text):
        try:
            assert cut(parsed(text, ".html")) == []
        except UnreadablePage as refused:
            assert "not HTML" in str(refused)

    def test_what_no_database_takes_is_replaced(self):
        page = parsed("<h1>A</h1><p>x&#0;y &#xD800; z</p>", ".html")
        page.text.encode()
        assert "\0" not in page.text


class TestMarkdown:
    def test_blocks_and_anchors(self):
        page = parsed((DATA / "notes.md").read_text(encoding="utf-8"), ".md")
        assert page.title == "Field notes"
        assert anchors(page) == {
            "Field notes": "field-notes",
            "물 끓이기": "boiling",
            "Twice": "twice-1",
        }
        assert "Some `code` and a link." in page.text
        assert "2. Heat it\n\n   ```python\n   boil()\n   ```" in page.text
        assert "**Hot:** Do not touch." in page.text
        assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in page.text
        assert "- Term\n  Its meaning" in page.text
        assert "**Note:** A MyST note." in page.text
        assert "Raw words" in page.text

    @pytest.mark.parametrize(
        ("style", "anchor"),
        [("github", "what-is-new-가"), ("mkdocs", "what-is-new"), ("sphinx", "what-is-new")],
    )
    def test_anchors_as_the_publisher_makes_them(self, style, anchor):
        page = parsed("# Top\n\n## What is new? 가\n\nText.", ".md", anchors=style)
        assert page.sections[-1].anchor == anchor

    def test_front_matter_stands_in_for_a_heading(self):
        assert parsed("---\ntitle: Alone\n---\n\nText.", ".md").title == "Alone"


class TestText:
    def test_underlined_lines_are_headings(self):
        drafts = cut(parsed((DATA / "plain.txt").read_text(encoding="utf-8"), ".txt"))
        assert [draft.headings for draft in drafts] == [("Minutes",), ("Minutes", "Decisions")]
        assert drafts[0].text == "We met on Monday.\nIt rained.\n\n- tea\n- milk"


class TestDecoding:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "euc-kr", "cp949"])
    def test_korean_in_each_encoding(self, encoding):
        words = "안녕하세요. 물을 끓입니다.\n"
        text = format_named("text")
        assert text
        assert read_text(words.encode(encoding), text) == words

    def test_a_page_says_its_own_encoding(self):
        html = format_named("html")
        assert html
        data = '<meta charset="shift_jis"><p>日本語</p>'.encode("shift_jis")
        assert "日本語" in read_text(data, html)

    def test_what_is_no_text_is_refused(self):
        text = format_named("text")
        assert text
        with pytest.raises(UnreadablePage, match=r"not text|not known"):
            read_text(bytes(range(256)) * 20, text)

    def test_line_ends_are_made_alike(self):
        text = format_named("text")
        assert text
        assert read_text(b"a\r\nb\rc\0", text) == "a\nb\nc"


def test_passages_are_ranges_of_the_page(kettle):
    with open_source(f"dir:{DATA / 'sphinx'}") as source:
        for page in read_source(source):
            for draft in page.drafts:
                assert page.text[draft.start : draft.end] == draft.text
