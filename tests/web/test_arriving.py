"""Answers as they arrive: the same HTML as when they are stored, and nothing that flickers on the way."""

from __future__ import annotations

import re

import pytest

from mundap.chats.arriving import Arriving
from mundap.chats.rendering import answer_html
from tests.web.test_rendering import citation

ANSWER = """To use **Redis** as the *cache* 🫖, set `CACHES` [1].

## Steps

1. Choose a [backend](https://docs.example.org/topics/cache/) [2].
2. Set its place:

   ```python
   LOCATION = "redis://127.0.0.1"  # 장소
   ```

- one
- two
  - deeper

> Quoted [1], over
> two lines.

| Kind | Place |
|---|---|
| Redis | memory |

```text
the **end** of [1] a block
```

이제 캐시가 켜집니다[2]. 끝."""
PASSAGES = [citation(1, supported=None), citation(2, supported=None)]


class Reader:
    """What a page shows that follows a text."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._arriving = Arriving(lambda cited: f"/passages/{cited['passage']}/")

    def read(self, text: str) -> str:
        for change in self._arriving.changes(text, passages=PASSAGES):
            before = self.blocks[change.index] if change.index < len(self.blocks) else ""
            kept = before.encode("utf-16-le")[: change.at * 2].decode("utf-16-le")
            self.blocks[change.index : change.index + 1] = [kept + change.html]
        return "".join(self.blocks)


def plain(html: str) -> str:
    """Return the HTML without the white space between blocks, and without where markers lead."""
    return re.sub(r"(?<=>)\n+|\n+(?=<)|\?message=[^\"]*", "", html)


@pytest.mark.parametrize("step", [1, 2, 7, 64, 10_000])
def test_in_whatever_pieces_it_arrives_it_is_the_stored_answer(step: int) -> None:
    reader = Reader()
    for end in range(step, len(ANSWER) + step, step):
        shown = reader.read(ANSWER[:end])
    stored = answer_html(ANSWER, citations=PASSAGES, message="m")
    assert plain(shown) == plain(stored)


@pytest.mark.parametrize(
    ("so_far", "shown"),
    [
        ("Set **the back", "<p>Set <strong>the back</strong></p>"),
        ("Set **", "<p>Set</p>"),
        ("Set *it", "<p>Set <em>it</em></p>"),
        ("Options:\n-", "<p>Options:</p>"),
        ("Options:\n==", "<p>Options:</p>"),
        ("Read on\n\n##", "<p>Read on</p>"),
        ("See [the docs](https://docs.exa", "<p>See</p>"),
        ("| Kind | Place |\n|--", ""),
        ("Look:\n\n``", "<p>Look:</p>"),
        ("- one\n- ", "<ul>\n<li>one</li>\n</ul>"),
        ("Then 2 * 3", "<p>Then 2 * 3</p>"),
    ],
)
def test_what_is_not_decided_yet_is_not_shown(so_far: str, shown: str) -> None:
    assert Reader().read(so_far) == shown


def test_code_is_highlighted_before_it_ends() -> None:
    assert '<span class="k">def</span>' in Reader().read("```python\ndef brew():")


def test_markers_lead_to_their_passages_before_the_answer_ends() -> None:
    assert 'class="citation"' in Reader().read("Set `CACHES` [1] and")


def test_only_the_end_of_what_has_changed_is_sent() -> None:
    arriving = Arriving(str)
    arriving.changes("The first words 🫖 of a paragraph", passages=[])
    (change,) = arriving.changes("The first words 🫖 of a paragraph go on", passages=[])
    assert (change.index, change.html) == (0, " go on</p>")
    assert change.at == len("<p>The first words 🫖 of a paragraph") + 1  # in UTF-16 the pot is two


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "```\n</code></pre><script>alert(1)</script>\n```",
        "![x](https://evil.example/track.png)",
    ],
)
def test_attacks_are_inert_at_every_moment(attack: str) -> None:
    reader = Reader()
    for end in range(len(attack) + 1):
        shown = reader.read(attack[:end])
        assert not re.search(r"<(?:script|img|iframe)|href=\"javascript|<\w+[^>]* on\w+=", shown)
