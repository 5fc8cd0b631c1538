"""Limits of use: who is refused on which surface, with what; and that many at once do not get past them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx2
import openai
import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, connections, transaction
from django.test import Client

from mundap.accounts.models import Allowance, User
from mundap.accounts.tokens import make_token
from mundap.answers.budget import most_of_answer
from mundap.chats import turns, usage
from mundap.chats.models import Completion, ModelUsage, Reservation, Turn
from mundap.chats.turns import Ask
from mundap.errors import QuotaReached
from mundap.library.models import Collection
from tests.chats.conftest import ANSWER, QUESTION, script
from tests.chats.server import Api
from tests.scripted_model import ScriptedModel

KOREAN = "Redis를 캐시로 쓰려면 어떻게 하나요?"
PRICES = {"scripted": (Decimal(10), Decimal(20))}


@pytest.fixture
def one_a_day(settings) -> None:
    settings.QUESTIONS_PER_DAY = 1


def spend(user: User, *, cost: Decimal = Decimal(0), tokens: int = 0) -> None:
    """Enter that the user has used so much this month."""
    call = usage.Call("answer", "scripted", tokens)
    usage.charge(usage.Payer(user.pk), [call])
    if cost:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE chats_modelusage SET cost = %s", [cost])
            cursor.execute(
                "INSERT INTO chats_monthspending SELECT date_trunc('month', day), 0, %s FROM chats_modelusage",
                [cost],
            )


# --- each surface


def test_questions_a_day(alice_api: Api, bob_api: Api, one_a_day: None) -> None:
    first = alice_api.ask(QUESTION)
    assert first.status_code == 200
    assert first.headers["RateLimit-Policy"] == '"questions_per_day";q=1;w=86400'
    assert first.headers["RateLimit"].startswith('"questions_per_day";r=0;t=')
    refused = alice_api.ask(QUESTION, chat=first.json()["chat"])
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, "quota_reached")
    assert error["quota"] == "questions_per_day"
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert refused.headers["RateLimit"].startswith('"questions_per_day";r=0;t=')
    assert Turn.objects.count() == 1
    assert bob_api.ask(QUESTION).status_code == 200


def test_the_same_question_again_is_no_other(alice_api: Api, one_a_day: None) -> None:
    replies = [alice_api.ask(QUESTION, Idempotency_Key="once") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[0].json()["turn"] == replies[1].json()["turn"]


def test_a_refusal_is_in_the_question_s_language(alice_api: Api, one_a_day: None) -> None:
    alice_api.ask(QUESTION)
    korean = alice_api.ask(KOREAN).json()["error"]["message"]
    english = alice_api.ask(QUESTION, Accept_Language="ko").json()["error"]["message"]
    assert re.search(r"\d+.?(시간|분)", korean)
    assert re.search(r"\d+.(hour|minute)", english)


def test_a_stream_is_refused_before_it_begins(alice_api: Api, one_a_day: None) -> None:
    with alice_api.asking(QUESTION) as stream:
        stream.to_end()
        assert "RateLimit" in stream.response.headers
    with alice_api.asking(QUESTION) as stream:
        assert stream.response.status_code == 429
        assert stream.response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("how", ["edit", "regenerate"])
def test_a_new_version_is_a_question_too(alice_api: Api, one_a_day: None, how: str) -> None:
    answer = alice_api.ask(QUESTION).json()["message"]["id"]
    asked = alice_api.get(f"chats/{Turn.objects.get().chat_id}/").json()["messages"][0]["id"]
    message = asked if how == "edit" else answer
    refused = alice_api.post(f"messages/{message}/{how}/", {"text": QUESTION})
    assert refused.status_code == 429
    assert Turn.objects.count() == 1


def test_the_classic_contract_has_its_own_shape(alice_api: Api, one_a_day: None) -> None:
    body = {"category": "OFFICIAL_DOCS", "title_no": 7, "user_input": QUESTION}
    first = alice_api.post("chatbot/", body)
    assert (first.status_code, "RateLimit" in first.headers) == (200, True)
    refused = alice_api.post(f"chatbot/{first.json()['id']}/", {"user_input": QUESTION})
    assert refused.status_code == 429
    assert isinstance(refused.json()["error"], str)
    assert int(refused.headers["Retry-After"]) > 0


def test_openai_s_client_does_not_try_again(
    alice_api: Api, server: str, settings, model: ScriptedModel
) -> None:
    settings.QUESTIONS_PER_DAY, settings.TOKENS_PER_MONTH = 1, 100_000
    script(model, ANSWER)
    client = openai.OpenAI(base_url=f"{server}/v1", api_key=alice_api.token)
    asked: Any = {"model": "shelf", "messages": [{"role": "user", "content": QUESTION}]}
    with client:
        raw = client.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["x-ratelimit-remaining-requests"] == "0"
        assert raw.headers["x-ratelimit-limit-tokens"] == "100000"
        asked_before = len(model.requests)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**asked, stream=True)
    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert len(model.requests) == asked_before
    assert not Completion.objects.exists()


def test_the_page_keeps_what_was_typed(
    shelf: Collection, users: dict[str, User], server: str, one_a_day: None
) -> None:
    client = Client()
    client.force_login(users["alice"])
    cookies = {name: morsel.value for name, morsel in client.cookies.items()} | {
        "csrftoken": "c" * 32
    }
    headers = {"X-CSRFToken": "c" * 32}
    data = {"text": QUESTION, "collection": "shelf"}
    with httpx2.Client(base_url=server, cookies=cookies, headers=headers, timeout=20) as http:
        assert http.post("/ask/", data=data).status_code == 302
        page = http.post("/ask/", data=data)
        assert page.status_code == 429
        assert QUESTION in page.text
        assert "You can go on in" in page.text
        script_s = http.post("/ask/", data=data, headers={"Accept": "text/event-stream"})
        assert (script_s.status_code, script_s.json()["error"]["code"]) == (429, "quota_reached")


# --- what is limited


def test_tokens_a_month(
    alice_api: Api, users: dict[str, User], settings, model: ScriptedModel
) -> None:
    settings.TOKENS_PER_MONTH = 1000
    spend(users["alice"], tokens=999)
    told = alice_api.get("usage/").json()["tokens_per_month"]
    assert (told["allowed"], told["used"], told["left"]) == (1000, 999, 1)
    spend(users["alice"], tokens=1)
    refused = alice_api.ask(QUESTION)
    assert (refused.status_code, refused.json()["error"]["quota"]) == (429, "tokens_per_month")
    assert int(refused.headers["Retry-After"]) <= 31 * 86_400
    assert not model.requests


def test_without_a_model_only_questions_count(
    alice_api: Api, users: dict[str, User], settings
) -> None:
    settings.TOKENS_PER_MONTH = settings.SPENDING_PER_MONTH = 1
    spend(users["alice"], tokens=5)
    assert alice_api.ask(QUESTION).status_code == 200
    counted = ModelUsage.objects.get(questions=1)
    assert (counted.model, counted.calls, counted.cost) == ("", 0, 0)


def test_spending_of_a_person_and_of_all(
    alice_api: Api, bob_api: Api, users: dict[str, User], settings, model: ScriptedModel
) -> None:
    settings.MODEL_PRICES = PRICES
    settings.SPENDING_PER_MONTH = Decimal(5)
    spend(users["alice"], cost=Decimal(5))
    assert alice_api.ask(QUESTION).json()["error"]["quota"] == "spending_per_month"
    script(model, ANSWER)
    assert bob_api.ask(QUESTION).status_code == 200
    settings.TOTAL_SPENDING_PER_MONTH = Decimal(5)
    refused = bob_api.ask(QUESTION)
    assert refused.json()["error"]["quota"] == "total_spending_per_month"
    assert "RateLimit" not in refused.headers  # how much all spend is nobody's business


def test_a_token_s_own_limit(
    shelf: Collection, users: dict[str, User], server: str, alice_api: Api
) -> None:
    made = alice_api.post("tokens/", {"name": "school", "questions_per_day": 1}).json()
    assert [each["questions_per_day"] for each in alice_api.get("tokens/").json()["results"]] == [
        1,
        None,
    ]
    limited = Api(server, made["token"])
    with limited.http:
        assert [limited.ask(QUESTION).status_code for _ in range(2)] == [200, 429]
        told = limited.get("usage/").json()["token_questions_per_day"]
        assert (told["allowed"], told["used"], told["left"]) == (1, 1, 0)
    assert alice_api.ask(QUESTION).status_code == 200
    assert alice_api.get("usage/").json()["questions_per_day"]["used"] == 2
    assert ModelUsage.objects.filter(token=made["id"]).get().questions == 1
    for wrong in (0, -1, "many", 10**9):
        assert (
            alice_api.post("tokens/", {"name": "x", "questions_per_day": wrong}).status_code == 400
        )


def test_allowances_of_people_and_groups(alice_api: Api, users: dict[str, User], settings) -> None:
    settings.QUESTIONS_PER_DAY, settings.TOKENS_PER_MONTH = 1, 7

    def allowed() -> list[int | None]:
        told = alice_api.get("usage/").json()
        return [told[name]["allowed"] for name in ("questions_per_day", "tokens_per_month")]

    assert allowed() == [1, 7]
    for name, questions in (("class", 3), ("club", 2)):
        group = Group.objects.create(name=name)
        users["alice"].groups.add(group)
        Allowance.objects.create(group=group, questions_per_day=questions)
    assert allowed() == [3, 7]
    Allowance.objects.filter(group__name="club").update(questions_per_day=0)
    assert allowed() == [None, 7]
    Allowance.objects.create(user=users["alice"], questions_per_day=2, tokens_per_month=0)
    assert allowed() == [2, None]


@pytest.mark.django_db
def test_an_allowance_is_somebody_s(alice: User) -> None:
    token, _secret = make_token(alice, name="one")
    for wrong in ({}, {"user": alice, "token": token}, {"token": token, "tokens_per_month": 5}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Allowance.objects.create(**wrong)


# --- what is left


def test_usage_is_one_s_own(alice_api: Api, bob_api: Api, nobody: Api, settings) -> None:
    settings.QUESTIONS_PER_DAY = 5
    assert bob_api.ask(QUESTION).status_code == 200
    document = alice_api.get("usage/").json()
    assert document["questions_per_day"]["used"] == 0
    assert document["tokens_per_month"]["allowed"] is None
    assert document["token_questions_per_day"]["allowed"] is None
    assert bob_api.get("usage/").json()["questions_per_day"]["left"] == 4
    assert nobody.get("usage/").status_code == 401


def test_the_page_shows_what_is_left(alice_client: Client, alice: User, settings) -> None:
    settings.QUESTIONS_PER_DAY, settings.MODEL_PRICES = 5000, PRICES
    settings.CHAT_BASE_URL, settings.CHAT_MODEL = "http://127.0.0.1:1/v1", "unpriced"
    page = alice_client.get("/settings/usage/").text
    assert "0 of 5,000" in page
    assert "The price of unpriced is not known here" in page
    assert Client().get("/settings/usage/").status_code == 302


# --- at once


def at_once(people: list[User], shelf: Collection) -> list[str]:
    """Let each of them ask at the same moment, on a connection each; return who was let in and who was not."""

    def ask(user: User) -> str:
        try:
            turns.begin(
                user, Ask(QUESTION, uuid4().hex, collection=shelf), runner="t", has_room=True
            )
        except QuotaReached as refused:
            return str(refused.extra["quota"])
        finally:
            connections.close_all()
        return "begun"

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(ask, people))


def test_64_posts_of_one_person_are_counted(
    shelf: Collection, users: dict[str, User], settings
) -> None:
    settings.QUESTIONS_PER_DAY, settings.TURNS_PER_USER = 5, 100
    told = at_once([users["alice"]] * 64, shelf)
    assert (told.count("begun"), told.count("questions_per_day")) == (5, 59)
    assert ModelUsage.objects.get().questions == 5


def test_64_people_at_once_pass_the_cap_of_all_by_one_answer_at_most(
    shelf: Collection, settings, model: ScriptedModel
) -> None:
    settings.MODEL_PRICES = PRICES
    most = usage.most_cost(most_of_answer(QUESTION, ()))
    settings.TOTAL_SPENDING_PER_MONTH = most * Decimal("6.5")
    people = User.objects.bulk_create(User(email=f"p{number}@example.org") for number in range(64))
    told = at_once(people, shelf)
    assert told.count("begun") == 7
    reserved = sum(Reservation.objects.values_list("cost", flat=True))
    assert settings.TOTAL_SPENDING_PER_MONTH < reserved <= settings.TOTAL_SPENDING_PER_MONTH + most


def test_what_running_answers_reserve_is_waited_for(
    shelf: Collection, users: dict[str, User], settings, model: ScriptedModel
) -> None:
    settings.TOKENS_PER_MONTH = 10
    ask = Ask(QUESTION, "first", collection=shelf)
    begun = turns.begin(users["alice"], ask, runner="t", has_room=True)
    with pytest.raises(QuotaReached) as refused:
        turns.begin(
            users["alice"], Ask(QUESTION, "more", collection=shelf), runner="t", has_room=True
        )
    assert refused.value.extra["retry_after_seconds"] == 5
    usage.settle(begun.turn, [usage.Call("answer", "scripted", 4)])
    turns.begin(users["alice"], Ask(QUESTION, "more", collection=shelf), runner="t", has_room=True)
