"""An OpenID Connect provider on a real socket, which knows one person and takes one code."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.serving import Quiet, in_thread


class Provider(ThreadingHTTPServer):
    """The server, and what it was asked last."""

    person: dict[str, Any] = {}
    asked: dict[str, list[str]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def front(self) -> str:
        """Where people log in: another origin than the issuer's, as with many providers."""
        return f"http://localhost:{self.server_address[1]}"


class Replies(Quiet, BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        url = self.server.url
        known = {
            "token_endpoint": f"{url}/token",
            "authorization_endpoint": f"{self.server.front}/authorize",
        }
        if "/authorize?" in self.path:
            self.send_back()
        elif "well-known" in self.path:
            self.reply({"issuer": url, "userinfo_endpoint": f"{url}/me", "jwks_uri": url} | known)
        elif self.headers["Authorization"] == "Bearer access":
            self.reply(self.server.person)

    def do_POST(self) -> None:
        self.server.asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.reply({"access_token": "access", "token_type": "Bearer"})

    def send_back(self) -> None:
        """Know the person at once."""
        asked = parse_qs(urlsplit(self.path).query)
        query = urlencode({"code": "one", "state": asked["state"][0]})
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri'][0]}?{query}")
        self.end_headers()

    def reply(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def provided() -> AbstractContextManager[Provider]:
    """Serve until the block ends."""
    return in_thread(Provider(("127.0.0.1", 0), Replies))
