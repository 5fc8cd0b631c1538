"""Subtitles of lectures."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mundap.library.chunking import cut
from mundap.library.parsing import UnreadablePage
from tests.library.parsing.pages import parsed

ROLLING = """WEBVTT - On tea
Kind: captions

STYLE
::cue { color: red }

NOTE written by a program

00:00:00.000 --> 00:00:02.000 align:start position:0%
 
hello<00:00:00.500><c> everyone</c>

00:00:02.000 --> 00:00:02.010
hello everyone
 

00:00:02.010 --> 00:00:05.000
hello everyone
welcome<00:00:03.500><c> to</c><c> tea</c>

00:00:05.000 --> 00:00:05.010
welcome to tea
 

00:00:05.010 --> 00:00:09.000
welcome to tea
&amp; water
"""  # noqa: W293


def clock(seconds: int, mark: str = ",") -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}000"


def srt(*cues: tuple[int, int, str]) -> str:
    return "\n\n".join(
        f"{number}\n{clock(start)} --> {clock(end)}\n{text}"
        for number, (start, end, text) in enumerate(cues, 1)
    )


def test_rolling_captions_are_said_once():
    page = parsed(ROLLING, ".vtt")
    assert page.title == "On tea"
    assert page.text == "hello everyone welcome to tea & water"
    assert [draft.anchor for draft in cut(page)] == ["t=0"]


def test_a_lecture_becomes_paragraphs_with_their_times():
    cues = [(at, at + 5, f"문장 {at} 물을 끓이고 차를 넣습니다.") for at in range(0, 1800, 6)]
    drafts = cut(parsed(srt(*cues), ".srt"))
    times = [int(draft.anchor.removeprefix("t=")) for draft in drafts]
    assert times[0] == 0
    assert all(30 < after - before < 300 for before, after in pairwise(times))
    assert all(f"문장 {at} " in draft.text for at, draft in zip(times, drafts, strict=True))
    assert drafts[-1].headings != drafts[0].headings
    assert sum(draft.text.count("문장") for draft in drafts) == len(cues)


def test_a_long_pause_opens_a_section():
    page = parsed(srt((0, 4, "Before."), (83, 90, "After <i>it</i>.")), ".srt")
    assert [(draft.headings, draft.anchor, draft.text) for draft in cut(page)] == [
        ((), "t=0", "Before."),
        (("1:23",), "t=83", "After it."),
    ]


def test_speakers_are_kept():
    cues = [("<v Alice>", "Tea?"), ("<v Alice>", "Or coffee?"), ("<v.loud Bob>", "Tea!")]
    text = "WEBVTT\n\n" + "\n\n".join(
        f"00:0{number}.000 --> 00:0{number}.900\n{voice}{words}"
        for number, (voice, words) in enumerate(cues)
    )
    assert parsed(text, ".vtt").text == "**Alice:** Tea? Or coffee?\n**Bob:** Tea!"
    assert (
        parsed(srt((0, 2, "ANNA: Tea?"), (2, 4, "BEN: Yes.")), ".srt").text
        == "ANNA: Tea?\nBEN: Yes."
    )


def test_korean_of_old_programs():
    text = srt((0, 2, "안녕"), (2, 4, "물"))
    assert parsed(text.encode("cp949"), ".srt").text == "안녕 물"
    assert parsed(text.encode("utf-16"), ".srt").text == "안녕 물"


@pytest.mark.parametrize(
    "text",
    [
        "00:01,5 --> 00:02,5\nwords",
        "\n\n\n1\n00:00:01.5 --> 00:00:02.5\nwords\n2\n00:00:03.5 --> 00:00:04.5\n",
        "00:00:01,000-->00:00:00,000\r\nwords",
    ],
)
def test_sloppy_files_are_read(text):
    assert "words" in parsed(text, ".srt").text


@pytest.mark.parametrize("text", ["", "WEBVTT\n\n", "only words", "00:00:01,000 --> \n"])
def test_what_has_no_cues_is_refused(text):
    with pytest.raises(UnreadablePage, match="no subtitles"):
        parsed(text, ".srt")
