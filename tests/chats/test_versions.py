"""New versions of the last exchange: an answer given anew or gone on with, a question put differently."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from django.test import Client

from mundap.accounts.models import User
from mundap.chats import versions
from mundap.chats.models import Chat, Message, Turn, TurnDraft
from mundap.library.models import Collection, Passage
from tests.chats.conftest import ANSWER, QUESTION, make_chat, script
from tests.chats.server import Api, Stream, wait_for
from tests.chats.test_processes import (
    BEGINNING,
    LONG,
    another_process,
    expire_leases,
    held_answer,
    stranded_turn,
)
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
EDITED = "Can the cache live in the database?"
OTHER = "Set CACHES to the Redis backend [1]."
REST = " It keeps the cache in memory on another machine."
WAYS = ("regenerate", "continue", "edit")


@pytest.fixture
def done(alice_api: Api, model: ScriptedModel) -> dict[str, Any]:
    """A chat with a question and its answer, named by the model; nothing is scripted any more."""
    script(model, ANSWER)
    turn: dict[str, Any] = alice_api.ask(QUESTION).json()
    settled(model, "Redis as a cache")
    return turn


@pytest.fixture
def broken(alice_api: Api, model: ScriptedModel) -> dict[str, Any]:
    """A chat whose answer failed in the middle; nothing is scripted any more."""
    model.say("redis cache backend")
    model.say(LONG, cut_after=5)
    turn: dict[str, Any] = alice_api.ask(QUESTION).json()
    assert turn["message"]["text"] == BEGINNING
    model.reset()
    return turn


def settled(model: ScriptedModel, title: str) -> None:
    wait_for(lambda: Chat.objects.filter(title=title).exists())
    model.reset()


def say(model: ScriptedModel, text: str, **how: int) -> None:
    """Write down a turn that is not a chat's first: it writes no title."""
    model.say("redis cache backend")
    model.say(text, **how)


def again(api: Api, way: str, turn: dict[str, Any], **headers: str) -> httpx2.Response:
    """Regenerate or continue the turn's answer, or edit its question."""
    return api.post(path_of(way, turn), {"text": EDITED}, **headers)


def path_of(way: str, turn: dict[str, Any]) -> str:
    return f"messages/{question_of(turn) if way == 'edit' else turn['message']['id']}/{way}/"


def edit(api: Api, question: str, text: Any, **headers: str) -> httpx2.Response:
    return api.post(f"messages/{question}/edit/", {"text": text}, **headers)


def question_of(turn: dict[str, Any]) -> str:
    return str(Turn.objects.get(pk=turn["turn"]).question_id)


def shown(api: Api, turn: dict[str, Any]) -> list[str]:
    """Return the texts of the chat as it is shown, and check that its versions are as they must be."""
    chat = api.get(f"chats/{turn['chat']}/").json()
    for position in range(Chat.objects.get(pk=turn["chat"]).next_position):
        there = Message.objects.filter(chat=turn["chat"], position=position)
        assert [each.version for each in there] == list(range(1, len(there) + 1))
        assert [each.is_current for each in there].count(True) == 1
    for answer in Message.objects.filter(chat=turn["chat"], role="assistant", is_current=True):
        assert Turn.objects.get(answer=answer).question.is_current
    return [message["text"] for message in chat["messages"]]


def stream(response: httpx2.Response) -> Stream:
    found = Stream(response)
    found.to_end()
    return found


# --- what they do


def test_an_answer_is_given_anew(
    alice_api: Api, done: dict[str, Any], model: ScriptedModel
) -> None:
    say(model, OTHER)
    reply = again(alice_api, "regenerate", done)
    assert reply.status_code == 200
    turn = reply.json()
    assert set(turn) == {"turn", "chat", "status", "message", "title"}
    assert (turn["chat"], turn["status"], turn["title"]) == (
        done["chat"],
        "complete",
        "Redis as a cache",
    )
    former, message = done["message"]["id"], turn["message"]
    assert (message["text"], message["position"]) == (OTHER, 1)
    assert message["citations"]
    assert message["versions"] == [former, message["id"]]
    assert shown(alice_api, done) == [QUESTION, OTHER]
    kept = alice_api.get(f"messages/{former}/")
    assert kept.status_code == 200
    assert kept.json() == done["message"] | {"versions": message["versions"]}
    asked = [each["content"] for each in model.requests[-1]["messages"]]
    assert asked[1:] == [QUESTION]  # nothing of the former answer


