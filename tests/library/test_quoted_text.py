"""Passages as blocks, with exactly the quoted words marked."""

from __future__ import annotations

import pytest

from mundap.library.quoted_text import find_quote, shown_blocks

TEXT = """## Redis

Set `BACKEND` to the class. Then
set LOCATION.

```python
CACHES = {

    "default": 1,
}
```

- one
- two"""


def quoted(text: str, words: str) -> str:
    blocks = shown_blocks(text, [find_quote(text, words) or (0, 0)])
    return "".join(p.text for block in blocks for p in block.pieces if p.is_quoted)


def test_blocks_are_told_apart() -> None:
    assert [block.kind for block in shown_blocks(TEXT, [])] == [
        "heading", "text", "code", "item", "item",
    ]  # fmt: skip


def test_without_a_quote_nothing_is_marked() -> None:
    assert not any(block.is_quoted for block in shown_blocks(TEXT, []))


def test_exactly_the_quoted_words_are_marked() -> None:
    assert quoted(TEXT, "Then set LOCATION.") == "Then\nset LOCATION."


def test_a_quote_over_code_in_a_sentence() -> None:
    assert quoted(TEXT, "Set `BACKEND` to the class.") == "Set BACKEND to the class."


def test_a_quoted_code_block_is_marked_whole() -> None:
    code = 'CACHES = {\n\n    "default": 1,\n}'
    assert quoted(TEXT, code) == code


def test_a_quote_with_its_fences_marks_the_code() -> None:
    assert quoted(TEXT, '```python\nCACHES = {\n\n    "default": 1,\n}\n```') == (
        'CACHES = {\n\n    "default": 1,\n}\n'
    )


def test_nothing_of_the_text_is_lost() -> None:
    shown = "".join(p.text for block in shown_blocks(TEXT, [(5, 60)]) for p in block.pieces)
    kept = TEXT.replace("## ", "").replace("```python\n", "").replace("```", "").replace("`", "")
    kept = kept.replace("- ", "")
    assert shown.split() == kept.split()


@pytest.mark.parametrize("quote", ["", "…", "not in there"])
def test_a_quote_that_is_not_there(quote: str) -> None:
    assert find_quote(TEXT, quote) is None


def test_an_unclosed_fence_is_code_to_the_end() -> None:
    assert [block.kind for block in shown_blocks("a\n\n```\nb\n\nc", [])] == ["text", "code"]


def test_windows_line_ends_and_blank_text() -> None:
    assert shown_blocks("", []) == []
    assert [block.kind for block in shown_blocks("a\r\n\r\nb", [])] == ["text", "text"]


def test_items_have_their_sign_and_how_deep_they_stand() -> None:
    blocks = shown_blocks("Do this:\n1. first\n   of two lines\n  - in it\n2. second\n\nEnd.")
    shown = [(block.kind, block.sign, block.deep, block.pieces[0].text.strip()) for block in blocks]
    assert shown == [
        ("text", "", 0, "Do this:"),
        ("item", "1.", 0, "first\n   of two lines"),
        ("item", "-", 1, "in it"),
        ("item", "2.", 0, "second"),
        ("text", "", 0, "End."),
    ]


def test_a_table_has_cells() -> None:
    text = "Before\n| Tea | `degrees` |\n| --- | --- |\n| green |  |\n| a \\| b | 80 |\nAfter"
    before, table, after = shown_blocks(text, [find_quote(text, "80") or (0, 0)])
    assert [block.kind for block in (before, table, after)] == ["text", "table", "text"]
    cells = [["".join(p.text for p in cell).strip() for cell in row] for row in table.rows]
    assert cells == [["Tea", "degrees"], ["green", ""], ["a | b", "80"]]
    assert table.has_header
    assert [p.text for p in table.pieces if p.is_quoted] == ["80"]


def test_a_note_begins_with_its_label_and_other_signs_are_left_alone() -> None:
    (block,) = shown_blocks("**Note:** Call `__init__` or __init__ with **kwargs and *args.")
    assert [(piece.text, piece.look) for piece in block.pieces] == [
        ("Note:", "label"),
        (" Call ", ""),
        ("__init__", "code"),
        (" or __init__ with **kwargs and *args.", ""),
    ]
