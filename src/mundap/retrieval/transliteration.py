"""How a word sounds, alike for an English word and for the same word written in Hangul.

Half of the technical words of a Korean question are English ones in Hangul (쿼리셋, 시리얼라이저), and no dictionary
and no embedding knows them. The sound is the word's consonants in a few classes, after the rules by which Korean writes
loanwords: l and r are one; b, f, v and p are one; a final ㅅ is a t; an r before a consonant or at the end is silent.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_INITIAL_SOUNDS = dict(zip(_INITIALS, "kkntTrmppss-ssskTph".lower(), strict=True))
# The 27 finals after "none", in Unicode's order: ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ
_FINAL_SOUNDS = [
    "",
    "k",
    "k",
    "k",
    "n",
    "n",
    "n",
    "t",
    "r",
    "k",
    "m",
    "r",
    "r",
    "r",
    "p",
    "r",
    "m",
    "p",
    "p",
    "t",
    "t",
    "n",
]
_FINAL_SOUNDS += ["t", "t", "k", "t", "p", ""]
_VOWELS = [
    "a",
    "e",
    "ya",
    "ye",
    "o",
    "e",
    "yo",
    "e",
    "o",
    "wa",
    "we",
    "we",
    "yo",
    "u",
    "wo",
    "we",
    "wi",
    "yu",
    "",
    "ui",
    "i",
]

_DIGRAPHS = {
    "tch": "s", "sch": "sk", "ch": "s", "sh": "s", "ph": "p", "th": "s", "ck": "k",
    "qu": "k", "gh": "k", "dg": "s", "dj": "s", "wh": "w",
}  # fmt: skip
# English spelling to the classes k t p s m n r h; applied in order, on the lower-case word.
_ENGLISH = [
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"[tsc]ion", "son"),  # action, session
        (r"tch|sch|ch|sh|ph|th|ck|qu|gh|dg|dj|wh", lambda m: _DIGRAPHS[m.group()]),
        (r"c(?=[eiy])", "s"),
        (r"(?<!g)g(?=[eiy])", "s"),
        (r"x", "ks"),
        (r"ng(?![aeiouy])", "n"),
        (r"(?<=[aeiouy])r(?:(?![aeiouy])|e$)", ""),
        (r"^kn|^gn", "n"),
    )
]
_LETTERS = str.maketrans(
    {
        "b": "p",
        "f": "p",
        "v": "p",
        "c": "k",
        "g": "k",
        "q": "k",
        "d": "t",
        "j": "s",
        "z": "s",
        "l": "r",
    }
)
_MIN_CONSONANTS = 2


def sound_of_english(word: str) -> str:
    """Return the consonant classes of an English word in lower case, or "" when they are too few to go by."""
    return _consonants(_spelt_as_heard(word))


def sound_of_hangul(word: str) -> str:
    """Return the consonant classes of a Hangul word, or "" when they are too few to go by."""
    return _consonants(_romanised(word))


def likeness(hangul: str, english: str) -> float:
    """Return 0 to 1: how alike the two words sound, vowels included."""
    return SequenceMatcher(
        None, _romanised(hangul), _spelt_as_heard(english), autojunk=False
    ).ratio()


def _consonants(heard: str) -> str:
    classes = re.sub(r"[^kstpmnrh]", "", re.sub(r"([kstpmnrh])\1+", r"\1", heard))
    return classes if len(classes) >= _MIN_CONSONANTS else ""


def _romanised(word: str) -> str:
    heard = []
    for syllable in word:
        number = ord(syllable) - 0xAC00
        if not 0 <= number < 11172:
            continue
        initial = _INITIAL_SOUNDS[_INITIALS[number // 588]]
        heard += [initial.replace("-", ""), _VOWELS[number % 588 // 28], _FINAL_SOUNDS[number % 28]]
    return "".join(heard)


def _spelt_as_heard(word: str) -> str:
    for pattern, sound in _ENGLISH:
        word = pattern.sub(sound, word)
    return word.translate(_LETTERS)
