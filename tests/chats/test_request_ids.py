"""The id of a request: a proxy's where it is trusted and makes sense, else ours; in the reply, through both doors."""

from __future__ import annotations

import re

import httpx2
import pytest
from prometheus_client import REGISTRY

from mundap.chats.models import Chat
from tests.chats.conftest import QUESTION, script
from tests.chats.server import Api, wait_for
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
MADE = re.compile(r"[0-9a-f]{32}")


def test_each_reply_has_one_of_its_own(alice_api: Api, chat: Chat) -> None:
    path = f"chats/{chat.pk}/"
    replies = [alice_api.get(path), alice_api.get(path), alice_api.get(path, Cookie="a=1")]
    replies.append(alice_api.get("nowhere/"))
    ids = [reply.headers.get_list("x-request-id") for reply in replies]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 404]
    assert all(len(each) == 1 and MADE.fullmatch(each[0]) for each in ids)
    assert len({each[0] for each in ids}) == 4


def test_a_stranger_s_is_not_believed(nobody: Api) -> None:
    reply = nobody.get("chats/", X_Request_ID="from-a-stranger")
    assert MADE.fullmatch(reply.headers["x-request-id"])


def test_a_trusted_proxy_s_is_taken_where_it_makes_sense(nobody: Api, settings) -> None:
    settings.TRUSTED_PROXIES = 1
    for given in ("0af7651916cd43dd8448eb211c80319c", "req.1_a-B2345"):
        assert nobody.get("chats/", X_Request_ID=given).headers["x-request-id"] == given
    for given in ("short", "x" * 65, "two words", "a;b;c;d;e", "-leading-dash", "<script>alert"):
        assert MADE.fullmatch(nobody.get("chats/", X_Request_ID=given).headers["x-request-id"])


def test_a_client_that_leaves_before_the_reply_is_counted_as_such(
    alice_api: Api, model: ScriptedModel
) -> None:
    left = {"method": "POST", "route": "chats", "status": "499"}
    before = REGISTRY.get_sample_value("mundap_requests_total", left) or 0
    script(model, "Use the Redis backend [1].", hold_after=0)
    body = {"text": QUESTION, "collection": "shelf"}
    with pytest.raises(httpx2.ReadTimeout):
        alice_api.http.post("chats/", json=body, timeout=0.5)
    wait_for(lambda: REGISTRY.get_sample_value("mundap_requests_total", left) == before + 1)
    model.release()
