"""Turns among several server processes: killed, stopped, followed and taken over."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from mundap.accounts.models import User
from mundap.chats import turns
from mundap.chats.models import Message, ModelUsage, Reservation, Turn, TurnDraft
from tests.chats.conftest import QUESTION, api_of, script
from tests.chats.server import Api, Process, serving_process, wait_for
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "Use the Redis backend [1]. It keeps the cache in memory on another machine."
BEGINNING = "Use the Redis backend [1]."


@contextmanager
def another_process(model: ScriptedModel, **variables: str) -> Iterator[Process]:
    with serving_process(
        OPENAI_BASE_URL=model.url,
        OPENAI_API_KEY="test",
        MUNDAP_CHAT_MODEL="scripted",
        **variables,
    ) as process:
        yield process


@contextmanager
def held_answer(
    process: Process, user: User, model: ScriptedModel
) -> Iterator[tuple[Api, str, str]]:
    """An answer in the other process that has begun and does not go on; gives its chat and turn."""
    script(model, LONG, hold_after=5)
    there = api_of(user, process.url)
    with there.http, there.asking(QUESTION) as stream:
        ids = stream.until("start")["messageMetadata"]
        stream.text_until("[1].")
        wait_for(lambda: TurnDraft.objects.filter(text=BEGINNING).exists())
        yield there, ids["chat"], ids["turn"]


def expire_leases() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE chats_turn SET lease_until = now() - interval '1 s'")


def test_a_killed_process_leaves_its_draft(
    alice_api: Api, users: dict[str, User], model: ScriptedModel
) -> None:
    with another_process(model) as process:
        with held_answer(process, users["alice"], model) as (_there, chat, turn):
            process.popen.kill()
            process.popen.wait()
        busy = alice_api.ask("Redis?", chat=chat)
        assert busy.status_code == 409  # until its lease has run out
    expire_leases()
    found = alice_api.get(f"chats/{chat}/").json()
    assert found["active_turn"] is None
    assert found["messages"][-1]["state"] == "interrupted"
    assert found["messages"][-1]["text"] == BEGINNING
    assert not TurnDraft.objects.exists()
    with alice_api.following(f"turns/{turn}/stream/") as stream:
        stream.to_end()
    assert stream.text == BEGINNING
    assert stream.kinds[-2:] == ["error", "finish"]
    reserved = Reservation.objects.get()
    Turn.objects.update(finished_at="2000-01-01T00:00:00Z")
    wait_for(lambda: not Reservation.objects.exists())  # a reaper has estimated what it took
    used = ModelUsage.objects.get(user=users["alice"])
    assert (used.questions, used.calls, used.estimated_calls) == (1, 1, 1)
    assert used.input_tokens == reserved.input_tokens
    assert used.output_tokens == -(-len(BEGINNING) // 3)
    model.reset()
    script(model, LONG)
    assert alice_api.ask("Redis?", chat=chat).json()["message"]["text"] == LONG


@pytest.mark.parametrize("finder", ["post", "stream", "chat stream", "reaper"])
def test_an_expired_lease_is_found_by_whoever_comes(
    alice_api: Api, users: dict[str, User], model: ScriptedModel, finder: str
) -> None:
    chat, turn = stranded_turn(alice_api, model)
    match finder:
        case "post":
            assert alice_api.ask("Redis?", chat=chat).status_code == 200
        case "stream":
            with alice_api.following(f"turns/{turn}/stream/") as stream:
                stream.to_end()
            assert stream.text == BEGINNING
        case "chat stream":
            assert alice_api.get(f"chats/{chat}/stream").status_code == 204
        case "reaper":
            wait_for(lambda: Turn.objects.get(pk=turn).status != "running")
    assert Turn.objects.get(pk=turn).status == "interrupted"
    assert Message.objects.get(turn=turn, role="assistant").text == BEGINNING


def stranded_turn(api: Api, model: ScriptedModel) -> tuple[str, str]:
    """A finished turn, set back to what a killed process leaves behind; its stream may be there still."""
    script(model, BEGINNING)
    done = api.ask(QUESTION).json()
    wait_for(lambda: len(model.requests) == 3)
    Turn.objects.update(
        status="running", finished_at=None, runner="dead", lease_until="2000-01-01T00:00:00Z"
    )
    Message.objects.filter(role="assistant").update(text="", state="running", citations=[])
    TurnDraft.objects.create(turn_id=done["turn"], text=BEGINNING)
    return done["chat"], done["turn"]


def test_a_reader_on_another_process_follows_to_the_end(
    alice_api: Api, users: dict[str, User], model: ScriptedModel
) -> None:
    with (
        another_process(model) as process,
        held_answer(process, users["alice"], model) as (_there, chat, _turn),
        alice_api.following(f"chats/{chat}/stream") as stream,
    ):
        assert stream.text_until("[1].") == BEGINNING
        model.release()
        stream.to_end()
        assert stream.text == LONG
        assert stream.part("data-citations")["data"]
        assert stream.kinds[-1] == "finish"


def test_a_turn_is_stopped_from_another_process(
    alice_api: Api, users: dict[str, User], model: ScriptedModel
) -> None:
    with (
        another_process(model) as process,
        held_answer(process, users["alice"], model) as (_there, _chat, turn),
    ):
        reply = alice_api.post(f"turns/{turn}/stop/")
        assert reply.status_code == 200
        wait_for(lambda: Turn.objects.get(pk=turn).status == "stopped")
        answer = Message.objects.get(role="assistant")
        assert (answer.state, answer.text) == ("stopped", BEGINNING)


def test_a_server_that_is_told_to_end_stores_what_there_is(
    alice_api: Api, users: dict[str, User], model: ScriptedModel
) -> None:
    with another_process(model) as process:
        with held_answer(process, users["alice"], model) as (_there, chat, _turn):
            pass  # its reader leaves, or the server would wait for it
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(timeout=20) in (0, -signal.SIGTERM)
    answer = Message.objects.get(role="assistant")
    assert (answer.state, answer.text) == ("interrupted", BEGINNING)
    assert alice_api.get(f"chats/{chat}/").json()["active_turn"] is None


def test_a_server_that_is_told_to_end_tells_its_readers(
    users: dict[str, User], alice_api: Api, model: ScriptedModel
) -> None:
    script(model, LONG, hold_after=5)
    with another_process(model) as process:
        there = api_of(users["alice"], process.url)
        with there.http, there.asking(QUESTION) as stream:
            stream.text_until("[1].")
            process.popen.send_signal(signal.SIGTERM)
            stream.to_end()
        assert stream.kinds[-2:] == ["error", "finish"]
        process.popen.wait(timeout=20)
    answer = Message.objects.get(role="assistant")
    assert (answer.state, answer.text) == ("interrupted", BEGINNING)


def test_a_server_that_is_told_to_end_lets_answers_end(
    users: dict[str, User], alice_api: Api, model: ScriptedModel
) -> None:
    with another_process(model, MUNDAP_SHUTDOWN_SECONDS="20") as process:
        with held_answer(process, users["alice"], model):
            pass
        process.popen.send_signal(signal.SIGTERM)
        model.release()
        process.popen.wait(timeout=20)
    answer = Message.objects.get(role="assistant")
    assert (answer.state, answer.text) == ("complete", LONG)


def test_a_question_that_comes_just_before_the_end_has_an_end_too(
    users: dict[str, User], alice_api: Api, model: ScriptedModel
) -> None:
    script(model, LONG, hold_after=5)
    with another_process(model) as process, ThreadPoolExecutor(max_workers=1) as pool:
        there = api_of(users["alice"], process.url)
        with there.http:
            with held_posts(users["alice"]) as waiting, idle_connection(process) as idle:
                reply = pool.submit(there.ask, QUESTION)
                wait_for(waiting)
                process.popen.send_signal(signal.SIGTERM)
                assert idle.recv(1) == b""  # so the signal was heard, and nothing was running then
            assert reply.result().json()["status"] == "interrupted"
        assert process.popen.wait(timeout=20) in (0, -signal.SIGTERM)
    assert Message.objects.get(role="assistant").state == "interrupted"


def test_a_lease_is_kept_while_all_other_work_waits_for_the_database(
    users: dict[str, User], alice_api: Api, bob_api: Api, model: ScriptedModel
) -> None:
    script(model, LONG, hold_after=5)
    with alice_api.asking(QUESTION) as stream, ThreadPoolExecutor(max_workers=8) as pool:
        stream.text_until("[1].")
        with held_posts(users["bob"]) as waiting:
            for _ in range(8):
                pool.submit(bob_api.ask, QUESTION)
            wait_for(lambda: waiting() == 8)
            lease = Turn.objects.get().lease_until
            wait_for(lambda: Turn.objects.get().lease_until > lease)
        model.release()
        stream.to_end()
    assert stream.text == LONG


@contextmanager
def held_posts(user: User) -> Iterator[Callable[[], int]]:
    """Have the user's posts wait in the database until this ends; gives how many do."""
    with transaction.atomic(), connection.cursor() as cursor:
        turns.lock_posts(cursor, user)

        def waiting() -> int:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
            count: int = cursor.fetchone()[0]
            return count

        yield waiting


