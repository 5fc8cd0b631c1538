"""Markdown of GitHub, MkDocs and MyST."""

from __future__ import annotations

import pytest

from tests.library.parsing.pages import anchors, parsed
from tests.library.shelf import DATA


def test_blocks_and_anchors():
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
def test_anchors_as_the_publisher_makes_them(style, anchor):
    page = parsed("# Top\n\n## What is new? 가\n\nText.", ".md", anchors=style)
    assert page.sections[-1].anchor == anchor


def test_front_matter_stands_in_for_a_heading():
    assert parsed("---\ntitle: Alone\n---\n\nText.", ".md").title == "Alone"