def test_a_question_is_edited(alice_api: Api, done: dict[str, Any], model: ScriptedModel) -> None:
    say(model, "Run createcachetable [1].")
    reply = again(alice_api, "edit", done)
    assert reply.status_code == 200
    turn = reply.json()
    assert turn["message"]["text"] == "Run createcachetable [1]."
    assert turn["message"]["versions"] == [done["message"]["id"], turn["message"]["id"]]
    assert shown(alice_api, done) == [EDITED, "Run createcachetable [1]."]
    first, second = Message.objects.filter(position=0)
    assert (first.text, str(second.pk)) == (QUESTION, question_of(turn))
    assert alice_api.get(f"messages/{first.pk}/").json()["text"] == QUESTION
    asked = [each["content"] for each in model.requests[-1]["messages"]]
    assert asked[1:] == [EDITED]


def test_only_what_was_before_the_question_is_its_history(
    alice_api: Api, done: dict[str, Any], model: ScriptedModel
) -> None:
    say(model, "Second.")
    second = alice_api.ask("And the second?", chat=done["chat"]).json()
    for way, last in (("regenerate", "And the second?"), ("edit", EDITED)):
        model.reset()
        say(model, "Third.")
        assert again(alice_api, way, second).status_code == 200
        asked = [each["content"] for each in model.requests[-1]["messages"]]
        assert asked[1:] == [QUESTION, ANSWER, last]
    assert shown(alice_api, done) == [QUESTION, ANSWER, EDITED, "Third."]


def test_what_was_shown_is_not_written_again(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel
) -> None:
    model.say("[1]." + REST)
    reply = again(alice_api, "continue", broken)
    assert reply.status_code == 200
    message = reply.json()["message"]
    assert (message["text"], message["state"]) == (LONG, "complete")
    assert [each["number"] for each in message["citations"]] == [1]
    assert shown(alice_api, broken) == [QUESTION, LONG]
    assert alice_api.get(f"messages/{broken['message']['id']}/").json()["text"] == BEGINNING
    (request,) = model.requests  # nothing was searched for again
    rules, question, begun, rest = (each["content"] for each in request["messages"])
    assert (question, begun) == (QUESTION, BEGINNING)
    assert "[1]." in rest
    stored = Turn.objects.get(pk=broken["turn"]).retrieval
    for one in stored["passages"]:
        assert Passage.objects.get(pk=one["passage"]).text in rules
        assert f"[{one['number']}] " in rules


@pytest.mark.parametrize("way", WAYS)
def test_each_is_a_stream_too(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel, way: str
) -> None:
    if way == "continue":
        model.say(REST)
    else:
        say(model, LONG)
    reply = again(alice_api, way, broken, Accept="text/event-stream", Idempotency_Key="k")
    assert reply.headers["content-type"] == "text/event-stream"
    told = stream(reply)
    assert told.text == LONG
    assert told.kinds[0] == "start"
    assert told.kinds[-1] == "finish"
    assert told.kinds.index("data-retrieval") < told.kinds.index("text-start")
    assert told.part("data-citations")["data"]
    answer = Message.objects.get(text=LONG)
    assert told.parts[0]["messageId"] == str(answer.pk)
    if way == "continue":
        assert told.part("data-retrieval")["data"]["passages"]
        (first, *_) = [part["delta"] for part in told.parts if part["type"] == "text-delta"]
        assert first.startswith(BEGINNING)
    same = again(alice_api, way, broken, Idempotency_Key="k").json()
    assert same["message"]["id"] == str(answer.pk)


def test_the_earlier_text_comes_at_once(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel
) -> None:
    model.say(REST, hold_after=0)
    path = f"messages/{broken['message']['id']}/continue/"
    with alice_api.http.stream(
        "POST", path, json={}, headers={"Accept": "text/event-stream"}
    ) as response:
        told = Stream(response)
        assert told.until("text-delta")["delta"] == BEGINNING
        assert TurnDraft.objects.get().text == BEGINNING
        model.release()
        told.to_end()
    assert told.text == LONG


