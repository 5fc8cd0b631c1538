"""A passage falls into code, list items and sentences, each where it stands."""

from __future__ import annotations

from mundap.answers.markup import statements, units

PASSAGE = """Use Redis like this. Dr. No wrote e.g. `a.b` here:

```python
CACHES = {"default": 1}

MORE = 2
```

- first item
  goes on
- second item. Still it.

Last words! And more?"""


def test_units_cover_the_passage_in_order() -> None:
    found = list(units(PASSAGE))
    assert [unit.kind for unit in found if unit.kind != "sentence"] == ["code", "item", "item"]
    assert all(PASSAGE[unit.start :].startswith(unit.text) for unit in found)
    assert found[-1].text == "And more?"
    code = next(unit for unit in found if unit.kind == "code")
    assert code.text.startswith("```python")
    assert code.text.endswith("MORE = 2\n```")


def test_markers_stay_with_the_sentence_before_them() -> None:
    assert list(statements("One thing. [1] Another thing [2]. A third.")) == [
        "One thing. [1]",
        "Another thing [2].",
    ]


def test_korean_sentences_are_told_apart() -> None:
    assert [u.text for u in units("설정을 바꿉니다. 그다음 실행합니다.")] == [
        "설정을 바꿉니다.",
        "그다음 실행합니다.",
    ]
