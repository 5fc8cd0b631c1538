"""What is summarised, outlines without a model, and what a model's summary may hold."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from mundap.answers import sections
from mundap.answers.events import Citation
from mundap.answers.outline import MOST_LINES, outline
from mundap.answers.sections import Content, read_content
from mundap.answers.summarising import count_calls, summarise
from mundap.errors import ModelError, ModelTimeout, NotFound, TooLarge
from mundap.library.models import Collection, Document, Passage
from mundap.library.reading_order import place_of
from mundap.llm import client
from tests.scripted_model import ScriptedModel

CLEANING = ["Kettles", "Cleaning"]
DESCALING = [*CLEANING, "Descaling"]
PAGE = [
    ("text", ["Kettles"], "A kettle boils water for tea. It has a lid."),
    ("text", CLEANING, "Clean a kettle once a month. See the guide to acids [7]."),
    ("code", DESCALING, "Set the minutes:\n\n```python\n    descale(minutes=20)\n```"),
    ("definition", ["Kettles", "boil()"], "`boil(degrees=100)`\n\nHeats the water until it boils."),
]
GUIDE = "https://acids.example.org/guide_(citric)"


@pytest.fixture
def kettles(db: None) -> Collection:
    return shelved("kettles", {"kettles.md": PAGE})


def shelved(slug: str, pages: dict[str, list], *, number: int = 1, **more: object) -> Collection:
    collection = Collection.objects.create(
        slug=slug, title="Tea", title_no=number, category="TEAM", visibility="everyone", **more
    )
    for path, passages in pages.items():
        document = Document.objects.create(collection=collection, path=path, title="Kettles")
        Passage.objects.bulk_create(
            Passage(
                collection=collection,
                document=document,
                position=position,
                kind=kind,
                headings=headings,
                text=text,
                start=0,
                end=len(text),
                content_hash=str(hash(text)),
                links=[[text.index("guide"), text.index("acids") + 5, GUIDE]]
                if "guide" in text
                else [],
            )
            for position, (kind, headings, text) in enumerate(passages)
        )
    return collection


def texts(content: Content) -> list[str]:
    return [entry.text for entry in content.entries]


# --- what is summarised


def test_a_page_is_read_after_those_before_it() -> None:
    paths = ["10.md", "b/index.md", "2.md", "README.md", "b/a.md", "b/2a.md", "b/2/c.md", "1/x.md"]
    assert sorted(paths, key=place_of) == [
        "README.md", "1/x.md", "2.md", "10.md", "b/index.md", "b/2/c.md", "b/2a.md", "b/a.md",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("section", "places"),
    [("", [0, 1, 2, 3]), ("Kettles › Cleaning", [1, 2]), ("Kettles›Cleaning › Descaling", [2])],
)
def test_a_section_has_what_stands_under_it(
    kettles: Collection, section: str, places: list[int]
) -> None:
    content = read_content(kettles, section)
    assert texts(content) == [PAGE[place][2] for place in places]
    assert [entry.number for entry in content.entries] == list(range(1, len(places) + 1))
    if section:
        first = read_content(kettles, str(content.entries[0].parts[0].passage))
        assert (first.headings, first.digest) == (content.headings, content.digest)


@pytest.mark.parametrize("section", ["Kettles › Clean", "Kettle", "›", "x" * 300, str(UUID(int=0))])
def test_a_section_that_is_not_there(kettles: Collection, section: str) -> None:
    with pytest.raises(NotFound):
        read_content(kettles, section)


def test_equal_content_is_the_same_wherever_it_stands(kettles: Collection) -> None:
    other = shelved("other", {"elsewhere.md": PAGE}, number=2)
    assert read_content(other).digest == read_content(kettles).digest
    Passage.objects.filter(collection=other, position=1).update(links=[])
    assert read_content(other).digest != read_content(kettles).digest


# --- without a model


def test_an_outline_names_sections_with_their_leading_sentences(kettles: Collection) -> None:
    content = read_content(kettles)
    text, cited = outline(content)
    assert text.splitlines() == [
        "- **Kettles**: A kettle boils water for tea. [1]",
        "  - **Cleaning**: Clean a kettle once a month. [2]",
        "    - **Descaling** [3]",
        "  - **boil()**: Heats the water until it boils. [4]",
    ]
    assert cited[0].quote == "A kettle boils water for tea."
    assert cited[3].passage == content.entries[3].parts[0].passage
    section, _ = outline(read_content(kettles, "Kettles › Cleaning"))
    assert section.startswith("- **Cleaning**: Clean a kettle")
    assert outline(read_content(shelved("none", {}, number=3))) == ("", ())


def test_an_outline_goes_as_deep_as_one_can_look_over(db: None) -> None:
    sections = [
        (
            "text",
            ["Kettles", f"Part {part}", f"Detail {detail}"],
            f"Detail {detail} says much here.",
        )
        for part in range(20)
        for detail in range(10)
    ]
    text, _ = outline(read_content(shelved("long", {"a.md": sections})))
    assert len(text.splitlines()) == 21
    assert text.endswith("  - **Part 19**: Detail 0 says much here. [20]")
    flat = [("text", ["Kettles", f"Part {part}"], "Something.") for part in range(300)]
    text, _ = outline(read_content(shelved("flat", {"a.md": flat}, number=2), "Kettles"))
    assert len(text.splitlines()) <= MOST_LINES + 1


def test_of_a_collection_that_is_far_too_long_the_pages_are_named(
    kettles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "MOST_NUMBERS", 3)
    content = read_content(kettles)
    assert outline(content)[0] == "- **Kettles**: A kettle boils water for tea. [1]"
    with pytest.raises(TooLarge):
        count_calls(content)


# --- with a model


def summary_of(
    content: Content, *, language: str = "en", known: dict[str, str] | None = None
) -> tuple[str, tuple[Citation, ...], dict[str, str]]:
    kept: dict[str, str] = {}

    async def keep(digest: str, reply: str) -> None:
        kept[digest] = reply

    async def make() -> tuple[str, tuple[Citation, ...]]:
        try:
            return await summarise(content, language=language, known=known or {}, on_reply=keep)
        finally:
            await client.close()

    return (*asyncio.run(make()), kept)


SUMMARY = f"""# Key ideas
- A kettle boils water for tea [1], and it should be cleaned once a month [2].
- Elephants boil it in secret [1].

