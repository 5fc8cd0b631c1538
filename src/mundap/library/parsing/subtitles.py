"""Subtitles of a lecture (SRT, VTT): what is said, in paragraphs that open at their time (`t=83`).

Read by lines, and leniently: what people upload has missing numbers, odd blank lines and cues that overlap.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.page import Page, PageContext, PageWriter, UnreadablePage

VERSION = 1
SUFFIXES = (".srt", ".vtt")

# A paragraph is about a minute of speech: long enough to be found, short enough to open at the place.
PARAGRAPH_CHARACTERS = 700
MIN_PARAGRAPH_CHARACTERS = 200
MAX_PARAGRAPH_CHARACTERS = 1200
PAUSE_SECONDS = 2.5
# A heading stands at the first paragraph after this long, or after a long pause.
BLOCK_SECONDS = 300
LONG_PAUSE_SECONDS = 20

_STAMP = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}")
_VOICE = re.compile(r"<v(?:\.[\w.-]+)?\s+([^>]{1,100})>")
_TAGS = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")
# "ALICE: …" and ">> …" begin what another one says.
_NAME = re.compile(r"(?:>>|[-–]\s)?\s*(?:[A-Z가-힣][\w.'’ -]{0,38}:\s|(?<=>>))")
_SENTENCE_END = (".", "!", "?", "…", "。", "다", "요", '."', '?"')


# Lines that may be shown again: players have two or three on the screen.
_REMEMBERED = 3


@dataclass(slots=True)
class _Cue:
    start: float
    end: float
    text: str
    speaker: str = ""


def parse(source: str, context: PageContext) -> Page:
    """Return what is said. Raises UnreadablePage where there is nothing."""
    cues = list(_without_repeats(_cues(source)))
    if not cues:
        raise UnreadablePage(
            "It has no subtitles: no line with times such as 00:01:02,500 --> 00:01:05,000."
        )
    writer = PageWriter(LinkMarks(context.url))
    title = _title(source)
    opened, ended = float("-inf"), cues[0].start
    for paragraph in _paragraphs(cues):
        start = paragraph[0].start
        is_new = start - opened >= BLOCK_SECONDS or start - ended >= LONG_PAUSE_SECONDS
        if is_new and (start > cues[0].start or cues[-1].end - start > BLOCK_SECONDS):
            writer.heading(_clock(start), level=2, anchor=_anchor(start))
            opened = start
        else:
            writer.place(_anchor(start))
        writer.block(_said(paragraph))
        ended = paragraph[-1].end
    page = writer.finish(title)
    return Page(title, page.text, page.sections)


def _anchor(seconds: float) -> str:
    """Return a media fragment, which players open at (https://www.w3.org/TR/media-frags/)."""
    return f"t={int(seconds)}"


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _title(source: str) -> str:
    """Return what stands behind WEBVTT in the first line."""
    match = re.match(r"\ufeff?WEBVTT[ \t]+(?:-[ \t]*)?(\S[^\n]{0,200})", source)
    return match[1].strip() if match else ""


def _cues(source: str) -> Iterator[_Cue]:
    """Yield the cues in the file's order, without marks of style; a speaker's change begins another one."""
    current: list[str] | None = None
    times = (0.0, 0.0)
    for line in [*source.split("\n"), ""]:
        match = _TIMES.match(line[:100])
        if match or (not line.strip() and current != []):  # a blank first line is a part of the cue
            if current:
                yield from _of_lines(current, times)
            current = [] if match else None
            if match:
                parts = match.groups()
                times = _seconds(*parts[:4]), _seconds(*parts[4:])
        elif current is not None:
            current.append(line)


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")


def _of_lines(lines: list[str], times: tuple[float, float]) -> Iterator[_Cue]:
    for line in lines:
        voice = _VOICE.search(line)
        text = " ".join(html.unescape(_TAGS.sub("", line)).split())
        if text:
            yield _Cue(*times, text, voice[1].strip() if voice else "")


def _without_repeats(cues: Iterator[_Cue]) -> Iterator[_Cue]:
    """Yield each line once: rolling captions show the last line again above the next, or let a line grow."""
    recent: list[_Cue] = []
    for cue in cues:
        last = recent[-1] if recent else None
        if any(each.text == cue.text and cue.start - each.end < PAUSE_SECONDS for each in recent):
            for each in recent:
                if each.text == cue.text:
                    each.end = max(each.end, cue.end)
            continue
        if (
            last
            and cue.text.startswith(last.text)
            and cue.start - last.end < 0.5
            and not cue.speaker
        ):
            last.text, last.end = cue.text, cue.end
            continue
        if len(recent) == _REMEMBERED:
            yield recent.pop(0)
        recent.append(cue)
    yield from recent


def _paragraphs(cues: list[_Cue]) -> Iterator[list[_Cue]]:
    """Yield cues that belong together: by speakers, pauses, ends of sentences and length."""
    current = [cues[0]]
    length = len(cues[0].text)
    for before, cue in pairwise(cues):
        pause = cue.start - before.end
        is_end = before.text.endswith(_SENTENCE_END) or _begins_turn(before, cue)
        is_full = length >= PARAGRAPH_CHARACTERS and (is_end or pause >= PAUSE_SECONDS / 2)
        has_paused = length > MIN_PARAGRAPH_CHARACTERS and is_end and pause >= PAUSE_SECONDS
        if (
            is_full
            or has_paused
            or length >= MAX_PARAGRAPH_CHARACTERS
            or pause >= LONG_PAUSE_SECONDS
        ):
            yield current
            current, length = [], 0
        current.append(cue)
        length += len(cue.text) + 1
    yield current


def _begins_turn(before: _Cue, cue: _Cue) -> bool:
    return cue.speaker != before.speaker or _NAME.match(cue.text) is not None


def _said(paragraph: list[_Cue]) -> str:
    """Return a paragraph's text; each speaker begins a line, after the name."""
    parts: list[str] = []
    for before, cue in pairwise([_Cue(0, 0, ""), *paragraph]):
        if parts:
            parts.append("\n" if _begins_turn(before, cue) else " ")
        is_named = cue.speaker and cue.speaker != before.speaker
        parts.append(f"**{cue.speaker}:** {cue.text}" if is_named else cue.text)
    return "".join(parts)
