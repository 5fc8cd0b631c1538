"""The checker finds each violation in a small history made by hand, and nothing in a good one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.history import Record, digest_of

CHAT, OTHER = "chat-1", "chat-2"
QUESTION, ANSWER = "Redis? (q-u1-1)", "q-u1-1 Use it [1]."


def message(position: int, name: str, text: str, **changes: Any) -> list[Any]:
    role = "assistant" if position % 2 else "user"
    token = next((word.strip("().?") for word in text.split() if "q-" in word), None)
    state = changes.get("state", "complete")
    return [position, name, role, state, token, digest_of(text), changes.get("comment", "")]


def op(name: str, start: float, **values: Any) -> Record:
    base = {"session": "s", "user": "u1", "chat": CHAT, "status": 200, "node": 0}
    return {"kind": "op", "op": name, "start": start, "end": start + 0.5} | base | values


def ask(start: float, **values: Any) -> Record:
    base = {"key": "k1", "token": "q-u1-1", "turn": "t1", "message": "m1", "is_first": True}
    return op("ask", start, acked=start + 0.5, **(base | values))


def read(start: float, digest: str, rev: int, **values: Any) -> Record:
    base = {"digest": digest, "rev": rev, "etag": f'"{rev}-{digest}"', "known": []}
    return op("read", start, **(base | values))


def body(digest: str, *messages: list[Any], title: str = "", chat: str = CHAT) -> Record:
    return {
        "kind": "body",
        "digest": digest,
        "chat": chat,
        "title": title,
        "messages": list(messages),
    }


def stored(
    *messages: list[Any], chat: str = CHAT, owner: str = "u1", title: str = "", **values: Any
) -> Record:
    base = {"next_position": len(messages), "deleted": False, "title": title}
    return (
        {
            "kind": "stored",
            "chat": chat,
            "owner": owner,
            "messages": list(messages),
        }
        | base
        | values
    )


def turn(name: str = "t1", **values: Any) -> Record:
    base = {"chat": CHAT, "owner": "u1", "key": "k1", "status": "complete", "answer": "m1"}
    base |= {"question": "m0", "error": None}
    return {"kind": "turn", "turn": name, "text": ANSWER} | base | values


def follow(start: float, told: str, **values: Any) -> Record:
    base = {
        "turn": "t1",
        "told": told,
        "text": told,
        "is_ended": False,
        "marks": [[start, len(told)]],
    }
    return op("follow", start, **(base | values))


def death(start: float, name: str = "node killed", pid: int = 7) -> Record:
    return {"kind": "fault", "name": name, "node": 0, "pid": pid, "start": start, "end": start + 1}


def interrupted(kept: str) -> Record:
    """The second turn, ended by others with this text."""
    return TURN_AGAIN | {"status": "interrupted", "text": kept, "pid": 7}


PAIR = (message(0, "m0", QUESTION), message(1, "m1", ANSWER))
SECOND = (message(2, "m2", "More? (q-u1-2)"), message(3, "m3", "q-u1-2 Yes [1]."))
ASK_AGAIN = {"key": "k2", "token": "q-u1-2", "turn": "t2", "message": "m3", "is_first": False}
TURN_AGAIN = turn("t2", key="k2", question="m2", answer="m3")
WHOLE = [*PAIR, *SECOND]


def good() -> list[Record]:
    """Two questions, read before and after, renamed, rated, deleted and restored; a stranger; a stream."""
    return [
        {"kind": "run", "seconds": 9.5, "seed": 7},
        {"kind": "fault", "name": "flushed", "start": 1.0, "end": 2.0},
        body("b1", *PAIR),
        body("b2", *WHOLE, title="named"),
        ask(1),
        read(2, "b1", 1),
        ask(3, **ASK_AGAIN),
        ask(3.2, **ASK_AGAIN),
        op("title", 4, register="title", value="named", rev=5, etag='"5-b2"', digest="b2"),
        read(5, "b2", 5),
        read(6, "b2", 5, status=304, known=['"5-b2"']) | {"digest": None},
        op("list", 7, chat=None, chats=[[CHAT, 5]], is_whole=True),
        op("delete", 8, status=204),
        op("read", 9, status=404),
        op("restore", 10, rev=7, etag='"7-b3"'),
        op("list", 11, chat=None, chats=[[CHAT, 7]], is_whole=True),
        op("stranger", 12, user="u9", status=404),
        op("replay", 13, turn="t1", text=ANSWER, is_ended=True),
        op("replay", 14, turn="t1", text=ANSWER[:5], is_ended=False, status=0, error="ReadError"),
        stored(*WHOLE, title="named"),
        turn(),
        TURN_AGAIN,
        {"kind": "answers", "token": "q-u1-1", "count": 1},
        follow(15, "q-u1-1 Use"),
        follow(16, ANSWER, after="t1-10", is_ended=True, state="complete"),
        {"kind": "left", "what": "database connections", "count": 10, "bound": 54},
    ]


def test_a_good_history_is_clean() -> None:
    report = check(good())
    assert report.violations == []
    assert report.summary() == {
        "seconds": 9.5,
        "operations": 17,
        "faults": 1,
        "stale": 0,
        "lost": 0,
        "duplicate": 0,
        "foreign": 0,
        "stuck": 0,
        "seed": 7,
    }


BAD: dict[str, tuple[str, list[Record]]] = {
    "a read older than another session's": ("stale", [read(20, "b1", 1, session="other")]),
    "a list older than a read": ("stale", [op("list", 20, chats=[[CHAT, 3]], is_whole=True)]),
    "a read without the last question": ("stale", [read(20, "b1", 9)]),
    "a read with an old title": (
        "stale",
        [body("b9", *WHOLE, title="before"), read(20, "b9", 9)],
    ),
    "two bodies under one tag": (
        "stale",
        [
            body("b9", *WHOLE, title="named"),
            read(20, "b9", 7, etag='"9-x"'),
            read(21, "b2", 7, etag='"9-x"'),
        ],
    ),
    "not modified for somebody who has nothing": (
        "stale",
        [op("read", 20, status=304, known=[], rev=7, etag='"7-b3"')],
    ),
    "a deleted chat that is shown": (
        "stale",
        [op("delete", 20, status=204), read(21, "b2", 9), op("restore", 22)],
    ),
    "a deleted chat that is listed": (
        "stale",
        [
            op("delete", 20, status=204),
            op("list", 21, chats=[[CHAT, 9]], is_whole=True),
            op("restore", 22),
        ],
    ),
    "a chat that is not listed": ("lost", [op("list", 20, chats=[], is_whole=True)]),
    "a chat that is not found": ("lost", [op("read", 20, status=404)]),
    "an acknowledged turn that is not stored": (
        "lost",
        [ask(20, key="k3", token="q-u1-3", turn="t3", message="m5", is_first=False)],
    ),
    "a text that was shown and is not stored": (
        "lost",
        [body("b9", *PAIR, message(2, "m2", "Something else? (q-u1-2)"), SECOND[1])],
    ),
    "a gap": ("lost", [body("b9", PAIR[0], SECOND[1])]),
    "a title that is not stored": (
        "lost",
        [op("title", 20, register="title", value="newer", rev=8)],
    ),
    "a rating that is not stored": ("lost", [op("rate", 20, register="m1", value="comment 3")]),
    "a deletion that is not stored": ("lost", [op("delete", 20, status=204)]),
    "questions in the wrong order": (
        "lost",
        [
            ask(0.1, **ASK_AGAIN | {"key": "k4", "turn": "t4"}),
            turn("t4", key="k4", answer="m3"),
            ask(20, **ASK_AGAIN | {"key": "k5", "turn": "t5", "message": "m1"}),
        ],
    ),
    "a key that made two turns": (
        "duplicate",
        [ask(20, turn="t2", message="m3", token="q-u1-2", is_first=False)],
    ),
    "a question stored twice": ("duplicate", [stored(*PAIR, chat=OTHER)]),
    "two answers at once": (
        "duplicate",
        [body("b9", PAIR[0], message(1, "m1", "", state="running"), *SECOND)],
    ),
    "a stranger who is let in": ("foreign", [op("stranger", 20, user="u9", status=200)]),
    "a stranger who is told that nothing has changed": (
        "foreign",
        [op("stranger", 20, user="u9", status=304)],
    ),
    "another user's text": (
        "foreign",
        [body("b9", message(0, "m0", "Redis? (q-u2-1)")), read(20, "b9", 9)],
    ),
    "another chat's body": (
        "foreign",
        [body("b9", *PAIR, chat=OTHER), read(20, "b9", 9), stored(chat=OTHER)],
    ),
    "another user's answer": (
        "foreign",
        [follow(20, "q-u2-1 No", turn="t9"), turn("t9", owner="u2", text="q-u2-1 No [1].")],
    ),
    "another user's words in a stream": ("foreign", [follow(20, "q-u2-1 No", turn="t9")]),
    "another user's chat in the list": (
        "foreign",
        [
            stored(chat=OTHER, owner="u2"),
            op("list", 20, chats=[[CHAT, 9], [OTHER, 1]], is_whole=True),
        ],
    ),
    "a turn that never ends": ("stuck", [turn("t3", status="running", answer="m9", key="k3")]),
    "a request that never ends": ("stuck", [op("read", 20, status=0, error="timeout")]),
    "a stream that ended with another text": (
        "stuck",
        [op("replay", 7, turn="t1", text=ANSWER[:-3], is_ended=True)],
    ),
    "a stream that told another text": (
        "stuck",
        [op("replay", 20, turn="t1", text="Other", told="Other", is_ended=False)],
    ),
    "a stream that left out a character": (
        "stuck",
        [follow(20, ANSWER[:4] + ANSWER[5:], text=ANSWER, is_ended=True)],
    ),
    "two readers who were told different things": (
        "stuck",
        [
            interrupted("q-u1-2"),
            death(30),
            follow(20, "q-u1-2 Yes or", turn="t2"),
            follow(21, "q-u1-2 Yes and", turn="t2"),
        ],
    ),
    "a stream that ended as another state": (
        "stuck",
        [follow(20, ANSWER, is_ended=True, state="failed")],
    ),
    "an answer in another state than its turn": ("stuck", [turn(state="failed")]),
    "a text that a living process told and did not store": (
        "lost",
        [follow(20, ANSWER + " And more.")],
    ),
    "a text that was told long before its process died": (
        "lost",
        [interrupted("q-u1-2"), death(40), follow(20, "q-u1-2 Yes", turn="t2")],
    ),
    "a text that a process lost that was asked to end": (
        "lost",
        [
            interrupted("q-u1-2"),
            death(20, "node restarted"),
            follow(20, "q-u1-2 Yes", turn="t2"),
        ],
    ),
    "a part that passes for the whole answer": ("lost", [turn(text="q-u1-1 Use")]),
    "an answer that failed for no reason": ("failed", [turn(status="failed")]),
    "an answer that was interrupted for no reason": ("failed", [turn(status="interrupted", pid=3)]),
    "an answer that was made twice": (
        "duplicate",
        [{"kind": "answers", "token": "q-u1-1", "count": 2}],
    ),
    "a stop that took long": ("stuck", [turn(stop_seconds=9.0)]),
    "a new version that is not stored": (
        "lost",
        [op("revise", 20, what="edit", key="k9", token="q-u1-9", turn="t9", message="m9")],
    ),
    "an answer under another question": (
        "lost",
        [body("b9", PAIR[0], message(1, "m1", "q-u1-2 Yes [1]."))],
    ),
    "a current answer to a former question": ("lost", [turn(question="m0a")]),
    "a 500": ("failed", [op("read", 20, status=500)]),
    "a 503 that nothing explains": ("failed", [op("read", 20, status=503)]),
    "a good key refused": ("failed", [op("ask", 20, status=422, key="k9")]),
    "connections left behind": (
        "left",
        [{"kind": "left", "what": "open transactions", "count": 1, "bound": 0}],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_violation_is_found(name: str) -> None:
    kind, added = BAD[name]
    report = check([*good(), *deepcopy(added)])
    assert kind in report.kinds, report.violations
    assert not report.is_clean


def test_a_503_while_the_database_is_away_is_no_violation() -> None:
    outage = {"kind": "fault", "name": "postgres", "start": 19.5, "end": 21.0}
    assert check([*good(), outage, op("read", 20, status=503)]).is_clean
    assert not check([*good(), outage, op("read", 20, status=500)]).is_clean


def test_a_503_of_a_node_that_ends_is_no_violation() -> None:
    assert check([*good(), death(19.5), op("read", 20, status=503, node=0)]).is_clean
    assert not check([*good(), death(19.5), op("read", 20, status=503, node=1)]).is_clean


def test_what_a_killed_process_told_last_may_be_lost() -> None:
    told = follow(28, "q-u1-2 Yes", turn="t2")
    assert check([*good(), interrupted("q-u1-2"), death(30), told]).is_clean


def test_versions_that_are_not_current_were_shown_as_well() -> None:
    edited = [message(0, "m0b", "Redis? (q-u1-3)"), message(1, "m1b", "q-u1-3 Use it [1].")]
    history = [*good(), stored(*edited, *SECOND, title="named", former=list(PAIR))]
    history += [turn("t3", key="k3", question="m0b", answer="m1b", text="q-u1-3 Use it [1].")]
    assert check(history).is_clean


def test_a_broken_model_explains_a_failed_answer() -> None:
    name = "q-u1-4w9p9cut3"
    asked = [message(0, "m0", f"Redis? ({name})"), message(1, "m1", name, state="failed")]
    history = [stored(*asked), turn(status="failed", text=name, error="model_error")]
    assert check(history).is_clean


def test_a_change_whose_reply_was_lost_may_have_happened_or_not() -> None:
    renamed = op("title", 20, register="title", value="maybe", status=0)
    deleted = op("delete", 30, status=0)
    history = [*good(), renamed, deleted, op("read", 31, status=404)]
    assert check(history).is_clean
    assert check([*history, body("b9", *WHOLE, title="maybe"), read(32, "b9", 9)]).is_clean


def test_a_stream_of_a_deleted_chat_may_end_where_it_was() -> None:
    told = op("replay", 20, turn="t1", text=ANSWER[:-3], is_ended=True)
    assert check([*good(), told, op("delete", 20.1, status=204), op("restore", 30)]).is_clean


def test_the_summary_counts_what_was_found() -> None:
    report = check([*good(), *BAD["a stranger who is let in"][1], *BAD["a 500"][1]])
    assert report.summary()["foreign"] == 1
    assert {"failed", "foreign"} == report.kinds
    assert all(isinstance(value, int | float) for value in report.summary().values())
