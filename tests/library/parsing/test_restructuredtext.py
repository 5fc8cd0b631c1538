"""reStructuredText, plain and of Sphinx projects."""

from __future__ import annotations

import pytest

from mundap.library.chunking import PassageDraft
from mundap.library.parsing import UnreadablePage
from mundap.library.reading import read_source
from mundap.library.sources import open_source
from tests.library.parsing.pages import parsed
from tests.library.shelf import DATA


@pytest.fixture(scope="module")
def kettle() -> list[PassageDraft]:
    """The passages of the Sphinx project's page, read as ingestion reads it."""
    with open_source(f"dir:{DATA / 'sphinx'}") as source:
        read = {page.path: page for page in read_source(source)}
    assert not any(page.error for page in read.values())
    return list(read["guide/kettle.txt"].drafts)


def about(drafts: list[PassageDraft], heading: str) -> PassageDraft:
    return next(draft for draft in drafts if draft.headings[-1] == heading)


def test_markup_becomes_readable_text(kettle):
    first = kettle[0]
    assert first.headings == ("How to brew",)
    assert "Use `boil()` and `Kettle`; see #42, How to brew and PEP 8." in first.text
    assert "A link stays as its words." in first.text


def test_escapes_leave_nothing_behind():
    page = parsed("Title of ``A``\\s\n================\n\nMany ``Kettle``\\s, x\\ *y*.\n", ".rst")
    assert page.sections[0].headings == ("Title of As",)
    assert page.text.endswith("Many `Kettle`s, xy.")


def test_includes_stay_within_the_source(kettle):
    text = "\n".join(draft.text for draft in kettle)
    assert "Shared words about water." in text
    assert '`snippet.py`:\n```python\nKETTLE = "copper"\n```' in text
    assert "Words outside" not in text


def test_a_setting_has_the_anchor_of_its_own_type(kettle):
    setting = about(kettle, "KETTLE_SIZE")
    assert setting.anchor == "std-setting-KETTLE_SIZE"
    assert setting.text.startswith("Default: `2`")
    assert "**New in Teapot 2.0:** It was fixed before." in setting.text


def test_definitions_are_passages_of_their_own(kettle):
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


def test_text_beside_a_definition_belongs_to_it(kettle):
    heat = about(kettle, "heat()")
    assert heat.anchor == "teapot.kettle.Kettle.heat"
    assert heat.headings == ("How to brew", "Classes", "heat()"), "the name is not said twice"
    assert "`Kettle.aheat(degrees)`" in heat.text
    assert "This text stands beside the method" in heat.text
    assert "pour" not in heat.text
    assert about(kettle, "pour()").anchor == "teapot.kettle.pour"


def test_repeated_titles_get_the_anchors_that_sphinx_gives(kettle):
    notes = [draft for draft in kettle if draft.headings[-1] == "Notes"]
    assert notes[0].anchor == "notes"
    assert notes[1].anchor == "id2", "id1 is the first title's, whose name its label has taken"


def test_lists_and_tables(kettle):
    text = "\n\n".join(draft.text for draft in kettle if draft.anchor == "id2")
    assert "- one" in text
    assert "- two\n\n  with a second paragraph" in text
    assert "1. first\n2. second" in text
    assert "- term\n  what it means" in text
    assert "| Cup | Size |\n| --- | --- |\n| small | 1 |\n| large | `2` |" in text


def test_what_is_meant_for_other_outputs_is_left_out(kettle):
    text = "\n".join(draft.text for draft in kettle)
    assert "Printed only" not in text
    assert "Seen in a browser." in text


def test_unknown_markup_shows_its_content(kettle):
    text = "\n".join(draft.text for draft in kettle)
    assert "Content of an unknown directive, with an role." in text
    assert "```console\n$ teapot boil\n```" in text


def test_terms_commands_and_options(kettle):
    assert about(kettle, "samovar").anchor == "term-samovar"
    assert about(kettle, "brew").anchor == "django-admin-brew"
    assert about(kettle, "--strong").anchor == "cmdoption-brew-strong"


def test_links_show_titles_of_other_pages():
    with open_source(f"dir:{DATA / 'sphinx'}") as source:
        read = {page.path: page for page in read_source(source)}
    assert (
        "Written by the Teapot team. Start with brewing, then How to brew."
        in read["index.txt"].text
    )


def test_broken_markup_is_read_as_far_as_it_goes():
    page = parsed("Title\n=====\n\n.. note::\n\n*open `and ``wrong\n\n====\nBad\n==\n", ".rst")
    assert page.title == "Title"
    assert "and" in page.text


def test_a_page_that_is_nested_without_end_is_refused():
    deep = "\n".join("  " * level + "- x\n" for level in range(600))
    with pytest.raises(UnreadablePage, match="nested"):
        parsed(deep, ".rst")


def test_passages_are_ranges_of_the_page(kettle):
    with open_source(f"dir:{DATA / 'sphinx'}") as source:
        for page in read_source(source):
            for draft in page.drafts:
                assert page.text[draft.start : draft.end] == draft.text
