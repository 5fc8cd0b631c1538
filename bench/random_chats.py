"""Fills the database of the environment with users' chats of random words; prints a token and chat ids of each user.

`python random_chats.py CHATSxMESSAGESxCHARACTERS …`, one user for each, with the settings' variables set. One message
in five is Korean; all are analysed for search. RARE is in one message of each user, COMMON in all that are English,
KOREAN in the others; the seed is fixed.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mundap.config.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402

from mundap.accounts.models import User  # noqa: E402
from mundap.accounts.tokens import make_token  # noqa: E402
from mundap.chats.search_index import index_waiting  # noqa: E402
from mundap.library.models import Collection  # noqa: E402

TEXTS = 2_000
VOCABULARY = 4_000
RARE, COMMON, KOREAN = "zyxomatic 늑대거북", "settings", "캐시"
KOREAN_WORDS = [
    "설정",
    "데이터베이스",
    "모델",
    "쿼리",
    "함수",
    "클래스",
    "파일",
    "경로",
    "서버",
    "요청",
    "객체",
    "필드",
    "값",
]
SEED = 20

_INSERT_CHATS = """
    INSERT INTO chats_chat (id, owner_id, collection_id, title, pinned, next_position, created_at, updated_at)
    SELECT uuidv7(), %(owner)s, %(collection)s, left(t.text, 60), false, %(messages)s, moment, moment
    FROM generate_series(1, %(chats)s) n
    JOIN bench_text t ON t.id = n * 17 %% %(texts)s
    CROSS JOIN LATERAL (SELECT now() - make_interval(mins => n) AS moment) AS at
    ORDER BY n
"""
_INSERT_MESSAGES = """
    INSERT INTO chats_message (id, chat_id, position, version, is_current, role, text, state, citations,
                               rating, comment, created_at)
    SELECT uuidv7(), c.id, p, 1, true, CASE p %% 2 WHEN 0 THEN 'user' ELSE 'assistant' END, t.text, 'complete',
           '[]', '', '', c.updated_at
    FROM (SELECT id, updated_at, row_number() OVER (ORDER BY id) AS n FROM chats_chat WHERE owner_id = %(owner)s) c
    CROSS JOIN generate_series(0, %(messages)s - 1) p
    JOIN bench_text t ON t.id = (c.n * 41 + p * 7) %% %(texts)s
"""


def main() -> None:
    random.seed(SEED)
    call_command("migrate", verbosity=0)
    collection = Collection.objects.create(
        slug="chats", title="Chats", title_no=1, visibility="everyone", state="ready"
    )
    made = []
    for number, size in enumerate(sys.argv[1:]):
        chats, messages, characters = (int(each) for each in size.split("x"))
        user = User.objects.create_user(f"user{number}@example.org")
        with transaction.atomic():
            _store_texts(characters)
            _fill(user, collection, chats=chats, messages=messages)
        _user, token = make_token(user, name="bench")
        made.append({"token": token, "user": user.pk, "chats": _first_chats(user)})
    begun = time.perf_counter()
    segments = index_waiting()
    indexed = {"segments": segments, "seconds": round(time.perf_counter() - begun, 1)}
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # as autovacuum does after so many rows
    print(json.dumps({"users": made, "indexed": indexed}, default=str))


def _store_texts(characters: int) -> None:
    words = [_word() for _ in range(VOCABULARY)]
    weights = [1 / (rank + 10) for rank in range(VOCABULARY)]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE bench_text (id int PRIMARY KEY, text text) ON COMMIT DROP"
        )
        for number in range(TEXTS):
            if number % 5 == 4:
                drawn = [KOREAN, *random.choices(KOREAN_WORDS, k=characters // 3)]
            else:
                drawn = [COMMON, *random.choices(words, weights, k=characters // 5)]
            text = " ".join(drawn).ljust(characters, ".")[:characters]
            cursor.execute("INSERT INTO bench_text VALUES (%s, %s)", [number, text])


def _word() -> str:
    syllables = random.randint(2, 4)
    return "".join(
        random.choice("bcdfglmnprstv") + random.choice("aeiou") for _ in range(syllables)
    )


def _fill(user: User, collection: Collection, *, chats: int, messages: int) -> None:
    values = {
        "owner": user.pk,
        "collection": collection.pk,
        "chats": chats,
        "messages": messages,
        "texts": TEXTS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_CHATS, values)
        cursor.execute(_INSERT_MESSAGES, values)
        # In the chat in the middle of the list, so that it is not found at the first look.
        cursor.execute(
            """
            UPDATE chats_message SET text = %s || ' ' || text WHERE position = 1 AND chat_id = (
                SELECT id FROM chats_chat WHERE owner_id = %s ORDER BY updated_at OFFSET %s LIMIT 1)
            """,
            [RARE, user.pk, chats // 2],
        )


def _first_chats(user: User) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM chats_chat WHERE owner_id = %s ORDER BY updated_at DESC LIMIT 10",
            [user.pk],
        )
        return [str(row[0]) for row in cursor.fetchall()]


if __name__ == "__main__":
    main()
