"""Finding chats by words of their titles and messages, before and after the worker has indexed them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from unicodedata import normalize
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mundap.accounts.models import User
from mundap.chats import services, turns
from mundap.chats.chat_list import list_chats
from mundap.chats.chat_search import FEW, STEADY_PLANS
from mundap.chats.models import Chat, Message, SearchSegment, State
from mundap.chats.search_index import BATCH_SEGMENTS, index_waiting
from mundap.chats.search_terms import asked_terms, owner_tag, stored_terms
from mundap.chats.turns import Ask, Ending
from mundap.config.celery import app
from mundap.library.models import Collection
from tests.chats.conftest import make_chat
from tests.chats.server import Api

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(users: dict[str, User]) -> User:
    return users["alice"]


def titles(user: User, query: str) -> list[str]:
    """The titles of the first page, in its order."""
    return [chat["title"] for chat in list_chats(user, query=query).chats]


def make_many(owner: User, count: int, *texts: str) -> None:
    """Chats named by their numbers, the newest first, all with the same messages."""
    chats = Chat.objects.bulk_create(
        Chat(owner=owner, title=str(number), next_position=len(texts)) for number in range(count)
    )
    Message.objects.bulk_create(
        Message(chat=chat, position=position, role="user", text=text)
        for chat in chats
        for position, text in enumerate(texts)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE chats_chat SET updated_at = now() - make_interval(mins => title::int)"
        )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("redis", {"first"}),
        ("REDIS", {"first"}),
        ("red", {"first"}),
        ("backend redis", {"first"}),
        ("which backend first", {"first"}),
        ("redis nowhere", set()),
        ("first", {"first"}),
        ("select_related", {"first"}),
        ("related", {"first"}),
        ("prefetchRelated", {"first"}),
        ("cache", {"first"}),
        ("models.q", {"first"}),
        ("db.models.Q.", {"first"}),
        ("(django.db", {"first"}),
        ("캐시", {"second"}),
        ("캐시를", {"second"}),
        ("시", {"second"}),
        ("데이터베이스", {"second"}),
        ("이터베", {"second"}),
        ("데이터베이스에서", set()),
        ("터이", set()),
        (normalize("NFD", "데이터베이스"), {"second"}),
        ("분해된문장", {"third"}),
        ("Valkey는", {"third"}),
        ("는x", set()),
        ("100%", {"third"}),
        ("%", {"third"}),
        ("10%", set()),
        ("a_b", {"third"}),
        ("axb", set()),
        ("\\", set()),
        ("'", {"third"}),
        ("it's", {"third"}),
        ("😀", {"third"}),
        ("👍🏽", {"third"}),
        ("👍🏿", set()),
        ("日本", {"third"}),
        ("ÉCOLE", {"third"}),
        ("older version", set()),
        (" ", {"first", "second", "third"}),
    ],
)
def test_chats_are_found_by_their_words(
    alice_api: Api, users: dict[str, User], shelf: Collection, query: str, found: set[str]
) -> None:
    make_chat(
        users["alice"],
        shelf,
        "Which? select_related, prefetchRelated or RedisCache?",
        "The Redis backend (django.db.models.Q.AND).",
        title="first",
    )
    make_chat(
        users["alice"], shelf, "캐시를 데이터베이스에 저장할 수 있나요?", "네.", title="second"
    )
    third = make_chat(
        users["alice"],
        shelf,
        "Is a_b 100% right? Valkey는 it's 😀 👍🏽",
        f"Sure, 日本語, l'école, {normalize('NFD', '분해된문장')}.",
        title="third",
    )
    make_chat(users["bob"], shelf, "Redis? 캐시? 100%? a_b?", title="first")
    Message.objects.create(
        chat=third, position=1, version=2, is_current=False, role="assistant", text="older version"
    )
    for state in ("waiting", "indexed"):
        results = alice_api.http.get("chats/", params={"q": query}).json()["results"]
        assert {chat["title"] for chat in results} == found, state
        index_waiting()
    assert not SearchSegment.objects.filter(terms=None).exists()


def test_words_of_alphabets_are_found_by_their_beginnings(alice: User, shelf: Collection) -> None:
    make_chat(alice, shelf, "What is required?")
    index_waiting()
    assert titles(alice, "req") == ["A chat"]
    assert titles(alice, "red") == []


@pytest.mark.parametrize(
    "query",
    ["%00", "a%00b", "%ED%A0%80", "%FF", "%F0%9F%98%80", "%27%3A%2A%20%26", "%5C%5C%27", "%E2%80%8D",
     "x" * 16_000, "%EA%B0%80" * 5_000, "a+" * 8_000, "._-" * 100, "%25_" * 100, "%CC%80", "%C4%B0" * 30],
)  # fmt: skip
def test_any_query_is_answered(alice_api: Api, alice: User, shelf: Collection, query: str) -> None:
    make_chat(alice, shelf, "Redis?", "x" * 20_000, "가나다" * 5_000, title="first")
    for _state in ("waiting", "indexed"):
        assert alice_api.get(f"chats/?q={query}").status_code in (200, 400)
        index_waiting()


def test_no_query_reaches_the_database_as_what_it_cannot_store(alice: User) -> None:
    for query in ("\0", "a\0b", "\ud800"):
        assert list_chats(alice, query=query).chats == []


def test_ten_words_count(alice: User, shelf: Collection) -> None:
    make_chat(alice, shelf, "one two three four five six seven eight nine ten")
    index_waiting()
    assert titles(alice, "ten nine eight seven six five four three two one eleven")
    assert not titles(alice, "ten nine eight seven six five four three two eleven")


def test_what_changes_is_found_anew(alice: User, users: dict[str, User], shelf: Collection) -> None:
    chat = make_chat(alice, shelf, "alpha", "beta", title="gamma")
    index_waiting()

    def seen(user: User, *queries: str) -> list[bool]:
        """Whether each is found, which the worker's coming by does not change."""
        before = [bool(titles(user, query)) for query in queries]
        index_waiting()
        assert [bool(titles(user, query)) for query in queries] == before
        return before

    Message.objects.filter(position=0).update(text="delta")
    assert seen(alice, "alpha", "delta", "beta", "gamma") == [False, True, True, True]
    Message.objects.filter(position=1).update(is_current=False)
    assert seen(alice, "beta", "delta") == [False, True]
    Chat.objects.update(title="epsilon")
    assert seen(alice, "gamma", "epsilon", "delta") == [False, True, True]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chats_message (id, chat_id, position, version, is_current, role, text, state, citations,"
            " rating, comment) SELECT gen_random_uuid(), %s, n, 1, true, 'user', 'zeta' || n, 'complete', '[]', '', ''"
            " FROM generate_series(2, 40) n",
            [chat.pk],
        )
    assert seen(alice, "zeta2", "zeta40 delta", "zeta41") == [True, True, False]
    Message.objects.filter(position=40).delete()
    assert seen(alice, "zeta40", "zeta39") == [False, True]
    Chat.objects.update(owner=users["bob"])
    assert seen(alice, "delta", "zeta39", "epsilon") == [False, False, False]
    assert seen(users["bob"], "delta", "zeta39", "epsilon") == [True, True, True]
    services.delete_chat(users["bob"], chat.pk)
    assert seen(users["bob"], "delta") == [False]
    services.restore_chat(users["bob"], chat.pk)
    assert seen(users["bob"], "delta") == [True]
    chat.delete()
    assert not SearchSegment.objects.exists()


