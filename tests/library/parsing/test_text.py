"""Plain text, and the encodings of all texts."""

from __future__ import annotations

import pytest

from mundap.library.chunking import cut
from mundap.library.parsing import UnreadablePage, format_named, read_text
from tests.library.parsing.pages import parsed
from tests.library.shelf import DATA


def test_underlined_lines_are_headings():
    drafts = cut(parsed((DATA / "plain.txt").read_text(encoding="utf-8"), ".txt"))
    assert [draft.headings for draft in drafts] == [("Minutes",), ("Minutes", "Decisions")]
    assert drafts[0].text == "We met on Monday.\nIt rained.\n\n- tea\n- milk"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "euc-kr", "cp949"])
def test_korean_in_each_encoding(encoding):
    words = "안녕하세요. 물을 끓입니다.\n"
    text = format_named("text")
    assert text
    assert read_text(words.encode(encoding), text) == words


def test_a_page_says_its_own_encoding():
    html = format_named("html")
    assert html
    data = '<meta charset="shift_jis"><p>日本語</p>'.encode("shift_jis")
    assert "日本語" in read_text(data, html)


def test_what_is_no_text_is_refused():
    text = format_named("text")
    assert text
    with pytest.raises(UnreadablePage, match=r"not text|not known"):
        read_text(bytes(range(256)) * 20, text)


def test_line_ends_are_made_alike():
    text = format_named("text")
    assert text
    assert read_text(b"a\r\nb\rc\0", text) == "a\nb\nc"


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        ("안녕", "cp949"),
        ("제목: 회의록 2024", "cp949"),
        ("물을 끓입니다", "utf-16-le"),
        ("Boil the water.", "utf-16-be"),
        ("これは日本語です。", "shift_jis"),
        ("これは日本語です。", "euc_jp"),
        ("これは日本語です。", "iso2022_jp"),
        ("Grüße aus München", "latin-1"),
    ],
)
def test_short_texts_that_do_not_say_their_encoding(words, encoding):
    text = format_named("text")
    assert text
    assert read_text(words.encode(encoding), text) == words


def test_a_few_broken_bytes_do_not_change_the_encoding():
    text = format_named("text")
    assert text
    data = ("물을 끓입니다. " * 20).encode() + b"\xff" + "끝".encode()
    assert read_text(data, text).endswith("\ufffd끝")
