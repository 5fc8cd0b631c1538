"""The same doors under ASGI, where the middleware runs without threads."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient

from mundap.accounts.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
AUTH = "/_allauth/app/v1/auth"
JSON = "application/json"


@pytest.fixture(autouse=True)
async def _closed_connections() -> AsyncIterator[None]:
    """The thread that ran the views gives its connection back, so that the test database can be dropped."""
    yield
    await sync_to_async(connections.close_all)()


async def test_sign_up_and_use_the_session(async_client: AsyncClient) -> None:
    person = {"email": "carol@example.org", "password": PASSWORD}
    reply = await async_client.post(f"{AUTH}/signup", person, content_type=JSON)
    assert reply.status_code == 200
    token = reply.json()["meta"]["session_token"]
    used = await async_client.get("/api/v1/tokens/", headers={"X-Session-Token": token})
    assert used.status_code == 200


async def test_limits_and_refusals(async_client: AsyncClient, alice: User, settings) -> None:
    wrong = {"email": alice.email, "password": "wrong"}
    for expected in (400, 400, 400, 400, 400, 429):
        reply = await async_client.post(f"{AUTH}/login", wrong, content_type=JSON)
        assert reply.status_code == expected
    settings.SIGNUP_IS_OPEN = False
    closed = await async_client.post(f"{AUTH}/signup", wrong, content_type=JSON)
    assert closed.status_code == 403
    assert (await async_client.post(f"{AUTH}/login", b"[", content_type=JSON)).status_code == 400
    assert (await async_client.get("/api/v1/tokens/?a=%00")).status_code == 400
    assert (await async_client.get("/api/v1/nothing/")).json()["error"]["code"] == "not_found"
