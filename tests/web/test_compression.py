"""What is sent compressed, and what is not."""

from __future__ import annotations

import gzip

import pytest
from django.test import Client

GZIP = {"Accept-Encoding": "gzip"}


def body(response) -> bytes:
    return b"".join(response) if response.streaming else response.content


@pytest.mark.parametrize("name", ["css/base.css", "js/page.js", "img/mark.svg"])
def test_a_static_file_is_the_same_compressed_and_plain(client: Client, name: str) -> None:
    plain = client.get(f"/static/{name}")
    packed = client.get(f"/static/{name}", headers=GZIP)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Length"] == str(len(packed.content))
    assert gzip.decompress(packed.content) == body(plain)
    for response in (plain, packed):
        assert "Accept-Encoding" in response.headers["Vary"]
        assert response.headers["ETag"] == plain.headers["ETag"]
    known = client.get(f"/static/{name}", headers=GZIP | {"If-None-Match": plain.headers["ETag"]})
    assert known.status_code == 304


def test_what_is_compressed_already_is_sent_as_it_is(client: Client) -> None:
    response = client.get(
        "/static/drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png", headers=GZIP
    )
    assert response.status_code == 200
    assert "Content-Encoding" not in response.headers
    body(response)


def test_pages_are_compressed_and_json_is_not(client: Client, db: None) -> None:
    page = client.get("/accounts/login/", headers=GZIP)
    assert page.headers["Content-Encoding"] == "gzip"
    assert b"</html>" in gzip.decompress(page.content)
    assert "Content-Encoding" not in client.get("/api/schema/", headers=GZIP).headers
