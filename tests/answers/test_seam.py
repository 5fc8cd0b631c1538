"""Where a model goes on with a text: nothing twice, nothing run together, however the reply is cut into pieces."""

from __future__ import annotations

import pytest

from mundap.answers.seam import Seam, last_word

TEXT = "Use the Redis back"


def joined(text: str, *pieces: str) -> str:
    seam = Seam(text)
    return text + "".join(seam.add(piece) for piece in pieces) + seam.end()


@pytest.mark.parametrize(
    ("text", "reply", "whole"),
    [
        # As asked for: from the last word on, which was cut in two or whole.
        (TEXT, "backend [1].", "Use the Redis backend [1]."),
        (TEXT, "back to front.", "Use the Redis back to front."),
        ("Use it [1].", "[1]. Then restart.", "Use it [1]. Then restart."),
        ("Use it [1].", "[1].", "Use it [1]."),
        ("Run `create", "`createcachetable`.", "Run `createcachetable`."),
        ("캐시는 메", "메모리에 있습니다 [1].", "캐시는 메모리에 있습니다 [1]."),
        ("a" * 60, "a" * 40 + "b", "a" * 60 + "b"),
        # More is repeated than was asked for.
        (TEXT, "Redis backend [1].", "Use the Redis backend [1]."),
        (TEXT, "Use the Redis backend [1].", "Use the Redis backend [1]."),
        # Nothing is repeated.
        (TEXT, " then [1].", "Use the Redis back then [1]."),
        ("Use it [1].", "Then restart.", "Use it [1]. Then restart."),
        ("Use it", ", then restart.", "Use it, then restart."),
        ("Use it", "[1].", "Use it [1]."),
        ("Use it:", "```python\nit()\n```", "Use it:\n```python\nit()\n```"),
        ("Use it:", "\n\n- one", "Use it:\n\n- one"),
        ("Use (", "this)", "Use (this)"),
        # The beginning is there already, but is not what the text ends with.
        ("Use the cache. Set", "Use the backend.", "Use the cache. Set Use the backend."),
        ("", "Use it", "Use it"),
    ],
)
def test_a_text_goes_on(text: str, reply: str, whole: str) -> None:
    assert joined(text, reply) == whole
    assert joined(text, *reply) == whole


def test_what_may_be_repetition_is_held_back() -> None:
    seam = Seam(TEXT)
    assert [seam.add("Re"), seam.add("dis ba"), seam.add("ckend"), seam.add(" and")] == [
        "", "", "end", " and",
    ]  # fmt: skip


def test_an_empty_reply_adds_nothing() -> None:
    assert joined(TEXT) == TEXT
    assert joined(TEXT, " ", "\n").strip() == TEXT


def test_the_last_word() -> None:
    assert last_word("Use the Redis back") == "back"
    assert last_word("あ" * 100) == "あ" * 40
    assert last_word("") == ""
