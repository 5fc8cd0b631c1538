"""OpenAI's protocol, as its official client speaks it: models, completions, streams, and what is refused."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from mundap.accounts.models import User
from mundap.chats.models import Chat, Completion, Message, State
from mundap.chats.openai_reply import Reply
from mundap.chats.runner import Runner
from mundap.chats.selectors import TurnView
from mundap.config.threads import in_database_thread
from mundap.library.models import Collection
from tests.chats.conftest import ANSWER, QUESTION, api_of
from tests.chats.server import Api, wait_for
from tests.chats.test_processes import another_process
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
USER = {"role": "user", "content": QUESTION}
NO_ID = UUID(int=0)
PLACE = "https://docs.example.org/cache/#part-1"


def client_of(api: Api, **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{api.url}/v1", api_key=api.token or "none", max_retries=0, **options)


@pytest.fixture
def alice(alice_api: Api) -> Iterator[OpenAI]:
    with client_of(alice_api) as client:
        yield client


@pytest.fixture
def bob(bob_api: Api) -> Iterator[OpenAI]:
    with client_of(bob_api) as client:
        yield client


@pytest.fixture
def secret(users: dict[str, User]) -> Collection:
    return Collection.objects.create(
        slug="secret", title="Secret", title_no=8, visibility="private", owner=users["alice"]
    )


def script(model: ScriptedModel, text: str, **how: Any) -> None:
    """Write down one completion: the queries and the answer; there is no chat to give a title."""
    model.say("redis cache backend")
    model.say(text, **how)


def complete(client: OpenAI, *messages: dict[str, Any], **options: Any) -> Any:
    return client.chat.completions.create(
        **{"model": "shelf", "messages": list(messages) or [USER], **options}
    )


def refused(
    client: OpenAI, kind: type[openai.APIStatusError], *messages: Any, **options: Any
) -> Any:
    """Return the error that the client raises; its body has all keys of OpenAI's shape."""
    with pytest.raises(kind) as caught:
        complete(client, *messages, **options)
    error = caught.value
    assert isinstance(error.body, dict)
    assert {"message", "type", "param", "code"} <= error.body.keys()
    assert error.type
    assert error.body["message"]
    return error


# --- models
def test_collections_are_models(alice: OpenAI, bob: OpenAI, secret: Collection) -> None:
    assert [each.id for each in alice.models.list()] == ["shelf", "secret"]
    assert [each.id for each in bob.models.list()] == ["shelf"]
    shelf = alice.models.retrieve("shelf")
    assert (shelf.id, shelf.object, shelf.owned_by) == ("shelf", "model", "mundap")
    assert shelf.created == int(Collection.objects.get(slug="shelf").created_at.timestamp())
    assert alice.models.retrieve("secret").id == "secret"