def test_an_answer_may_break_off_more_than_once(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel
) -> None:
    model.say(REST, cut_after=3)
    second = again(alice_api, "continue", broken)
    assert second.status_code == 502
    assert second.json()["message"]["text"] == BEGINNING + " It keeps the"
    model.reset()
    model.say("the cache in memory on another machine.")
    third = again(alice_api, "continue", second.json())
    assert third.json()["message"]["text"] == LONG
    assert len(third.json()["message"]["versions"]) == 3


def test_a_stopped_answer_goes_on(
    alice_api: Api, model: ScriptedModel, done: dict[str, Any]
) -> None:
    say(model, LONG, hold_after=5)
    with alice_api.asking("Redis?", chat=done["chat"]) as told:
        turn = told.until("start")["messageMetadata"]["turn"]
        told.text_until("[1].")
        stopped = alice_api.post(f"turns/{turn}/stop/").json()
    assert stopped["message"]["state"] == "stopped"
    model.release()
    model.reset()
    model.say("NOT_IN_DOCUMENTS")  # nothing more, as far as the model is concerned
    whole = again(alice_api, "continue", stopped).json()
    assert (whole["message"]["text"], whole["status"]) == (BEGINNING, "complete")


def test_without_a_model_an_answer_is_quoted_anew(alice_api: Api, shelf: Collection) -> None:
    turn = alice_api.ask(QUESTION).json()
    Message.objects.filter(pk=turn["message"]["id"]).update(state="interrupted", text="The docu")
    Turn.objects.update(retrieval={})
    whole = again(alice_api, "continue", turn).json()
    assert whole["message"]["text"] == turn["message"]["text"]


def test_what_a_killed_process_left_goes_on(
    alice_api: Api, users: dict[str, User], model: ScriptedModel
) -> None:
    with (
        another_process(model) as process,
        held_answer(process, users["alice"], model) as (_there, chat, turn),
    ):
        wait_for(lambda: Turn.objects.exclude(retrieval={}).exists())
        answer = str(Turn.objects.get(pk=turn).answer_id)
        busy = alice_api.post(f"messages/{answer}/continue/")
        assert busy.status_code == 409
        assert busy.json()["error"]["code"] == "turn_in_progress"
        process.popen.kill()
        process.popen.wait()
    expire_leases()
    model.release()
    model.reset()
    model.say("[1]." + REST)
    reply = alice_api.post(f"messages/{answer}/continue/")  # it finishes the dead one first
    assert reply.json()["message"]["text"] == LONG
    assert reply.json()["message"]["citations"]
    assert Message.objects.get(pk=answer).state == "interrupted"
    assert shown(alice_api, {"chat": chat}) == [QUESTION, LONG]


def test_a_continuation_that_is_killed_loses_nothing(
    alice_api: Api, broken: dict[str, Any], users: dict[str, User], model: ScriptedModel
) -> None:
    model.say(REST, hold_after=0)
    with another_process(model) as process:
        there = Api(process.url, alice_api.token)
        path = f"messages/{broken['message']['id']}/continue/"
        headers = {"Accept": "text/event-stream"}
        with (
            there.http,
            pytest.raises(httpx2.HTTPError),
            there.http.stream("POST", path, json={}, headers=headers) as response,
        ):
            told = Stream(response)
            answer = told.until("start")["messageId"]
            process.popen.kill()
            process.popen.wait()
            told.to_end()
    expire_leases()
    model.release()
    model.reset()
    model.say(REST)
    assert alice_api.post(f"messages/{answer}/continue/").json()["message"]["text"] == LONG


@pytest.mark.parametrize("way", WAYS)
def test_a_dead_runner_is_in_nobodys_way(alice_api: Api, model: ScriptedModel, way: str) -> None:
    chat, turn = stranded_turn(alice_api, model)
    model.reset()
    (model.say if way == "continue" else lambda text: say(model, text))(LONG)
    answer = str(Turn.objects.get(pk=turn).answer_id)
    reply = again(alice_api, way, {"turn": turn, "message": {"id": answer}})
    assert reply.status_code == 200
    assert Turn.objects.get(pk=turn).status == "interrupted"
    assert shown(alice_api, {"chat": chat})[1] == LONG


# --- versions


