"""The AI SDK's real `useChat` with the transport of docs/usechat.md, under Node; and `curl -N` as docs/api.md has it.

Node draws the documented component (usechat/chat.jsx); each tab reaches the server over a line of its own that a test
can cut. Tested with the last release for Node 20 and with the newest, which runs there too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.streaming import Encoder
from tests.chats.server import Api, served, wait_for
from tests.e2e.conftest import PASSWORD, own_address
from tests.scripted_model import ScriptedModel

HERE = Path(__file__).parent / "usechat"
DOCS = Path(__file__).parents[2] / "docs"
QUESTION = "How do I brew green tea?"
ANSWER = "Pour water of 80 degrees [1]. Wait two minutes. That is all."
START = "Pour water of 80 degrees [1]."
TOKENS_OF_START = 6
SOURCE = ["https://docs.example.org/tea.md#green-tea", "Tea"]
READY = ("Answer again", "Edit question", "Send")
SDKS = {"6": [], "7": ["--alias:ai=ai-7", "--alias:@ai-sdk/react=@ai-sdk/react-7"]}


class Node:
    """The process that draws the tabs."""

    def __init__(self, bundle: Path, *, server: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(bundle)],
            env=os.environ | {"SERVER": server},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, command: str, **how: Any) -> Any:
        """Carry out a command and return its reply."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"command": command, **how}) + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        assert reply, "Node has ended: see its standard error above"
        return json.loads(reply)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Tab:
    """One open tab."""

    def __init__(self, node: Node, token: str, **properties: Any) -> None:
        self.name = uuid4().hex
        self._node = node
        node.tell("open", tab=self.name, token=token, **properties)
        wait_for(lambda: self.tell("look")["buttons"])

    def tell(self, command: str, **how: str) -> Any:
        return self._node.tell(command, tab=self.name, **how)

    def ask(self, text: str) -> None:
        self.tell("type", text=text)
        wait_for(lambda: self.tell("look")["typed"] == text)  # React draws it in its own time
        self.tell("send")

    def press(self, label: str) -> None:
        wait_for(lambda: label in self.tell("look")["buttons"])
        self.tell("press", label=label)

    def shows(self, *texts: str, buttons: tuple[str, ...] = READY, alert: str = "") -> Any:
        """Wait until these are the messages' texts, with these buttons, and return all that is shown."""
        seen: dict[str, Any] = {}

        def is_shown() -> bool:
            seen.update(self.tell("look"))
            return (
                tuple(message["text"] for message in seen["messages"]) == texts
                and tuple(seen["buttons"]) == buttons
                and bool(re.search(alert, seen["alert"]) if alert else not seen["alert"])
            )

        try:
            wait_for(is_shown)
        except AssertionError:
            pytest.fail(f"expected {texts} {buttons} {alert!r}, shown is {seen}")
        return seen

    def is_writing(self, *texts: str) -> Any:
        return self.shows(*texts, buttons=("Stop",))

    def fails(self, *texts: str, alert: str) -> Any:
        return self.shows(*texts, buttons=("Try again", "Send"), alert=alert)


@dataclass
class Desk:
    """A person with tabs, and with a program of their own."""

    node: Node
    api: Api
    model: ScriptedModel

    def tab(self, **properties: Any) -> Tab:
        return Tab(self.node, self.api.token, **properties or {"collection": "tea"})

    def script(self, answer: str = ANSWER, *, hold: bool = True, **how: int) -> None:
        """Let the model first write what to search for, and then the answer, holding it in the middle."""
        _settle(self.api, self.model)
        self.model.say("brewing green tea")
        self.model.say(answer, hold_after=TOKENS_OF_START if hold else None, **how)

    def chat(self) -> str:
        """Return the newest chat's id."""
        return str(self.api.get("chats/").json()["results"][0]["id"])

    def stored(self, chat: str = "") -> list[tuple[str, str]]:
        """Return the texts and states of a chat's messages as stored."""
        messages = self.api.get(f"chats/{chat or self.chat()}/").json()["messages"]
        return [(message["text"], message["state"]) for message in messages]