def test_the_worker_is_told_to_index(alice: User, shelf: Collection) -> None:
    make_chat(alice, shelf, "alpha")
    app.loader.import_default_modules()  # as a worker does
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    app.tasks[next(name for name in scheduled if name.endswith("index_messages"))]()
    assert not SearchSegment.objects.filter(terms=None).exists()
    assert titles(alice, "alpha")


def test_a_rating_is_nothing_to_index(alice: User, shelf: Collection) -> None:
    make_chat(alice, shelf, "alpha", "beta")
    assert index_waiting() == 1
    Message.objects.filter(position=1).update(rating="up")
    Chat.objects.update(pinned=True)
    assert index_waiting() == 0


def test_many_chats_are_found_in_pages(alice_api: Api, alice: User) -> None:
    count = FEW + 40
    make_many(alice, count, "Redis 데이터베이스", "only 데이터 터베 베이스 here")
    make_many(alice, 5, "Redis 데이터 이터베 베이스")
    index_waiting()
    for query, expected in (("redis", count + 5), ("redis 데이터베이스", count)):
        found: list[str] = []
        page = alice_api.http.get("chats/", params={"q": query}).json()
        etag = alice_api.http.get("chats/", params={"q": query}).headers["etag"]
        again = alice_api.http.get("chats/", params={"q": query}, headers={"If-None-Match": etag})
        assert again.status_code == 304
        found += [chat["id"] for chat in page["results"]]
        while page["next"]:
            page = alice_api.http.get(page["next"]).json()
            found += [chat["id"] for chat in page["results"]]
        assert len(found) == len(set(found)) == expected
        newest = Chat.objects.filter(pk__in=found).order_by("-updated_at", "-id")
        assert found == [str(chat.pk) for chat in newest]