def test_versions_are_chosen_back_and_forth(
    alice_api: Api, done: dict[str, Any], model: ScriptedModel
) -> None:
    say(model, OTHER)
    second = again(alice_api, "regenerate", done).json()
    model.reset()
    say(model, "Run createcachetable [1].")
    edited = again(alice_api, "edit", done).json()

    def select(message: str) -> list[str]:
        assert alice_api.post(f"messages/{message}/select/").status_code == 200
        before = alice_api.get(f"chats/{done['chat']}/")
        assert alice_api.post(f"messages/{message}/select/").json() == before.json()
        return shown(alice_api, done)

    assert shown(alice_api, done) == [EDITED, "Run createcachetable [1]."]
    assert select(done["message"]["id"]) == [QUESTION, ANSWER]
    assert select(question_of(done)) == [QUESTION, ANSWER]  # it is current already
    assert select(edited["message"]["id"]) == [EDITED, "Run createcachetable [1]."]
    assert select(question_of(done)) == [QUESTION, OTHER]
    assert select(question_of(edited)) == [EDITED, "Run createcachetable [1]."]
    model.reset()
    say(model, "Once more [1].")
    # Of an earlier version: its question comes back with it.
    assert again(alice_api, "regenerate", second).status_code == 200
    assert shown(alice_api, done) == [QUESTION, "Once more [1]."]
    assert len(alice_api.get(f"messages/{second['message']['id']}/").json()["versions"]) == 4
    model.reset()
    say(model, "Next.")
    alice_api.ask("Next?", chat=done["chat"])
    asked = [each["content"] for each in model.requests[-1]["messages"]]
    assert asked[1:] == [QUESTION, "Once more [1].", "Next?"]


def test_a_chosen_version_waits_for_the_running_turn(
    alice_api: Api, done: dict[str, Any], model: ScriptedModel
) -> None:
    say(model, OTHER, hold_after=2)
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(again, alice_api, "regenerate", done)
        wait_for(lambda: Turn.objects.filter(status="running").exists())
        refused = alice_api.post(f"messages/{done['message']['id']}/select/")
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "turn_in_progress"
        model.release()
        assert reply.result().status_code == 200


def test_the_chat_names_each_new_state(
    alice_api: Api, done: dict[str, Any], model: ScriptedModel
) -> None:
    path, say_ = f"chats/{done['chat']}/", say
    seen = [alice_api.get(path)]
    say_(model, OTHER)
    again(alice_api, "regenerate", done)
    seen.append(alice_api.get(path))
    alice_api.post(f"messages/{done['message']['id']}/select/")
    seen.append(alice_api.get(path))
    assert len({each.headers["etag"] for each in seen}) == 3
    revs = [each.json()["rev"] for each in seen]
    assert revs == sorted(set(revs))


@pytest.mark.parametrize("way", WAYS)
def test_the_page_shows_the_new_version(
    alice_api: Api,
    broken: dict[str, Any],
    model: ScriptedModel,
    users: dict[str, User],
    client: Client,
    way: str,
) -> None:
    (model.say if way == "continue" else lambda text: say(model, text))(LONG)
    again(alice_api, way, broken)
    client.force_login(users["alice"])
    page = client.get(f"/chats/{broken['chat']}/")
    assert page.status_code == 200
    assert "It keeps the cache in memory" in page.content.decode()


# --- titles


def test_an_edit_renews_a_title_that_is_the_question_itself(alice_api: Api) -> None:
    turn = alice_api.ask(QUESTION).json()  # without a model, the title stays the question
    edited = edit(alice_api, question_of(turn), EDITED).json()
    assert edited["title"] == EDITED
    alice_api.http.patch(f"chats/{turn['chat']}/", json={"title": "Mine"})
    assert edit(alice_api, question_of(edited), QUESTION).json()["title"] == "Mine"


def test_an_edit_keeps_a_better_title(
    alice_api: Api, done: dict[str, Any], model: ScriptedModel
) -> None:
    say(model, ANSWER)
    assert edit(alice_api, question_of(done), EDITED).json()["title"] == "Redis as a cache"
    assert len(model.requests) == 2  # none of them for a title


def test_an_edit_after_a_failure_names_the_chat(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel
) -> None:
    say(model, ANSWER)
    model.say("The cache in the database")
    title = again(alice_api, "edit", broken).json()["title"]
    assert title in (EDITED, "The cache in the database")  # the model's may be there already
    wait_for(lambda: Chat.objects.get().title == "The cache in the database")


