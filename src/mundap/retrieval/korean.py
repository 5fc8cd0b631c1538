"""Korean words without their particles and endings, by rules.

A full morphological analyser knows more and costs 516 MB and three seconds of start-up (measured); these rules need a
list. They may cut too little or too much; the same rules run on documents and questions, so that both are cut alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


def _words(text: str) -> list[str]:
    """Return the words, longest first: of several endings that fit, the longest is the right one."""
    return sorted(text.split(), key=len, reverse=True)


# Particles follow nouns; the endings turn a noun into a verb (하다, 되다) or a statement (이다).
_PARTICLES = _words(
    "은 는 이 가 을 를 의 에 에서 에게 에게서 한테 께 께서 으로 로 으로서 로서 으로써 로써 으로는 "
    "로는 으로도 로도 으로만 와 과 랑 이랑 하고 도 만 까지 부터 마다 조차 밖에 보다 처럼 같이 "
    "대로 만큼 들 들이 들을 들은 들의 들도 들에 에는 에도 에만 에서는 에서도 에서만 이나 나 "
    "이라도 라도 이란 란 이라는 라는 이라고 라고 인데 인데요 인가요 인지 이면 면 이고 이며 "
    "이죠 죠 이에요 예요 입니다 입니까 요 이요 까지는 까지만 부터는 만의 만을 만이 "
)
_VERB_ENDINGS = _words(
    "하다 하는 하고 하면 하려면 하려고 하게 하기 하지 하는데 하는지 하나요 하고싶어요 합니다 "
    "합니까 해 해요 해서 해야 해도 해줘 했는데 했더니 했어요 했습니다 했을 할 할까요 할때 한 한다 "
    "한다음 함 되다 되는 되고 되면 되게 되기 되지 되나요 되는데 되는지 됩니다 되어 돼 돼요 돼서 "
    "됐는데 됐어요 됐습니다 될 된 된다 시키다 시키는 시키고 시키려면 시킬 시킨 시켜 시키기 "
)
# Words that ask, point or link: they name no subject.
STOP_WORDS = frozenset(
    _words(
        "어떻게 어떤 어느 어디 어디서 어디에 무엇 무슨 뭐 뭘 왜 언제 누구 누가 얼마 얼마나 그 그것 "
        "그게 그걸 그런 그럼 그러면 그리고 그런데 그래서 그때 이것 이게 이걸 이런 이렇게 저 저는 제 "
        "제가 나 나는 내 내가 우리 것 건 게 걸 거 수 때 줄 점 중 등 더 또 좀 잘 안 못 다 꼭 바로 가장 "
        "제일 너무 아주 매우 정말 같은 다른 같이 모두 각각 다시 먼저 나중 지금 계속 하다 한다 하는 "
        "하면 하려면 하고 해 해야 하나 하나요 할 할까요 했는데 합니다 되다 되는 되나요 돼요 됩니다 "
        "있다 있는 있나요 있어요 있을 있습니다 없다 없는 없이 없어요 없습니다 싶다 싶어요 싶습니다 "
        "싶은데 주세요 알려 알려주세요 알고 말고 아니라 아닌 대해 대한 위해 통해 따라 방법 차이 경우 "
        "정도 부분 관련 가능 사용 필요 "
    )
)
_NOT_TELLING = STOP_WORDS.union(_PARTICLES, _VERB_ENDINGS)
_MIN_STEM = 2  # syllables; a shorter rest says too little to be right
_HANGUL = re.compile(r"[\uac00-\ud7a3]+")


def stem_of(word: str) -> str:
    """Return the word without its verb ending and particles, at least two syllables of it where there are two."""
    for endings in (_VERB_ENDINGS, _PARTICLES):
        for ending in endings:
            if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM:
                word = word[: -len(ending)]
                break
    return word


def bigrams_of(word: str) -> Iterator[str]:
    """Yield each two neighbouring characters, or the word itself when it is shorter."""
    if len(word) < 2:
        yield word
    for start in range(len(word) - 1):
        yield word[start : start + 2]


def words_of(text: str) -> list[str]:
    """Return the Korean words that may name a subject, as they are written, each once and in order."""
    words = dict.fromkeys(_HANGUL.findall(text))
    return [word for word in words if is_telling(word)]


def is_hangul(text: str) -> bool:
    """Return whether the text has a Hangul syllable."""
    return bool(_HANGUL.search(text))


def short_words_of(text: str) -> list[str]:
    """Return the words of one syllable that may name a subject (값, 키), which only a dictionary can tell."""
    words = dict.fromkeys(_HANGUL.findall(text))
    return [word for word in words if len(word) < _MIN_STEM and word not in _NOT_TELLING]


def is_telling(word: str) -> bool:
    """Return whether the word says what a question is about, and does not only ask, point, count or link.

    A particle stands alone where it follows a name in Latin script (`datetime을`).
    """
    return len(word) >= _MIN_STEM and not {word, stem_of(word)} & _NOT_TELLING


def variants_of(word: str) -> list[str]:
    """Return the word and what is left of it under each reading of its end; its meaning must tell which is right."""
    variants = {word: None}
    for endings in (_VERB_ENDINGS, _PARTICLES):
        fitting = (word[: -len(ending)] for ending in endings if word.endswith(ending))
        variants |= {variant: None for variant in fitting if variant}
    return list(variants)
