"""The local embedding server as an OpenAI client sees it, and as the supervisor runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import psutil
import pytest

MODEL = "mundap-1"


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=os.environ["MUNDAP_EMBEDDING_BASE_URL"],
        api_key=os.environ["MUNDAP_EMBEDDING_API_KEY"],
        max_retries=0,
    ) as client:
        yield client


def embed(client: openai.OpenAI, *texts: str, **options: Any) -> np.ndarray:
    reply = client.embeddings.create(model=MODEL, input=list(texts), **options)
    assert [item.index for item in reply.data] == list(range(len(texts)))
    return np.array([item.embedding for item in reply.data])


def test_vectors_have_length_one_and_tell_meanings_apart(client):
    question, near, far = embed(
        client,
        "How do I log a user out?",
        "Ending a session: call logout() with the request.",
        "Indexes speed up sorting large tables.",
    )
    assert len(question) == 896
    assert np.linalg.norm(question) == pytest.approx(1, abs=1e-3)
    assert question @ near > question @ far + 0.1


def test_korean_finds_english(client):
    question, near, far = embed(
        client,
        "비밀번호를 재설정하는 방법",
        "Resetting a password by e-mail",
        "Drawing charts in a spreadsheet",
    )
    assert question @ near > question @ far + 0.1


def test_a_single_text_and_both_encodings_give_the_same_vector(client):
    as_floats = client.embeddings.create(model=MODEL, input="the cache", encoding_format="float")
    as_base64 = embed(client, "the cache")[0]  # what the SDK asks for by itself
    assert as_floats.data[0].embedding == pytest.approx(as_base64, abs=1e-6)
    assert as_floats.usage.prompt_tokens == 4


def test_texts_come_back_in_their_order_however_long_they_are(client):
    texts = ["word " * length + str(length) for length in (300, 2, 90, 1, 500, 40)]
    together = embed(client, *texts)
    alone = np.concatenate([embed(client, text) for text in texts])
    assert np.allclose(together, alone, atol=1e-3)


@pytest.mark.parametrize(
    ("request_fields", "status", "param"),
    [
        ({"input": ""}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": ["fine", "  "]}, 400, "input"),
        ({"input": [1, 2, 3]}, 400, "input"),
        ({"input": {"text": "a"}}, 400, "input"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"input": "\ud800"}, 400, "input"),
        ({}, 400, "input"),
        ({"input": "a", "dimensions": 64}, 400, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
        ({"input": "a", "model": "gpt-4"}, 404, "model"),
    ],
)
def test_bad_input_is_refused_in_openais_shape(request_fields, status, param):
    reply = post(json.dumps({"model": MODEL} | request_fields))
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', b"\xff\xfe"])
def test_what_is_not_a_json_object_is_refused(body):
    assert post(body).status_code == 400


@pytest.mark.parametrize("key", [None, "wrong", ""])
def test_the_key_is_needed(key):
    assert post('{"model": "mundap-1", "input": "a"}', key=key).status_code == 401


def test_health_needs_no_key_and_the_list_of_models_does(client):
    root = os.environ["MUNDAP_EMBEDDING_BASE_URL"].removesuffix("/v1")
    assert httpx2.get(f"{root}/health").json() == {"status": "ok", "models": [MODEL]}
    assert httpx2.get(f"{root}/v1/models").status_code == 401
    assert [model.id for model in client.models.list()] == [MODEL]
    assert httpx2.get(f"{root}/nothing", headers=_headers()).status_code == 404


def test_questions_overtake_passages(client):
    passage = "The cache framework keeps the results of expensive calculations. " * 20
    finished = threading.Event()

    def fill() -> None:
        embed(client, *[f"{number} {passage}" for number in range(60)])
        finished.set()

    filling = threading.Thread(target=fill)
    filling.start()
    embed(client, "Is anything slow?")
    assert not finished.is_set()
    filling.join()


def test_a_reply_does_not_wait_for_the_network(client):
    """A body that waits for its head to be acknowledged takes 40 ms more, every time."""
    times = []
    for number in range(10):
        begun = time.perf_counter()
        embed(client, f"question {number}")
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.035


class TestProcess:
    """The process as the supervisor starts it, in a home of the test's own."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        home = tmp_path / "a home with spaces"
        home.mkdir()
        return home

    @pytest.fixture
    def server(self, home: Path) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "mundap.embedded.embeddings", "--home", str(home)]
        environment = os.environ | {"MUNDAP_EMBEDDING_SERVER_KEY": "a key"}
        with subprocess.Popen(command, env=environment) as process:
            _until((home / "run" / "embeddings.json").exists)
            yield process
            process.kill()

    def test_it_tells_where_it_is_to_its_owner_only(self, home, server):
        ready = home / "run" / "embeddings.json"
        record = json.loads(ready.read_text())
        assert record["pid"] == server.pid
        assert record["key"] == "a key"
        assert ready.stat().st_mode & 0o777 == 0o600
        assert httpx2.get(f"http://127.0.0.1:{record['port']}/health").json()["status"] == "ok"

    def test_it_stays_small(self, home, server):
        record = json.loads((home / "run" / "embeddings.json").read_text())
        with openai.OpenAI(
            base_url=f"http://127.0.0.1:{record['port']}/v1", api_key="a key"
        ) as client:
            embed(client, *["many words of some length " * 60] * 32)
        assert psutil.Process(server.pid).memory_info().rss < 500 * 2**20

    def test_it_stops_when_told_to(self, home, server):
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        assert not (home / "run" / "embeddings.json").exists()

    def test_it_stops_by_itself_when_its_home_is_removed(self, home, server):
        shutil.rmtree(home)
        assert server.wait(10) == 0

    def test_it_leaves_a_home_that_another_server_took_over(self, home, server):
        ready = home / "run" / "embeddings.json"
        ready.write_text('{"pid": 1, "port": 1, "key": "other"}')
        assert server.wait(10) == 0
        assert json.loads(ready.read_text())["key"] == "other"

    def test_it_does_not_start_without_a_key(self, home):
        command = [sys.executable, "-m", "mundap.embedded.embeddings", "--home", str(home)]
        environment = {n: v for n, v in os.environ.items() if n != "MUNDAP_EMBEDDING_SERVER_KEY"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 2
        assert "MUNDAP_EMBEDDING_SERVER_KEY is not set" in done.stderr


def post(body: str | bytes, *, key: str | None = "right") -> httpx2.Response:
    headers = _headers() if key == "right" else {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.post(
        f"{os.environ['MUNDAP_EMBEDDING_BASE_URL']}/embeddings", content=body, headers=headers
    )


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ['MUNDAP_EMBEDDING_API_KEY']}"}


def _until(condition: Any, *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