# --- refusals


@pytest.mark.parametrize("way", WAYS)
def test_only_the_last_exchange_has_new_versions(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel, way: str
) -> None:
    say(model, ANSWER)
    alice_api.ask("Redis?", chat=broken["chat"])
    before = alice_api.get(f"chats/{broken['chat']}/").json()
    refused = again(alice_api, way, broken)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "conflict"
    assert "last question" in refused.json()["error"]["message"]
    assert alice_api.get(f"chats/{broken['chat']}/").json() == before


@pytest.mark.parametrize("way", WAYS)
def test_a_running_turn_is_named(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel, way: str
) -> None:
    say(model, LONG, hold_after=5)
    path = f"messages/{broken['message']['id']}/regenerate/"
    headers = {"Accept": "text/event-stream"}
    with alice_api.http.stream("POST", path, json={}, headers=headers) as response:
        told = Stream(response)
        turn = told.until("start")["messageMetadata"]["turn"]
        told.text_until("[1].")
        refused = again(alice_api, way, broken)
        assert refused.status_code == 409
        error = refused.json()["error"]
        assert (error["code"], error["turn"]) == ("turn_in_progress", turn)
        assert error["stream"] == f"/api/v1/turns/{turn}/stream/"
        model.release()
        told.to_end()
    assert Turn.objects.count() == 2


def test_two_at_once_are_one(alice_api: Api, done: dict[str, Any], model: ScriptedModel) -> None:
    say(model, OTHER, hold_after=2)
    paths = [path_of(way, done) for way in ("regenerate", "edit") * 3]
    with ThreadPoolExecutor(6) as pool:
        replies = [pool.submit(alice_api.post, path, {"text": EDITED}) for path in paths]
        wait_for(lambda: sum(reply.done() for reply in replies) == 5)
        model.release()
        statuses = sorted(reply.result().status_code for reply in replies)
    assert statuses == [200, 409, 409, 409, 409, 409]
    assert Message.objects.filter(position=1).count() == 2
    assert shown(alice_api, done)[1] == OTHER


@pytest.mark.parametrize("way", WAYS)
def test_the_same_key_many_times_at_once_is_one_turn(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel, way: str
) -> None:
    (model.say if way == "continue" else lambda text: say(model, text))(LONG)
    path, body = path_of(way, broken), {"text": EDITED}
    with ThreadPoolExecutor(6) as pool:
        replies = list(
            pool.map(lambda _: alice_api.post(path, body, Idempotency_Key="k"), range(6))
        )
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["turn"] for reply in replies}) == 1
    assert Turn.objects.count() == 2


def test_a_key_is_for_one_request(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel
) -> None:
    say(model, LONG)
    turn = again(alice_api, "regenerate", broken, Idempotency_Key="k").json()
    others = [
        again(alice_api, "continue", broken, Idempotency_Key="k"),
        again(alice_api, "edit", broken, Idempotency_Key="k"),
        again(alice_api, "regenerate", turn, Idempotency_Key="k"),
        alice_api.ask(QUESTION, chat=broken["chat"], Idempotency_Key="k"),
        alice_api.ask(QUESTION, Idempotency_Key="k"),
    ]
    for other in others:
        assert other.status_code == 422
        assert other.json()["error"]["code"] == "idempotency_key_reused"
    # A turn is found by its key also when it could not be made any more.
    alice_api.ask("Redis?", chat=broken["chat"])
    same = again(alice_api, "regenerate", broken, Idempotency_Key="k")
    assert (same.status_code, same.json()["turn"]) == (200, turn["turn"])
    long = again(alice_api, "regenerate", turn, Idempotency_Key="k" * 256)
    assert long.status_code == 400