def test_words_may_be_far_apart(alice: User, shelf: Collection) -> None:
    make_chat(alice, shelf, "alpha", *["-"] * 60, "omega", title="middle")
    make_chat(alice, shelf, "alpha", title="other")
    index_waiting()
    assert titles(alice, "omega middle alpha") == ["middle"]


def test_a_search_goes_by_its_indexes(alice: User, shelf: Collection) -> None:
    make_many(alice, 200, "Redis 데이터베이스", "answer")
    index_waiting()
    make_chat(alice, shelf, "waiting")
    with CaptureQueriesContext(connection) as queries:
        assert len(list_chats(alice, query="redis 데이터베이스").chats) == 30
    statements = [query["sql"] for query in queries if "chats_searchsegment" in query["sql"]]
    assert statements
    for statement in statements:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(STEADY_PLANS)
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
            plan = json.dumps(cursor.fetchone()[0])
        assert '"search_terms"' in plan
        assert '"search_waiting"' in plan
        assert "Seq Scan" not in plan


def test_two_workers_share_nothing_and_lose_nothing(alice: User) -> None:
    count = BATCH_SEGMENTS * 3
    make_many(alice, count, "Redis")

    def work(_number: int) -> int:
        try:
            return index_waiting()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        filled = sum(pool.map(work, range(3)))
    assert filled + index_waiting() == count
    assert len(titles(alice, "redis")) == 30


def test_what_changes_while_it_is_indexed_is_indexed_again(alice: User, shelf: Collection) -> None:
    make_chat(alice, shelf, "version 0")

    def change() -> None:
        try:
            for number in range(1, 60):
                Message.objects.update(text=f"version{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        while not changing.done():
            index_waiting()
        changing.result()
    index_waiting()
    assert titles(alice, "version59")
    assert not titles(alice, "version58")


def test_a_chat_is_indexed_when_its_answer_is_whole(alice: User, shelf: Collection) -> None:
    ask = Ask("alpha", "key", collection=shelf)
    begun = turns.begin(alice, ask, runner="test", has_room=True)
    assert index_waiting() == 0
    assert titles(alice, "alpha")
    turns.finish(begun.turn, Ending(State.COMPLETE, "beta"), runner="test")
    assert titles(alice, "alpha beta")
    assert index_waiting() == 1
    assert titles(alice, "alpha beta")


def test_a_worker_does_not_hold_up_a_post(alice: User, shelf: Collection) -> None:
    """And it does not wait for one: what a post has locked is left for the next time."""
    make_chat(alice, shelf, "alpha")
    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        Message.objects.update(text="beta")

        def work() -> int:
            try:
                return index_waiting()
            finally:
                connection.close()

        assert pool.submit(work).result(timeout=10) == 0
    assert index_waiting() == 1
    assert titles(alice, "beta")


def test_owners_with_the_same_tag_see_only_their_own(shelf: Collection) -> None:
    seen: dict[str, UUID] = {}
    while True:  # about 5,000 tries
        one = uuid4()
        other = seen.setdefault(owner_tag(one), one)
        if other != one:
            break
    first, second = (User.objects.create(pk=pk, email=f"{pk}@example.org") for pk in (one, other))
    make_chat(first, shelf, "Redis", title="first's")
    make_chat(second, shelf, "Redis", title="second's")
    for _state in ("waiting", "indexed"):
        assert titles(first, "redis") == ["first's"]
        assert titles(second, "redis") == ["second's"]
        index_waiting()


TEXT = st.text(
    st.one_of(
        st.sampled_from("aB_.-%'\\ 캐시데이터é日😀1Ǆ"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=60,
)


@given(TEXT)
@example("İstanbul ǅ ß ﬁ")
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_word_of_a_text_finds_it(text: str) -> None:
    owner = uuid4()
    stored = " ".join(stored_terms(owner, [text]))
    assert all(not part.isspace() for part in stored.split(" ")) or not stored
    with connection.cursor() as cursor:
        for word in normalize("NFC", text).split():
            cursor.execute(
                "SELECT array_to_tsvector(string_to_array(%s, ' ')) @@ %s::tsquery",
                [stored, asked_terms(owner, word).tsquery],
            )
            assert cursor.fetchone()[0], word


def test_a_segment_of_nothing_but_different_words_is_stored(alice: User, shelf: Collection) -> None:
    texts = [" ".join(f"{part:02d}x{n:04x}{'y' * 30}" for n in range(2_000)) for part in range(16)]
    make_chat(alice, shelf, *texts)
    assert index_waiting() == 1
    assert any(titles(alice, f"05x{number:04x}") for number in range(0, 2_000, 50))
