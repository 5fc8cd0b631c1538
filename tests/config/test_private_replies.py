"""Replies are for their reader alone; what is the same for everybody may be kept."""

from __future__ import annotations

import pytest
from django.test import Client


@pytest.mark.parametrize(
    "path", ["/api/v1/collections/", "/api/v1/tokens/", "/accounts/email/", "/no-such-page"]
)
def test_replies_are_private(alice_client: Client, path: str) -> None:
    assert "private" in alice_client.get(path)["Cache-Control"]


def test_static_files_may_be_kept(client: Client) -> None:
    reply = client.get("/static/css/base.css")
    assert b"".join(reply.streaming_content)  # reading to the end closes the file
    assert "public" in reply["Cache-Control"]
