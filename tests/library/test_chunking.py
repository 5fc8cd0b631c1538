"""Where pages are cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mundap.library.chunking import MAX_CHARACTERS, TARGET_CHARACTERS, cut
from mundap.library.parsing.page import Kind, PageWriter


def sentence(letters: int) -> str:
    return ("word " * (letters // 5)).strip() + "."


def test_paragraphs_are_packed_up_to_the_target():
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    for _ in range(6):
        writer.block(sentence(400))
    drafts = cut(writer.finish())
    assert [len(draft.text) <= TARGET_CHARACTERS + 250 for draft in drafts] == [True, True, True]
    assert all(draft.anchor == "title" for draft in drafts)
    assert [draft.position for draft in drafts] == [0, 1, 2]


def test_sections_are_never_mixed():
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    writer.block("Intro.")
    writer.heading("One", level=2, anchor="one")
    writer.block("First.")
    writer.heading("Two", level=2, anchor="two")
    writer.block("Second.")
    drafts = cut(writer.finish())
    assert [(draft.headings, draft.text) for draft in drafts] == [
        (("Title",), "Intro."),
        (("Title", "One"), "First."),
        (("Title", "Two"), "Second."),
    ]


def test_code_stays_whole_and_with_what_announces_it():
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    writer.block(sentence(900))
    writer.block("For example:")
    code = "```python\n" + "x = 1\n" * 200 + "```"
    writer.block(code, kind=Kind.CODE)
    drafts = cut(writer.finish())
    assert [draft.text for draft in drafts] == [sentence(900), f"For example:\n\n{code}"]


def test_oversized_code_is_cut_at_lines_and_fenced_again():
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    lines = [f"value_{number} = {number}" for number in range(300)]
    writer.block("```python\n" + "\n".join(lines) + "\n```", kind=Kind.CODE)
    page = writer.finish()
    drafts = cut(page)
    assert len(drafts) > 2
    assert all(draft.text.startswith("```python\n") for draft in drafts)
    assert all(draft.text.endswith("\n```") for draft in drafts)
    assert max(len(draft.text) for draft in drafts) <= MAX_CHARACTERS
    kept = [line for draft in drafts for line in draft.text.split("\n")[1:-1] if line]
    assert kept == lines


def test_oversized_tables_repeat_their_header():
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    rows = "\n".join(f"| row {number} | {'x' * 40} |" for number in range(100))
    writer.block(f"| a | b |\n| --- | --- |\n{rows}", kind=Kind.TABLE)
    drafts = cut(writer.finish())
    assert len(drafts) > 2
    assert all(draft.text.startswith("| a | b |\n| --- | --- |\n| row ") for draft in drafts)


def test_a_definition_keeps_its_signature_with_its_text():
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    writer.definition("f()", signatures=["f(x)"], anchor="m.f")
    writer.block(sentence(1500))
    writer.block("More.")
    writer.end_definition()
    writer.block("After it.")
    drafts = cut(writer.finish())
    assert drafts[0].text == f"`f(x)`\n\n{sentence(1500)}"
    assert drafts[0].kind == "definition"
    assert drafts[-1].text == "After it."
    assert drafts[-1].anchor == "title"


def test_a_mere_label_between_definitions_is_no_passage():
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    writer.block("About it.")
    writer.definition("f()", signatures=["f()"], anchor="f")
    writer.block("Does it.")
    writer.end_definition()
    writer.block("**Methods**")
    writer.definition("g()", signatures=["g()"], anchor="g")
    writer.block("Does that.")
    writer.end_definition()
    assert [draft.anchor for draft in cut(writer.finish())] == ["title", "f", "g"]


def test_the_same_text_has_the_same_hash():
    def hashes(text: str) -> list[str]:
        writer = PageWriter()
        writer.heading("T", level=1, anchor="t")
        writer.block(text)
        return [draft.content_hash for draft in cut(writer.finish())]

    assert hashes("Same.") == hashes("Same.")
    assert hashes("Same.") != hashes("Other.")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([Kind.TEXT, Kind.CODE, Kind.LIST, Kind.TABLE, Kind.NOTE]),
            st.text(alphabet="ab \n.|`가", min_size=1, max_size=6000),
        ),
        max_size=8,
    )
)
def test_nothing_is_lost_and_nothing_is_too_long(blocks):
    writer = PageWriter()
    writer.heading("Title", level=1, anchor="title")
    for kind, text in blocks:
        writer.block(text, kind=kind)
    page = writer.finish()
    drafts = cut(page)
    assert all(0 < len(draft.text) <= MAX_CHARACTERS for draft in drafts)
    assert all(before.end <= after.start for before, after in pairwise(drafts))
    covered = "".join(page.text[draft.start : draft.end] for draft in drafts)
    expected = "".join(text for _kind, text in blocks)
    if len(page.sections) == 1 and len(expected.split()) > 3:
        assert sorted(covered.replace("\n", "").replace(" ", "")) == sorted(
            expected.replace("\n", "").replace(" ", "")
        )