@pytest.mark.parametrize("way", WAYS)
def test_others_change_nothing(
    alice_api: Api,
    bob_api: Api,
    nobody: Api,
    broken: dict[str, Any],
    way: str,
) -> None:
    before = alice_api.get(f"chats/{broken['chat']}/").json()
    assert again(bob_api, way, broken).status_code == 404
    assert again(nobody, way, broken).status_code == 401
    for api, status in ((bob_api, 404), (nobody, 401)):
        assert api.get(f"messages/{broken['message']['id']}/").status_code == status
    unknown = f"messages/{uuid4()}/"
    assert alice_api.post(f"{unknown}{way}/", {"text": EDITED}).status_code == 404
    assert alice_api.get(unknown).status_code == 404
    assert alice_api.get(f"chats/{broken['chat']}/").json() == before
    alice_api.http.delete(f"chats/{broken['chat']}/")
    assert again(alice_api, way, broken).status_code == 404
    assert alice_api.get(f"messages/{broken['message']['id']}/").status_code == 404
    assert Turn.objects.count() == 1


def test_the_wrong_kind_of_message_is_refused(alice_api: Api, broken: dict[str, Any]) -> None:
    question, answer = question_of(broken), broken["message"]["id"]
    refused = [
        alice_api.post(f"messages/{question}/regenerate/"),
        alice_api.post(f"messages/{question}/continue/"),
        edit(alice_api, answer, EDITED),
    ]
    assert [each.status_code for each in refused] == [409, 409, 409]
    assert all(each.json()["error"]["code"] == "conflict" for each in refused)
    for name in ("regenerate", "continue", "edit"):
        assert alice_api.get(f"messages/{answer}/{name}/").status_code == 405
        assert alice_api.post(f"messages/7/{name}/", {"text": EDITED}).status_code == 404


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400),
        (" \n", 400),
        (None, 400),
        (7, 400),
        ("Redis\0?", 400),
        ("R" * (16 * 1024 + 1), 413),
        ("R" * 300_000, 413),
    ],
)
def test_an_edit_must_be_a_question(
    alice_api: Api, done: dict[str, Any], text: Any, status: int
) -> None:
    refused = edit(alice_api, question_of(done), text)
    assert refused.status_code == status
    assert refused.json()["error"]["message"]
    assert shown(alice_api, done) == [QUESTION, ANSWER]


@pytest.fixture
def refusals(alice_api: Api, broken: dict[str, Any]) -> Iterator[list[str]]:
    """The messages of refused continuations; the answer can be given anew all the same."""
    messages: list[str] = []
    yield messages
    refused = again(alice_api, "continue", broken)
    assert refused.status_code == 409
    error = refused.json()["error"]
    assert (error["code"], [error["message"]]) == ("conflict", messages)
    assert "anew" in error["message"]
    assert alice_api.post(error["regenerate"].removeprefix("/api/v1/")).status_code == 200


def test_a_complete_answer_does_not_go_on(refusals: list[str]) -> None:
    Message.objects.filter(role="assistant").update(state="complete")
    refusals.append("This answer is complete. Have it written anew if you want another.")


def test_an_answer_without_a_text_does_not_go_on(refusals: list[str]) -> None:
    Message.objects.filter(role="assistant").update(text="")
    refusals.append("There is nothing of this answer to go on from. Have it written anew.")


@pytest.mark.parametrize("is_known", [True, False])
def test_without_its_passages_an_answer_does_not_go_on(refusals: list[str], is_known: bool) -> None:
    if is_known:
        Passage.objects.order_by("position").first().delete()
    else:
        Turn.objects.update(retrieval={})
    refusals.append("The passages that this answer was made from are gone. Have it written anew.")


def test_the_longest_answer_does_not_go_on(refusals: list[str], settings: Any) -> None:
    settings.ANSWER_MAX_CHARACTERS = len(BEGINNING)
    refusals.append("This answer is as long as one may be. Have it written anew.")


def test_versions_have_a_limit(
    alice_api: Api, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "VERSIONS_MAX", 2)
    assert again(alice_api, "regenerate", done).status_code == 200
    for way in ("regenerate", "edit"):
        refused = again(alice_api, way, done)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize("way", WAYS)
def test_without_its_collection_nothing_is_answered(
    alice_api: Api, broken: dict[str, Any], shelf: Collection, way: str
) -> None:
    shelf.delete()
    assert again(alice_api, way, broken).status_code == 409
    assert shown(alice_api, broken) == [QUESTION, BEGINNING]


