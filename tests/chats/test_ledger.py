"""The ledger of the model's use: each call is entered once, whatever becomes of answer, user and process."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from django.db.models.functions import Now

from mundap.accounts.models import ApiToken, User
from mundap.accounts.tokens import make_token
from mundap.chats import leases, turns, usage
from mundap.chats.models import Completion, ModelUsage, MonthSpending, Reservation, Turn
from mundap.chats.personal_data import account_json, delete_account
from mundap.chats.runner import Runner
from mundap.chats.turns import Ask
from mundap.chats.usage import Payer
from mundap.config.threads import in_database_thread
from mundap.library import summaries
from mundap.library.models import Collection, Summary
from mundap.llm.metering import Call, count_tokens
from tests.chats.conftest import ANSWER, QUESTION, script
from tests.chats.server import Api, wait_for
from tests.scripted_model import ScriptedModel


def chunk(choice: dict[str, Any], more: str = "") -> str:
    """A chunk of a stream, as an endpoint of another kind sends it."""
    body = f'"choices":[{json.dumps(choice)}]'
    return f"data: {{{body}{more and ','}{more}}}\n\n"


@pytest.fixture(autouse=True)
def _prices(settings) -> None:
    settings.MODEL_PRICES = {"scripted": (Decimal(10), Decimal(20))}


def entered(**where: Any) -> dict[str, ModelUsage]:
    return {each.purpose: each for each in ModelUsage.objects.filter(**where)}


def spent() -> Decimal:
    return sum(MonthSpending.objects.values_list("cost", flat=True), Decimal(0))


def begun_by(user: User, shelf: Collection) -> turns.Begun:
    """A turn whose process does nothing more."""
    return turns.begin(user, Ask(QUESTION, "key", collection=shelf), runner="dead", has_room=True)


def test_every_call_of_a_turn(alice_api: Api, users: dict[str, User], model: ScriptedModel) -> None:
    script(model, ANSWER)
    assert alice_api.ask(QUESTION).status_code == 200
    wait_for(lambda: len(model.requests) == 3 and "title" in entered())
    rows = entered(user=users["alice"], token=ApiToken.objects.get(), model="scripted")
    tokens = {name: (row.calls, row.input_tokens, row.output_tokens) for name, row in rows.items()}
    words = len(ANSWER.split())
    assert tokens == {"queries": (1, 10, 3), "answer": (1, 10, words), "title": (1, 10, 4)}
    assert rows["answer"].questions == 1
    assert rows["answer"].cost == Decimal(10 * 10 + words * 20) / 1_000_000
    assert not any(row.estimated_calls for row in rows.values())
    assert spent() == sum(row.cost for row in rows.values())
    assert not Reservation.objects.exists()
    script(model, ANSWER)
    alice_api.ask(QUESTION)
    assert entered()["answer"].calls == 2


def test_a_completion_is_entered_as_one(
    alice_api: Api, users: dict[str, User], model: ScriptedModel
) -> None:
    script(model, ANSWER)
    body = {"model": "shelf", "messages": [{"role": "user", "content": QUESTION}]}
    assert alice_api.http.post(f"{alice_api.url}/v1/chat/completions", json=body).status_code == 200
    rows = entered(user=users["alice"])
    assert set(rows) == {"queries", "completion"}
    assert (rows["completion"].questions, rows["completion"].calls) == (1, 1)
    assert not Reservation.objects.exists()


ZEROS = '"usage":{"prompt_tokens":0,"completion_tokens":0}'
NO_NUMBERS = '"usage":{"prompt_tokens":null}'


@pytest.mark.parametrize("usage_said", ["", ZEROS, NO_NUMBERS])
def test_what_an_endpoint_does_not_count_is_estimated(
    alice_api: Api, settings, model: ScriptedModel, usage_said: str
) -> None:
    settings.QUERY_VARIANTS = False
    model.say(ANSWER, then_raw=chunk({"finish_reason": "stop"}, usage_said))
    model.say("A title")
    assert alice_api.ask(QUESTION).status_code == 200
    row = entered()["answer"]
    assert (row.calls, row.estimated_calls) == (1, 1)
    assert row.output_tokens == -(-len(ANSWER.encode()) // 3)
    sent = model.requests[0]["messages"]
    assert row.input_tokens == sum(count_tokens(each["content"]) for each in sent)


def test_an_endpoint_that_counts_as_it_goes_is_believed_once(
    alice_api: Api, settings, model: ScriptedModel
) -> None:
    """Its last count holds; what it wrote and thought after that is estimated."""
    settings.QUERY_VARIANTS = False
    counted = '"usage":{"prompt_tokens":%d,"completion_tokens":%d}'
    ends = [
        chunk({"delta": {"content": "."}}, counted % (40, 9)),
        chunk({"delta": {"content": " "}, "finish_reason": "stop"}, counted % (40, 11)),
        chunk({"delta": {"reasoning_content": "hm" * 30}}),
    ]
    model.say(ANSWER, then_raw="".join(ends[:2]))
    model.say("A title")
    assert alice_api.ask(QUESTION).status_code == 200
    row = entered()["answer"]
    assert (row.input_tokens, row.output_tokens, row.estimated_calls) == (40, 11, 0)
    model.reset()
    model.say(ANSWER, then_raw="".join(ends))
    alice_api.ask(QUESTION)
    row = entered()["answer"]
    assert (row.input_tokens, row.output_tokens, row.estimated_calls) == (80, 22 + 20, 1)


def test_a_stopped_answer_costs_what_was_written(
    alice_api: Api, settings, model: ScriptedModel
) -> None:
    settings.QUERY_VARIANTS = False
    model.say(ANSWER, hold_after=3)
    with alice_api.asking(QUESTION) as stream:
        stream.text_until("Redis")
        alice_api.post(f"turns/{Turn.objects.get().pk}/stop/")
    row = entered()["answer"]
    assert (row.estimated_calls, row.output_tokens) == (1, -(-len("Use the Redis") // 3))
    assert not Reservation.objects.exists()
    model.release()


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_refused_call_costs_nothing(
    alice_api: Api, settings, model: ScriptedModel, status: int
) -> None:
    settings.QUERY_VARIANTS = False
    model.fail(status)
    settings.QUESTIONS_PER_DAY = 1
    body = {"model": "shelf", "messages": [{"role": "user", "content": QUESTION}]}
    assert alice_api.ask(QUESTION).status_code >= 500  # and the question may be asked again
    failed = alice_api.http.post(f"{alice_api.url}/v1/chat/completions", json=body)
    assert failed.status_code >= 500
    assert {(row.questions, row.calls) for row in entered().values()} == {(0, 0)}
    assert (spent(), Reservation.objects.count()) == (0, 0)


def test_going_on_with_an_answer_in_vain_is_no_question(
    alice_api: Api, settings, model: ScriptedModel
) -> None:
    settings.QUERY_VARIANTS = False
    model.say(ANSWER, cut_after=4)
    begun = alice_api.ask(QUESTION).json()
    assert begun["message"]["text"]
    model.fail(500)
    assert alice_api.post(f"messages/{begun['message']['id']}/continue/").status_code == 502
    assert entered()["answer"].questions == 1


@pytest.mark.parametrize(
    ("held", "is_answered"), [("the answer", False), ("the title", True)], ids=str
)
async def test_a_server_that_stops_enters_what_it_asked(
    users: dict[str, User],
    shelf: Collection,
    settings,
    model: ScriptedModel,
    monkeypatch,
    held: str,
    is_answered: bool,
) -> None:
    settings.QUERY_VARIANTS = False
    monkeypatch.setattr("mundap.chats.runner.CLOSE_SECONDS", 0.2)
    if is_answered:
        model.say(ANSWER)
    model.say(held, hold_after=0)
    runner = Runner()
    await runner.start(users["alice"], Ask(QUESTION, "key", collection=shelf))
    asked = 1 + is_answered
    await asyncio.to_thread(wait_for, lambda: len(model.requests) == asked)
    await runner.close(grace_seconds=0)
    rows = await in_database_thread(entered)
    # An answer without a word is none; what was sent for it was sent.
    assert rows["answer"].questions == is_answered
    assert sum(row.calls for row in rows.values()) == asked
    assert rows["title" if is_answered else "answer"].estimated_calls == 1
    model.release()


def test_what_a_dead_process_used_is_estimated_once(
    shelf: Collection, users: dict[str, User], model: ScriptedModel
) -> None:
    begun = begun_by(users["alice"], shelf)
    reserved = Reservation.objects.get()
    usage.settle_dead()
    assert Reservation.objects.exists()  # it runs, as far as anybody knows
    Turn.objects.update(lease_until=Now() - timedelta(minutes=1))
    leases.interrupt(begun.turn, streamed="Use the Redis backend")
    Turn.objects.update(finished_at=Now() - timedelta(minutes=1))
    with ThreadPoolExecutor(4) as threads:  # the reapers of four processes
        for done in [threads.submit(_reap) for _ in range(4)]:
            done.result()
    row = entered()["answer"]
    assert (row.calls, row.estimated_calls, row.questions) == (1, 1, 1)
    assert row.input_tokens == reserved.input_tokens
    assert row.output_tokens == len("Use the Redis backend") // 3
    assert not Reservation.objects.exists()
    # Should it come back to life after all:
    usage.settle(begun.turn, [Call("answer", "scripted", 999)])
    assert entered()["answer"].input_tokens == reserved.input_tokens


def _reap() -> None:
    try:
        usage.settle_dead()
    finally:
        connections.close_all()


def reserve(user: User, *, purpose: usage.Purpose, use: UUID, seconds: int) -> None:
    with connection.cursor() as cursor:
        usage.begin(
            cursor,
            use,
            Payer(user.pk),
            usage.Most(2400, 1200),
            purpose=purpose,
            is_question=False,
            seconds=seconds,
        )


def test_a_reservation_without_a_turn_ends_by_itself(
    users: dict[str, User], model: ScriptedModel
) -> None:
    reserve(users["alice"], purpose=usage.Purpose.COMPLETION, use=turns.uuid7(), seconds=-1)
    usage.settle_dead()
    row = entered()["completion"]
    assert (row.input_tokens, row.output_tokens, row.questions) == (2400, 1200, 0)


def test_a_summary_that_nobody_makes_any_more_reserves_nothing(
    users: dict[str, User], model: ScriptedModel
) -> None:
    """One of many calls may take hours; who died in it is known by the lease much sooner."""
    held = summaries.claim("content", language="en", lead_hash="", calls=24, user=users["alice"])
    assert held
    reserve(users["alice"], purpose=usage.Purpose.SUMMARY, use=held.maker, seconds=7200)
    usage.settle_dead()
    assert Reservation.objects.exists()  # it is being made
    summaries.add_reply(held, "a part", "Notes.")
    Summary.objects.update(lease_until=Now() - timedelta(seconds=usage.SETTLING_SECONDS))
    usage.settle_dead()
    assert not Reservation.objects.exists()
    # One of the 24 calls was replied to, and three may have been under way.
    row = entered()["summary"]
    assert (row.input_tokens, row.output_tokens) == (400, 200)


def test_what_was_spent_stays_spent_without_its_user(
    shelf: Collection, users: dict[str, User], model: ScriptedModel
) -> None:
    token, _secret = make_token(users["alice"], name="used")
    begun = begun_by(users["alice"], shelf)
    for each in (token.pk, None):
        usage.charge(Payer(users["alice"].pk, each), [Call("title", "scripted", 500)])
    assert [row["input_tokens"] for row in account_json(users["alice"])["usage"]].count(500) == 2
    delete_account(users["alice"])
    usage.settle(begun.turn, [Call("answer", "scripted", 2000)])
    usage.charge(Payer(users["alice"].pk, token.pk), [Call("title", "scripted", 1000)])
    assert set(ModelUsage.objects.values_list("user", "token")) == {(None, None)}
    assert spent() == Decimal(4000 * 10) / 1_000_000
    assert not Reservation.objects.exists()


def test_many_ends_at_once_lose_nothing(users: dict[str, User]) -> None:
    def end(number: int) -> None:
        user = list(users.values())[number % 2]
        try:
            usage.charge(
                Payer(user.pk),
                [Call("answer", "scripted", 100), Call("queries", "scripted", 10)],
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(end, range(64)))
    for user in users.values():
        rows = entered(user=user)
        assert (rows["answer"].calls, rows["answer"].input_tokens) == (32, 3200)
        assert rows["queries"].input_tokens == 320
    assert spent() == Decimal(64 * 110 * 10) / 1_000_000


def test_an_unpriced_model_is_free_and_said_to_be(
    alice_api: Api, settings, model: ScriptedModel
) -> None:
    settings.MODEL_PRICES = {}
    script(model, ANSWER)
    alice_api.ask(QUESTION)
    assert entered()["answer"].input_tokens == 10
    assert spent() == 0
    assert alice_api.get("usage/").json()["has_price"] is False


def test_a_client_that_leaves_leaves_no_reservation(alice_api: Api, model: ScriptedModel) -> None:
    model.say("redis")
    model.say(ANSWER, hold_after=2)
    body = {"model": "shelf", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    url = f"{alice_api.url}/v1/chat/completions"
    with alice_api.http.stream("POST", url, json=body) as response:
        next(response.iter_lines())
    wait_for(lambda: not Completion.objects.exists() and not Reservation.objects.exists())
    assert entered()["completion"].estimated_calls <= 1
    model.release()