@pytest.mark.parametrize("name", ["secret", "gpt-4.1", "문서", "a" * 300])
def test_a_model_that_is_not_there_or_not_yours(bob: OpenAI, secret: Collection, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        bob.models.retrieve(name)
    error = refused(bob, openai.NotFoundError, model=name)
    assert (error.code, error.param, error.type) == ("not_found", "model", "not_found_error")
    assert caught.value.body == error.body


def test_nobody_gets_in(nobody: Api, shelf: Collection) -> None:
    with client_of(nobody) as client:
        error = refused(client, openai.AuthenticationError)
        assert error.type == "authentication_error"
        assert error.response.headers["www-authenticate"].startswith("Bearer")
        for ask in (client.models.list, lambda: client.models.retrieve("shelf")):
            with pytest.raises(openai.AuthenticationError):
                ask()


def test_an_address_that_is_not_there(alice: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        alice.embeddings.create(model="shelf", input="a")
    assert caught.value.type == "not_found_error"


# --- completions
def test_a_completion_is_cited_and_stored_nowhere(alice: OpenAI, model: ScriptedModel) -> None:
    script(model, ANSWER)
    reply = complete(alice)
    (choice,) = reply.choices
    assert reply.id.startswith("chatcmpl-")
    assert (reply.object, reply.model) == ("chat.completion", "shelf")
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", ANSWER)
    (annotation,) = choice.message.annotations
    citation = annotation.url_citation
    assert annotation.type == "url_citation"
    assert ANSWER[citation.start_index : citation.end_index] == "[1]"
    assert citation.url == PLACE
    assert citation.title
    (ours,) = reply.citations
    assert (ours["number"], ours["url"]) == (1, PLACE)
    assert reply.is_answered is True
    assert reply.usage.prompt_tokens == 10
    assert reply.usage.total_tokens == 10 + reply.usage.completion_tokens > 10
    assert not (Chat.objects.exists() or Message.objects.exists() or Completion.objects.exists())


def test_every_marker_has_its_annotation(alice: OpenAI, model: ScriptedModel) -> None:
    text = "캐시는 Redis 😀 [1]. `list[1]` is code [9]. Or the database [2][1]."
    script(model, text)
    message = complete(alice).choices[0].message
    assert message.content == text.replace(" [9]", "")
    places = [each.url_citation for each in message.annotations]
    shown = [message.content[each.start_index : each.end_index] for each in places]
    assert shown == ["[1]", "[2]", "[1]"]
    assert "`list" not in [message.content[each.start_index - 5 :][:5] for each in places]
    assert places[0].url == places[2].url != places[1].url


def test_a_passage_published_nowhere_leads_to_our_page(
    alice: OpenAI, alice_api: Api, model: ScriptedModel, shelf: Collection
) -> None:
    shelf.documents.update(url="")
    script(model, ANSWER)
    reply = complete(alice)
    (annotation,) = reply.choices[0].message.annotations
    passage = reply.citations[0]["passage"]
    assert annotation.url_citation.url == f"{alice_api.url}/passages/{passage}/"


def test_without_a_model_the_answer_is_quoted(alice: OpenAI) -> None:
    reply = complete(alice)
    message = reply.choices[0].message
    assert "Redis" in message.content
    assert message.annotations
    assert reply.usage.total_tokens == 0


def test_what_the_documents_do_not_say(alice: OpenAI, model: ScriptedModel) -> None:
    script(model, "NOT_IN_DOCUMENTS")
    reply = complete(alice)
    assert reply.is_answered is False
    assert "NOT_IN_DOCUMENTS" not in reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"


def test_the_history_goes_to_the_model(alice: OpenAI, model: ScriptedModel) -> None:
    script(model, ANSWER)
    parts = [{"type": "text", "text": "And with"}, {"type": "text", "text": "Redis as the cache?"}]
    complete(
        alice,
        {"role": "system", "content": "You are a pirate."},
        *[{"role": "user", "content": f"question {number}"} for number in range(20)],
        {"role": "assistant", "content": "In the database [1]."},
        {"role": "assistant", "content": None},
        {"role": "user", "content": parts},
        temperature=0.2,
        max_tokens=50,
        seed=7,
        user="somebody",
        n=1,
        response_format={"type": "text"},
        tool_choice="auto",
    )
    said = [(each["role"], each["content"]) for each in model.requests[-1]["messages"]]
    assert said[-1] == ("user", "And with\nRedis as the cache?")
    assert ("assistant", "In the database [1].") in said
    assert ("user", "question 19") in said
    assert ("user", "question 0") not in said
    assert not any("pirate" in text for _role, text in said)


def test_an_answer_that_does_not_end_is_cut_off(
    alice: OpenAI, model: ScriptedModel, settings: Any
) -> None:
    settings.ANSWER_MAX_CHARACTERS = 20
    script(model, ANSWER)
    (choice,) = complete(alice).choices
    assert (choice.finish_reason, choice.message.content) == ("length", ANSWER[:20])
    model.reset()
    script(model, ANSWER)
    assert list(complete(alice, stream=True))[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize(("status", "told"), [(500, 502), (429, 503)])
def test_a_model_that_fails(alice: OpenAI, model: ScriptedModel, status: int, told: int) -> None:
    model.fail(status)
    error = refused(alice, openai.InternalServerError)
    assert (error.status_code, error.type) == (told, "server_error")
    assert "scripted failure" not in str(error.body)
    assert not Completion.objects.exists()


def test_a_model_that_falls_silent(alice: OpenAI, model: ScriptedModel, settings: Any) -> None:
    settings.MODEL_SILENCE_SECONDS = 1
    script(model, ANSWER, hold_after=3)
    error = refused(alice, openai.InternalServerError)
    assert (error.status_code, error.code) == (504, "model_timeout")


# --- streams
def test_a_stream_says_the_same(alice: OpenAI, model: ScriptedModel) -> None:
    text = f"{ANSWER} And more [9]."
    script(model, text)
    chunks = list(complete(alice, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in chunks)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    content = content_of(chunks)
    assert content == text.replace(" [9]", "")
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    (annotation,) = deltas[-1].annotations
    place = annotation["url_citation"]
    assert content[place["start_index"] : place["end_index"]] == "[1]"
    assert place["url"] == chunks[-1].citations[0]["url"] == PLACE
    assert not (Chat.objects.exists() or Completion.objects.exists())


def test_a_stream_comes_as_it_is_written(alice: OpenAI, model: ScriptedModel) -> None:
    script(model, ANSWER, hold_after=4)
    chunks = []
    with complete(alice, stream=True) as stream:
        for chunk in stream:
            chunks.append(chunk)
            if content_of(chunks) == "Use the Redis backend":
                assert Completion.objects.count() == 1
                model.release()
    assert content_of(chunks) == ANSWER


def test_a_stream_counts_where_asked(alice: OpenAI, model: ScriptedModel) -> None:
    script(model, ANSWER)
    options = {"include_usage": True}
    *chunks, last = complete(alice, stream=True, stream_options=options)
    assert all(chunk.usage is None for chunk in chunks)
    assert (last.choices, last.usage.prompt_tokens) == ([], 10)


def test_the_events_as_they_are(alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER)
    body = {"model": "shelf", "messages": [USER], "stream": True}
    reply = alice_api.http.post(f"{alice_api.url}/v1/chat/completions", json=body)
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache, no-transform"
    events = reply.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])
    assert "usage" not in json.loads(events[0][6:])


def test_a_stream_that_breaks_raises_in_the_client(alice: OpenAI, model: ScriptedModel) -> None:
    script(model, "Use the Redis backend [1] and more", cut_after=4)
    text = ""
    with complete(alice, stream=True) as stream, pytest.raises(openai.APIError) as caught:
        for chunk in stream:
            text += content_of([chunk])
    assert text == "Use the Redis backend"
    assert caught.value.code == "model_error"
    assert "stopped in the middle" in caught.value.message
    assert not Completion.objects.exists()


def test_who_leaves_stops_the_answer(alice: OpenAI, alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER, hold_after=3)
    with complete(alice, stream=True) as stream:
        next(iter(stream))
        assert Completion.objects.count() == 1
    wait_for(lambda: not Completion.objects.exists())
    model.reset()
    script(model, ANSWER, hold_after=3)
    with client_of(alice_api, timeout=1) as impatient, pytest.raises(openai.APITimeoutError):
        complete(impatient)
    wait_for(lambda: not Completion.objects.exists())


def test_silence_and_an_end_that_does_not_go_on() -> None:
    """Comments keep a silent stream alive; what was sent stays, and the annotations are places in it."""
    running = TurnView(NO_ID, NO_ID, NO_ID, State.RUNNING, "", "Use Redis [1]")
    citation = {"number": 1, "document": "Cache", "headings": ["Cache", "Redis"]}
    citation |= {"passage": "p", "url": "javascript:alert(1)"}
    final = replace(running, status=State.COMPLETE, text="Something else", citations=[citation])

    async def changes() -> AsyncGenerator[TurnView | None, None]:
        for each in (running, None, final):
            yield each

    async def read() -> list[bytes]:
        reply = Reply("chatcmpl-1", "shelf", lambda passage: f"https://here.example/{passage}")
        return [event async for event in reply.chunks(changes(), has_usage=False)]

    _role, text, comment, end = asyncio.run(read())
    assert comment.startswith(b":")
    assert json.loads(text[6:])["choices"][0]["delta"] == {"content": "Use Redis [1]"}
    (annotation,) = json.loads(end[6:].split(b"\n\n")[0])["choices"][0]["delta"]["annotations"]
    assert annotation["url_citation"] == {
        "start_index": 10,
        "end_index": 13,
        "title": "Cache › Redis",
        "url": "https://here.example/p",
    }


# --- limits
def test_a_user_has_a_few_running_answers(
    alice: OpenAI, bob: OpenAI, alice_api: Api, model: ScriptedModel, settings: Any
) -> None:
    settings.TURNS_PER_USER = 1
    script(model, ANSWER, hold_after=2)
    with complete(alice, stream=True) as stream:
        next(iter(stream))
        error = refused(alice, openai.RateLimitError)
        assert (error.code, error.type) == ("limit_reached", "rate_limit_error")
        assert error.response.headers["retry-after"]
        assert alice_api.ask(QUESTION).status_code == 429
        with complete(bob, stream=True) as other:
            next(iter(other))
    wait_for(lambda: not Completion.objects.exists())
    model.reset()
    model.say(ANSWER, hold_after=2)
    with alice_api.asking(QUESTION) as turn:
        turn.until("start")
        refused(alice, openai.RateLimitError)
        model.release()
        turn.to_end()
    assert complete(alice).choices


def test_a_process_has_room_for_so_many(
    alice: OpenAI, bob: OpenAI, bob_api: Api, model: ScriptedModel, settings: Any
) -> None:
    settings.TURNS_PER_PROCESS = 1
    script(model, ANSWER, hold_after=2)
    with complete(alice, stream=True) as stream:
        next(iter(stream))
        refused(bob, openai.RateLimitError, stream=True)
        assert bob_api.ask(QUESTION).status_code == 429


def test_the_limit_holds_over_processes(
    alice: OpenAI, users: dict[str, User], model: ScriptedModel, settings: Any
) -> None:
    settings.TURNS_PER_USER = 1
    with another_process(model) as process:
        there = api_of(users["alice"], process.url)
        script(model, ANSWER, hold_after=3)
        with there.http, client_of(there) as client, complete(client, stream=True) as stream:
            next(iter(stream))
            refused(alice, openai.RateLimitError)
            lease = Completion.objects.get().lease_until
            wait_for(lambda: Completion.objects.get().lease_until > lease)
            process.popen.kill()
            process.popen.wait()
    refused(alice, openai.RateLimitError)  # until its lease has run out
    Completion.objects.update(lease_until=lease - timedelta(minutes=1))
    model.reset()
    script(model, ANSWER)
    assert complete(alice).choices
    assert not Completion.objects.exists()


async def test_an_answer_whose_reader_never_came_is_stopped(
    users: dict[str, User], shelf: Collection, model: ScriptedModel, monkeypatch: Any
) -> None:
    """Its client left before a byte was sent."""
    monkeypatch.setattr("mundap.chats.live.UNREAD_SECONDS", 0)
    script(model, ANSWER, hold_after=3)
    runner = Runner()
    completion = await runner.complete(users["alice"], QUESTION, collection=shelf)
    async with asyncio.timeout(20), aclosing(completion.changes()) as changes:
        (final,) = [view async for view in changes if view and view.is_final]
    assert final.status is State.STOPPED
    assert not await in_database_thread(Completion.objects.exists)
    await runner.close(grace_seconds=0)


def test_a_server_that_stops_says_so(users: dict[str, User], shelf: Any, model: Any) -> None:
    with another_process(model) as process:
        there = api_of(users["alice"], process.url)
        script(model, ANSWER, hold_after=3)
        with there.http, client_of(there) as client, complete(client, stream=True) as stream:
            next(iter(stream))
            process.popen.send_signal(signal.SIGTERM)
            with pytest.raises(openai.APIError) as caught:
                list(stream)
        assert caught.value.code == "service_unavailable"
        wait_for(lambda: process.popen.poll() is not None)
    assert not Completion.objects.exists()


def test_completions_have_a_rate(alice: OpenAI, settings: Any) -> None:
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": rates | {"turns": "1/hour"}
    }
    assert complete(alice).choices
    error = refused(alice, openai.RateLimitError)
    assert int(error.response.headers["retry-after"]) > 0
    assert alice.models.list().data


# --- bad input
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "content": "Yes."}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "4", "tool_call_id": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "4"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}, USER]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": {"text": "a"}}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"n": 2}, "n"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"stop": ["\n"]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream": True, "stream_options": "usage"}, "stream_options"),
        ({"stream_options": {"include_usage": 3}}, "stream_options.include_usage"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_named(
    alice_api: Api, model: ScriptedModel, options: dict[str, Any], param: str
) -> None:
    body = {"model": "shelf", "messages": [USER], **options}
    reply = alice_api.http.post(f"{alice_api.url}/v1/chat/completions", json=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["param"], error["code"]) == (param, "invalid_input")
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert not model.requests


def test_refusals_raise_in_the_client(alice: OpenAI) -> None:
    assert refused(alice, openai.BadRequestError, n=3).param == "n"
    long = {"role": "user", "content": "가" * 6000}
    assert refused(alice, openai.APIStatusError, long).status_code == 413
    earlier = {"role": "assistant", "content": "a" * 300_000}
    assert refused(alice, openai.APIStatusError, earlier, USER).code == "too_large"


def content_of(chunks: list[ChatCompletionChunk]) -> str:
    deltas = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    return "".join(delta or "" for delta in deltas)