def test_an_answer_whose_turn_is_unknown_belongs_to_the_question_before_it(
    alice_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    chat = make_chat(users["alice"], shelf, QUESTION, "Yes.")
    answer = Message.objects.get(chat=chat, position=1)
    turn = alice_api.post(f"messages/{answer.pk}/regenerate/").json()
    assert shown(alice_api, turn)[0] == QUESTION
    assert turn["message"]["versions"] == [str(answer.pk), turn["message"]["id"]]


@pytest.mark.parametrize("way", WAYS)
def test_a_user_has_a_few_running_turns(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel, settings: Any, way: str
) -> None:
    settings.TURNS_PER_USER = 1
    script(model, ANSWER, hold_after=2)
    with alice_api.asking(QUESTION) as told:
        told.text_until("the")
        refused = again(alice_api, way, broken)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "limit_reached"
        model.release()
        told.to_end()
    assert shown(alice_api, broken) == [QUESTION, BEGINNING]


def test_they_count_as_questions(alice_api: Api, done: dict[str, Any], settings: Any) -> None:
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": rates | {"turns": "2/hour"}
    }
    replies = [again(alice_api, way, done) for way in ("regenerate", "edit", "continue")]
    assert replies[-1].status_code == 429
    assert replies[-1].headers["retry-after"]
    assert alice_api.get(f"messages/{done['message']['id']}/").status_code == 200


# --- writes that need no key


def test_other_writes_may_be_repeated(alice_api: Api, done: dict[str, Any]) -> None:
    chat, answer, turn = done["chat"], done["message"]["id"], done["turn"]

    def twice(method: str, path: str, **body: Any) -> None:
        first = alice_api.http.request(method, path, **body)
        state = alice_api.get(f"chats/{chat}/")
        second = alice_api.http.request(method, path, **body)
        assert (first.status_code, first.content) == (second.status_code, second.content)
        assert alice_api.get(f"chats/{chat}/").content == state.content

    twice("PATCH", f"chats/{chat}/", json={"title": "Mine", "pinned": True})
    twice("PUT", f"messages/{answer}/feedback/", json={"rating": "up", "comment": "Right."})
    twice("POST", f"messages/{answer}/select/", json={})
    twice("POST", f"turns/{turn}/stop/", json={})
    assert alice_api.http.delete(f"chats/{chat}/").status_code == 204
    assert alice_api.http.delete(f"chats/{chat}/").status_code == 404  # it is as gone as before
    twice("POST", f"chats/{chat}/restore/", json={})


def test_whatever_comes_at_once_leaves_one_exchange(
    alice_api: Api, done: dict[str, Any], settings: Any
) -> None:
    settings.CHAT_MODEL = ""  # quotations: many turns in a short time
    settings.TURNS_PER_USER = 8
    question, answer = question_of(done), done["message"]["id"]
    paths = [
        f"messages/{question}/edit/",
        f"messages/{answer}/regenerate/",
        f"messages/{answer}/select/",
        f"messages/{question}/select/",
    ]

    def insist(path: str) -> set[int]:
        """Post until the running turn has ended; return which statuses came."""
        seen: set[int] = set()
        wait_for(
            lambda: seen.add(alice_api.post(path, {"text": EDITED}).status_code) or 200 in seen
        )
        return seen

    with ThreadPoolExecutor(8) as pool:
        statuses = set().union(*pool.map(insist, paths * 6))
    assert statuses == {200, 409}
    assert len(shown(alice_api, done)) == 2
    turns = Turn.objects.select_related("question", "answer")
    assert Message.objects.filter(position=1).count() == len(turns) == 13
    assert all((each.question.position, each.answer.position) == (0, 1) for each in turns)


def test_a_continuation_is_followed_from_another_process(
    alice_api: Api, broken: dict[str, Any], model: ScriptedModel
) -> None:
    model.say(REST, hold_after=0)
    path = f"messages/{broken['message']['id']}/continue/"
    with another_process(model) as process:
        there = Api(process.url, alice_api.token)
        headers = {"Accept": "text/event-stream"}
        with there.http, there.http.stream("POST", path, json={}, headers=headers) as response:
            turn = Stream(response).until("start")["messageMetadata"]["turn"]
            with alice_api.following(f"turns/{turn}/stream/") as told:
                assert told.until("data-retrieval")["data"]["passages"]
                assert told.until("text-delta")["delta"] == BEGINNING
                model.release()
                told.to_end()
    assert told.text == LONG