# Terms
- **boil()**: heats the water [4][9].

# Code
Set the minutes [3]:

```python
descale(minutes=20)
```

```python
explode(now=True)
```

# Links
- [acids]({GUIDE}), [more](https://evil.example.org/?x=1), <https://evil.example.org/> [2]

# Uses
"""


@pytest.mark.django_db(transaction=True)
class TestWithAModel:
    """Summaries by the scripted model."""

    def test_what_it_says_is_cited_and_checked(
        self, kettles: Collection, model: ScriptedModel
    ) -> None:
        model.say(SUMMARY)
        text, cited, _ = summary_of(read_content(kettles))
        assert f"[acids]({GUIDE}), more," in text
        assert "evil" not in text
        assert "```python\ndescale(minutes=20)\n```" in text
        assert "explode" not in text
        assert "heats the water [4].\n" in text
        assert "Uses" not in text
        assert {one.number: one.supported for one in cited} == {1: False, 2: True, 3: True, 4: True}
        asked = model.requests[-1]["messages"][0]["content"]
        assert "[4] Kettles › Kettles › boil()" in asked
        assert f"- [guide to acids]({GUIDE}) [2]" in asked
        # Another collection may have the same content under another title.
        assert "Tea" not in asked

    def test_it_is_asked_for_in_the_readers_language(
        self, kettles: Collection, model: ScriptedModel
    ) -> None:
        model.say("- 주전자는 물을 끓입니다 [1].")
        text, _, _ = summary_of(read_content(kettles), language="ko")
        assert text == "- 주전자는 물을 끓입니다 [1]."
        assert "Korean" in model.requests[-1]["messages"][0]["content"]

    def test_what_is_too_long_is_noted_in_parts_and_joined(
        self, db: None, model: ScriptedModel, settings
    ) -> None:
        settings.CHAT_CONTEXT_TOKENS = 3000  # two notes fit at once
        long = [("text", ["Kettles", f"Part {part}"], "Water boils. " * 150) for part in range(9)]
        content = read_content(shelved("long", {"a.md": long}))
        calls = count_calls(content)
        model.say("- Water boils [1].")
        text, cited, kept = summary_of(content)
        assert (text, len(cited)) == ("- Water boils [1].", 1)
        assert len(model.requests) == calls
        assert calls == 5 + 3 + 2 + 1
        assert all(len(str(request)) < 3000 * 3 for request in model.requests)
        # What an earlier attempt learnt is not asked for again; equal notes have been asked for once each.
        model.requests.clear()
        assert summary_of(content, known=kept)[0] == text
        assert len(model.requests) == 1
        settings.SUMMARY_CALLS = calls - 1
        with pytest.raises(TooLarge, match=f"at most {calls - 1} calls"):
            count_calls(content)

    @pytest.mark.parametrize(
        ("script", "error"),
        [
            (lambda model: model.fail(500), ModelError),
            (lambda model: model.say(""), ModelError),
            (lambda model: model.say("one two three", cut_after=2), ModelError),
            (lambda model: model.say("Nobody knows where this is from."), ModelError),
            (lambda model: model.say("one two", hold_after=0), ModelTimeout),
        ],
        ids=["fails", "empty", "cut off", "uncited", "silent"],
    )
    def test_a_failing_model_is_a_clear_error(
        self, kettles: Collection, model: ScriptedModel, settings, script, error
    ) -> None:
        settings.MODEL_SILENCE_SECONDS = 1
        script(model)
        with pytest.raises(error) as raised:
            summary_of(read_content(kettles))
        assert raised.value.message.endswith((".", "later."))
