"""Fills the database of the environment with a collection of random passages and users; prints tokens and questions.

`python random_shelf.py PASSAGES USERS`, with the settings' variables set. The words follow a natural distribution, so
that search has as much to do as on real text; the seed is fixed.
"""

from __future__ import annotations

import json
import os
import random
import sys

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")
django.setup()

from mundap.accounts.models import User  # noqa: E402
from mundap.accounts.tokens import make_token  # noqa: E402
from mundap.library.models import Collection, Document, Passage  # noqa: E402
from mundap.retrieval.indexing import index_lexical  # noqa: E402
from mundap.retrieval.vectors import embed_missing  # noqa: E402

VOCABULARY = 4_000
WORDS_A_PASSAGE = 120
QUESTIONS = 200
SEED = 20


def fill(passages: int) -> list[str]:
    """Make the collection `bench` with both kinds of vectors; return questions about it."""
    words = [_word() for _ in range(VOCABULARY)]
    weights = [1 / (rank + 10) for rank in range(VOCABULARY)]
    texts = [" ".join(random.choices(words, weights, k=WORDS_A_PASSAGE)) for _ in range(passages)]
    collection = Collection.objects.create(
        slug="bench", title="Bench", title_no=1, visibility="everyone", state="ready"
    )
    document = Document.objects.create(collection=collection, path="bench.txt", title="Bench")
    rows = [
        Passage(
            collection=collection,
            document=document,
            position=position,
            headings=[f"Part {position}"],
            anchor=f"p{position}",
            text=text,
            start=0,
            end=len(text),
            content_hash=f"{position:064}",
        )
        for position, text in enumerate(texts)
    ]
    Passage.objects.bulk_create(rows, batch_size=500)
    index_lexical(collection)
    embed_missing(collection)
    return ["How do I use " + " ".join(text.split()[5:17]) + "?" for text in texts[:QUESTIONS]]


def _word() -> str:
    syllables = random.randint(2, 4)
    return "".join(
        random.choice("bcdfglmnprstv") + random.choice("aeiou") for _ in range(syllables)
    )


def main() -> None:
    passages, users = int(sys.argv[1]), int(sys.argv[2])
    random.seed(SEED)
    call_command("migrate", verbosity=0)
    questions = fill(passages)
    tokens = [
        make_token(User.objects.create_user(f"user{number}@example.org"), name="bench")[1]
        for number in range(users)
    ]
    print(json.dumps([tokens, questions]))


if __name__ == "__main__":
    main()
