"""The forms of Korean verbs and adjectives, by the rules of the school grammar.

A dictionary form ends in 다; before other endings its last syllable changes: 지우다 gives 지우고, 지운, 지워, 지웠다.
The rules also give forms that no word has (both readings of an irregular ending): they stand in no text and do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator

_FIRST = 0xAC00
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
# What a vowel and the 아 or 어 of an ending become together.
_MERGED = {
    "ㅏ": "ㅏ",
    "ㅓ": "ㅓ",
    "ㅗ": "ㅘ",
    "ㅜ": "ㅝ",
    "ㅣ": "ㅕ",
    "ㅐ": "ㅐ",
    "ㅔ": "ㅔ",
    "ㅚ": "ㅙ",
    "ㅕ": "ㅕ",
}
_BRIGHT = "ㅏㅗ"  # after these an ending has 아, after others 어


def forms_of(word: str) -> Iterator[str]:
    """Yield the beginnings that the forms of a word in 다 have: its stem and what the stem becomes before endings."""
    stem = word.removesuffix("다")
    yield stem
    before, last = stem[:-1], stem[-1]
    if last == "하":
        yield from (before + form for form in ("한", "할", "합", "함", "해", "했"))
    elif _final(last) == " ":
        yield from (stem[:-1] + _ending(last, final) for final in "ㄴㄹㅂㅁ")
        for merged in _infinitives(before, last):
            yield merged
            yield merged[:-1] + _ending(merged[-1], "ㅆ")
    else:
        yield from _after_consonant(before, last)


def _after_consonant(before: str, last: str) -> Iterator[str]:
    """Yield the irregular forms of a stem that ends in a consonant; its regular ones begin with the stem itself."""
    open_ = _ending(last, " ")
    match _final(last):
        case "ㄹ":  # 열다: 여는, 연, 엽니다
            yield from (before + form for form in (open_, _ending(last, "ㄴ"), _ending(last, "ㅂ")))
        case "ㅂ":  # 쉽다: 쉬워, 쉬운
            yield from (
                before + open_ + form for form in ("워", "웠", "와", "왔", "운", "울", "우")
            )
        case "ㅅ":  # 잇다: 이어, 이은
            yield from (
                before + open_ + form for form in ("어", "었", "아", "았", "은", "을", "으")
            )
        case "ㄷ":  # 묻다: 물어
            yield before + _ending(last, "ㄹ")


def _infinitives(before: str, last: str) -> Iterator[str]:
    vowel = _vowel(last)
    if vowel == "ㅡ":  # 쓰다: 써; 모으다: 모아; 고르다: 골라
        joined = "ㅏ" if before and _vowel(before[-1]) in _BRIGHT else "ㅓ"
        yield before + _with_vowel(last, joined)
        if last == "르" and before:
            doubled = before[:-1] + _ending(before[-1], "ㄹ")
            yield doubled + ("라" if joined == "ㅏ" else "러")
    elif vowel in _MERGED:
        yield before + _with_vowel(last, _MERGED[vowel])


def _vowel(syllable: str) -> str:
    return _VOWELS[(ord(syllable) - _FIRST) % 588 // 28]


def _final(syllable: str) -> str:
    return _FINALS[(ord(syllable) - _FIRST) % 28]


def _ending(syllable: str, final: str) -> str:
    """Return the syllable with another final consonant; a blank for none."""
    number = ord(syllable) - _FIRST
    return chr(_FIRST + number - number % 28 + _FINALS.index(final))


def _with_vowel(syllable: str, vowel: str) -> str:
    number = ord(syllable) - _FIRST
    return chr(_FIRST + number // 588 * 588 + _VOWELS.index(vowel) * 28)