@pytest.fixture(scope="session")
def _packages() -> Path:
    """The folder with the packages installed, exactly as pinned."""
    if not shutil.which("npm"):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("Left out: the tests with the AI SDK need Node 20 or newer, with npm.")
    command = ["npm", "ci", "--prefer-offline", "--loglevel=error"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return HERE


@pytest.fixture(scope="session", params=SDKS)
def _bundle(
    request: pytest.FixtureRequest, _packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tabs with one release of the SDK, bundled as an application's code is."""
    bundle = tmp_path_factory.mktemp("bundle") / "driver.mjs"
    options = ["--bundle", "--platform=node", "--format=esm", "--jsx=automatic"]
    command = ["node_modules/.bin/esbuild", "driver.jsx", *options, "--log-level=warning"]
    subprocess.run(
        [*command, f"--outfile={bundle}", *SDKS[request.param]], cwd=_packages, check=True
    )
    return bundle


@pytest.fixture(scope="session")
def _program(server: str) -> Iterator[Api]:
    """A person's program, with a token of their own."""
    account = {"email": f"{uuid4().hex[:12]}@example.org", "password": PASSWORD}
    reply = httpx2.post(
        f"{server}/_allauth/app/v1/auth/signup",
        json=account,
        headers={"X-Forwarded-For": own_address()},
        timeout=20,
    )
    session = reply.json()["meta"]["session_token"]
    reply = httpx2.post(
        f"{server}/api/v1/tokens/",
        json={"name": "useChat"},
        headers={"X-Session-Token": session},
        timeout=20,
    )
    api = Api(server, reply.json()["token"])
    with api.http:
        yield api


@pytest.fixture(scope="session")
def _node(_bundle: Path, server: str) -> Iterator[Node]:
    node = Node(_bundle, server=server)
    yield node
    node.close()


@pytest.fixture
def api(_program: Api, e2e_model: ScriptedModel) -> Iterator[Api]:
    """The program; nothing it asked runs on when the test ends."""
    yield _program
    _settle(_program, e2e_model)


def _settle(api: Api, model: ScriptedModel) -> None:
    """Wait until nothing runs that could take a reply of the next script: no answer, and no first answer's title."""

    def is_quiet(chat: dict[str, Any]) -> bool:
        if chat["active_turn"]:
            return False
        question, answer, *_more = api.get(f"chats/{chat['id']}/").json()["messages"]
        has_title = chat["title"] != question["text"]
        return has_title or answer["state"] == "failed" or len(answer["versions"]) > 1

    def is_all_quiet() -> bool:
        model.release()
        return all(is_quiet(chat) for chat in _chats(api)[:4])

    wait_for(is_all_quiet)
    model.reset()


def _chats(api: Api) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = api.get("chats/").json()["results"]
    return results


@pytest.fixture
def desk(_node: Node, api: Api, e2e_model: ScriptedModel) -> Desk:
    _node.tell("posts")
    return Desk(_node, api, e2e_model)


@pytest.mark.parametrize("name", ["mundap-transport.js", "chat.jsx"])
def test_the_documented_code_is_the_tested_code(name: str) -> None:
    blocks = re.findall(
        r"^```jsx?\n(.*?)^```$", (DOCS / "usechat.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert (HERE / name).read_text(encoding="utf-8") in blocks


def test_an_answer_is_streamed_with_its_citations(desk: Desk) -> None:
    desk.script()
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.is_writing(QUESTION, START)
    desk.model.release()
    seen = tab.shows(QUESTION, ANSWER)
    assert [message["role"] for message in seen["messages"]] == ["user", "assistant"]
    assert seen["messages"][1]["sources"] == [SOURCE]
    assert desk.stored() == [(QUESTION, "complete"), (ANSWER, "complete")]


def test_the_next_question_goes_into_the_same_chat(desk: Desk) -> None:
    desk.script(hold=False)
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.shows(QUESTION, ANSWER)
    chat = desk.chat()
    tab.ask("And black tea?")
    tab.shows(QUESTION, ANSWER, "And black tea?", ANSWER)
    first, second = desk.node.tell("posts")
    assert [first["path"], second["path"]] == ["/api/v1/chats/", f"/api/v1/chats/{chat}/turns/"]
    assert first["key"] != second["key"]
    assert [text for text, _state in desk.stored(chat)] == [
        QUESTION,
        ANSWER,
        "And black tea?",
        ANSWER,
    ]


def test_a_closed_tab_does_not_stop_the_answer_and_a_new_one_takes_it_up(desk: Desk) -> None:
    desk.script()
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.is_writing(QUESTION, START)
    tab.tell("close")
    chat = desk.chat()
    again = desk.tab(id=chat)
    again.is_writing(QUESTION, START)
    desk.model.release()
    assert again.shows(QUESTION, ANSWER)["messages"][1]["sources"] == [SOURCE]
    assert desk.stored(chat) == [(QUESTION, "complete"), (ANSWER, "complete")]


def test_a_stored_chat_is_shown_where_nothing_runs(desk: Desk) -> None:
    desk.script(hold=False)
    chat = desk.api.ask(QUESTION, collection="tea").json()["chat"]
    assert desk.api.get(f"chats/{chat}/stream").status_code == 204
    tab = desk.tab(id=chat)
    assert tab.shows(QUESTION, ANSWER)["messages"][1]["sources"] == [SOURCE]
    tab.ask("And black tea?")
    tab.shows(QUESTION, ANSWER, "And black tea?", ANSWER)


def test_the_sdk_follows_a_chat_without_our_transport(desk: Desk) -> None:
    """Its own reconnect asks `{api}/{chat}/stream`; its own stop() leaves the stream, and the answer goes on."""
    desk.script()
    with desk.api.asking(QUESTION, collection="tea") as stream:
        chat = stream.until("start")["messageMetadata"]["chat"]
        staying = desk.tab(id=chat, is_bare=True)
        leaving = desk.tab(id=chat, is_bare=True)
        for tab in (staying, leaving):
            tab.shows(START, buttons=("Leave",))
        leaving.press("Leave")
        leaving.shows(START, buttons=("Ready",))
        desk.model.release()
        stream.to_end()
    staying.shows(ANSWER, buttons=("Ready",))
    assert desk.stored(chat)[-1] == (ANSWER, "complete")
    desk.tab(id=chat, is_bare=True).shows(buttons=("Ready",))


def test_two_tabs_see_the_same_and_either_stops_it(desk: Desk) -> None:
    desk.script()
    first = desk.tab()
    first.ask(QUESTION)
    first.is_writing(QUESTION, START)
    second = desk.tab(id=desk.chat())
    second.is_writing(QUESTION, START)
    second.press("Stop")
    for tab in (first, second):
        answer = tab.shows(QUESTION, START)["messages"][1]
        assert (answer["note"], answer["sources"]) == ("Stopped.", [SOURCE])
    assert desk.stored() == [(QUESTION, "complete"), (START, "stopped")]


def test_stop_keeps_the_text_and_one_can_ask_on(desk: Desk) -> None:
    desk.script()
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.is_writing(QUESTION, START)
    tab.press("Stop")
    tab.shows(QUESTION, START)
    desk.script("Four minutes [1].", hold=False)
    tab.ask("And black tea?")
    tab.shows(QUESTION, START, "And black tea?", "Four minutes [1].")


def test_an_answer_is_given_anew_and_the_earlier_one_kept(desk: Desk) -> None:
    desk.script("Use cold water [1].", hold=False)
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.shows(QUESTION, "Use cold water [1].")
    desk.script()
    tab.press("Answer again")
    tab.is_writing(QUESTION, START)
    desk.model.release()
    tab.shows(QUESTION, ANSWER)
    assert desk.stored() == [(QUESTION, "complete"), (ANSWER, "complete")]
    *_question, answer = desk.api.get(f"chats/{desk.chat()}/").json()["messages"]
    assert len(answer["versions"]) == 2


def test_the_last_question_is_put_differently(desk: Desk) -> None:
    desk.script("Use cold water [1].", hold=False)
    tab = desk.tab()
    tab.ask("How do I brew tea?")
    tab.shows("How do I brew tea?", "Use cold water [1].")
    desk.script(hold=False)
    tab.press("Edit question")
    wait_for(lambda: tab.tell("look")["typed"] == "How do I brew tea?")
    tab.ask(QUESTION)
    tab.shows(QUESTION, ANSWER)
    assert desk.stored() == [(QUESTION, "complete"), (ANSWER, "complete")]


def test_an_error_in_the_middle_keeps_the_text_and_can_be_asked_again(desk: Desk) -> None:
    desk.script(hold=False, cut_after=TOKENS_OF_START)
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.fails(QUESTION, START, alert="language model")
    assert desk.stored() == [(QUESTION, "complete"), (START, "failed")]
    desk.script(hold=False)
    tab.press("Try again")
    tab.shows(QUESTION, ANSWER)
    assert desk.stored() == [(QUESTION, "complete"), (ANSWER, "complete")]


def test_a_broken_connection_is_taken_up_where_the_answer_is_now(desk: Desk) -> None:
    desk.script()
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.is_writing(QUESTION, START)
    tab.tell("line", state="whole")
    tab.fails(QUESTION, START, alert=".")
    tab.press("Try again")
    tab.is_writing(QUESTION, START)
    desk.model.release()
    tab.shows(QUESTION, ANSWER)


def test_an_answer_that_ended_while_the_connection_was_broken_is_shown_whole(desk: Desk) -> None:
    desk.script()
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.is_writing(QUESTION, START)
    tab.tell("line", state="down")
    tab.fails(QUESTION, START, alert=".")
    desk.model.release()
    wait_for(lambda: desk.stored()[-1] == (ANSWER, "complete"))
    tab.tell("line", state="whole")
    tab.press("Try again")
    tab.shows(QUESTION, ANSWER)


@pytest.mark.parametrize("state", ["down", "deaf"])
def test_a_question_that_is_sent_again_is_asked_once(desk: Desk, state: str) -> None:
    """Whether the first one never arrived, or only its reply was lost."""
    before = [chat["id"] for chat in _chats(desk.api)]
    desk.script(hold=False)
    tab = desk.tab()
    tab.tell("line", state=state)
    tab.ask(QUESTION)
    tab.fails(QUESTION, alert="fetch")
    tab.tell("line", state="whole")
    tab.press("Try again")
    tab.shows(QUESTION, ANSWER)
    first, second = desk.node.tell("posts")
    assert first == second
    assert [chat["id"] for chat in _chats(desk.api)][1:2] == before[:1]


def test_a_key_that_had_another_question_is_refused(desk: Desk) -> None:
    desk.script(hold=False)
    tab = desk.tab()
    tab.tell("line", state="down")
    tab.ask(QUESTION)
    tab.fails(QUESTION, alert="fetch")
    (sent,) = desk.node.tell("posts")
    desk.api.ask("Another question?", collection="tea", Idempotency_Key=sent["key"])
    tab.tell("line", state="whole")
    tab.press("Try again")
    tab.fails(QUESTION, alert="Idempotency-Key")


def test_a_question_beside_a_running_answer_is_given_back(desk: Desk) -> None:
    desk.script(hold=False)
    tab = desk.tab()
    tab.ask(QUESTION)
    tab.shows(QUESTION, ANSWER)
    desk.script()
    other = desk.tab(id=desk.chat())
    other.shows(QUESTION, ANSWER)
    other.ask("And white tea?")
    other.is_writing(QUESTION, ANSWER, "And white tea?", START)
    tab.ask("And black tea?")
    tab.fails(QUESTION, ANSWER, "And black tea?", alert="running|progress|written|answered")
    tab.press("Try again")
    seen = tab.is_writing(QUESTION, ANSWER, "And white tea?", START)
    assert seen["typed"] == "And black tea?"
    desk.model.release()
    tab.shows(QUESTION, ANSWER, "And white tea?", ANSWER)
    tab.tell("send")
    tab.shows(QUESTION, ANSWER, "And white tea?", ANSWER, "And black tea?", ANSWER)


def test_too_many_answers_at_once_are_refused_and_asked_again_later(desk: Desk) -> None:
    desk.script()
    tab = desk.tab()
    with ExitStack() as stack:
        for _each in range(3):
            stack.enter_context(desk.api.asking(QUESTION, collection="tea")).until("start")
        tab.ask(QUESTION)
        tab.fails(QUESTION, alert="Too many answers")
    desk.script(hold=False)
    tab.press("Try again")
    tab.shows(QUESTION, ANSWER)


def test_a_text_that_was_stored_otherwise_than_streamed_is_shown_as_stored(desk: Desk) -> None:
    """As when a process ended while writing; what the encoder makes of such a turn, over a real socket."""
    turn, chat, answer = uuid4(), uuid4(), uuid4()
    running = TurnView(turn, chat, answer, State.RUNNING, "Tea", "Pour cold")
    final = TurnView(turn, chat, answer, State.COMPLETE, "Tea", ANSWER)
    encoder = Encoder(turn)
    body = encoder.events(running) + encoder.events(final)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with served(application) as url:
        tab = desk.tab(collection="tea", api=f"{url}/api/v1")
        tab.ask(QUESTION)
        tab.shows(QUESTION, ANSWER)
        tab.tell("close")


def test_curl_shows_the_answer_as_it_is_written(api: Api, e2e_model: ScriptedModel) -> None:
    ask, follow, stop = re.findall(
        r"^    (curl .*\n(?: {6,}.*\n)*)", _section("With curl"), re.MULTILINE
    )
    _settle(api, e2e_model)
    e2e_model.say("brewing green tea")
    e2e_model.say(ANSWER, hold_after=TOKENS_OF_START)
    variables = {"TOKEN": api.token, "COLLECTION": "tea"}
    with Curl(api, ask, variables) as asking:
        start = asking.until("start")
        assert asking.text_until(START) == START
        variables |= {"TURN": start["messageMetadata"]["turn"], "LAST": asking.id}
        with Curl(api, follow, variables) as following:
            following.until("text-start")
            with Curl(api, stop, variables) as stopping:
                assert json.loads(stopping.rest())["status"] == "stopped"
            assert following.rest().endswith("data: [DONE]\n\n")
        assert asking.rest().endswith("data: [DONE]\n\n")
    assert following.text == ""


def _section(title: str) -> str:
    _before, _title, rest = (DOCS / "api.md").read_text().partition(f"### {title}\n")
    return rest.partition("\n#")[0]


class Curl:
    """A documented command, as it runs in a shell; its output is read as it comes."""

    def __init__(self, api: Api, command: str, variables: dict[str, str]) -> None:
        command = command.replace("http://localhost:8000", api.url).replace('"django"', '"tea"')
        self.id = self.text = ""
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Curl:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def until(self, kind: str) -> dict[str, Any]:
        """Return the next part of this kind."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("id: "):
                self.id = line[4:].strip()
            elif line.startswith("data: {"):
                part: dict[str, Any] = json.loads(line[6:])
                self.text += part.get("delta", "")
                if part["type"] == kind:
                    return part
        raise AssertionError(f"the stream ended before {kind}")

    def text_until(self, text: str) -> str:
        """Read deltas until the text ends with this, and return it."""
        while not self.text.endswith(text):
            self.until("text-delta")
        return self.text

    def rest(self) -> str:
        """Return all that still comes."""
        assert self._process.stdout
        return self._process.stdout.read()