@contextmanager
def idle_connection(process: Process) -> Iterator[socket.socket]:
    """A connection that has been served and is kept; a server that ends closes it."""
    port = int(process.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as idle:
        idle.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            received += idle.recv(4096)
        yield idle


def test_a_process_that_lost_its_turn_changes_nothing(alice_api: Api, model: ScriptedModel) -> None:
    script(model, LONG, hold_after=5)
    with alice_api.asking(QUESTION) as stream:
        turn = stream.until("start")["messageMetadata"]["turn"]
        stream.text_until("[1].")
        # As if it had slept, and a reaper had been there meanwhile.
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE chats_turn SET status = 'interrupted', finished_at = now() WHERE id = %s",
                [turn],
            )
            cursor.execute("UPDATE chats_message SET text = 'reaped' WHERE text = ''")
        model.release()
        stream.to_end()
    assert stream.part("data-final")["data"] == {"text": "reaped"}
    assert Message.objects.get(role="assistant").text == "reaped"
    assert Turn.objects.get().status == "interrupted"


def test_a_server_that_is_told_to_end_sends_the_readers_of_others_elsewhere(
    users: dict[str, User], alice_api: Api, model: ScriptedModel
) -> None:
    script(model, LONG, hold_after=5)
    with another_process(model) as process, alice_api.asking(QUESTION) as here:
        turn = here.until("start")["messageMetadata"]["turn"]
        here.text_until("[1].")
        there = api_of(users["alice"], process.url)
        with there.http, there.following(f"turns/{turn}/stream/") as stream:
            assert stream.text_until("[1].") == BEGINNING
            process.popen.send_signal(signal.SIGTERM)
            stream.to_break()
        assert process.popen.wait(timeout=10) in (0, -signal.SIGTERM)
        with alice_api.following(f"turns/{turn}/stream/", Last_Event_ID=stream.ids[-1]) as again:
            model.release()
            again.to_end()
        assert BEGINNING + again.text == LONG
        here.to_end()
        assert here.text == LONG
