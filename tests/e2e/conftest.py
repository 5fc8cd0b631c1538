"""A browser, and a server as people start it: `mundap up` in a home of its own.

On its shelf is one small page of documentation, and the scripted model writes the answers.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from tests.oidc_provider import Provider, provided
from tests.scripted_model import ScriptedModel

PASSWORD = "correct horse battery staple"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TEA = """# Tea

## Green tea

To brew green tea, pour water of 80 degrees over the leaves and wait two minutes.

```python
brew("green", degrees=80)
```

## Black tea

To brew black tea, pour boiling water over the leaves and wait four minutes.
Add milk after the water, never before.
"""
QUESTION = "How do I brew green tea?"
ANSWER = (
    "Pour water of 80 degrees over the leaves and wait two minutes [1].\n\n"
    '```python\nbrew("green", degrees=80)\n```\n\nThat is all.'
)
INGEST_OPTIONS = ["--slug", "tea", "--title", "Tea", "--base-url", "https://docs.example.org/"]
MUNDAP = [sys.executable, "-m", "mundap.cli.main"]
START_SECONDS = 90
WAIT_MS = 30_000  # at most, also on a busy machine
expect.set_options(timeout=WAIT_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here: `make test` runs without a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def e2e_model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as server:
        yield server


@pytest.fixture(scope="session")
def school() -> Iterator[Provider]:
    """Where people may log in instead."""
    with provided() as provider:
        yield provider


@pytest.fixture(scope="session")
def _environment(
    tmp_path_factory: pytest.TempPathFactory, e2e_model: ScriptedModel, school: Provider
) -> dict[str, str]:
    return environment_for(tmp_path_factory.mktemp("home"), e2e_model) | {
        "MUNDAP_OIDC_NAME": "Our school",
        "MUNDAP_OIDC_CLIENT_ID": "client",
        "MUNDAP_OIDC_CLIENT_SECRET": "secret",
        "MUNDAP_OIDC_ISSUER": school.url,
    }


def environment_for(home: Path, model: ScriptedModel) -> dict[str, str]:
    """Return what the server is started with: nothing of the tests' own parts."""
    own = ("MUNDAP_", "OPENAI_", "EMAIL_", "DATABASE_", "REDIS_", "DJANGO_", "SECRET_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return inherited | {
        "MUNDAP_HOME": str(home),
        "MUNDAP_EMBEDDING_BASE_URL": model.url,
        "MUNDAP_EMBEDDING_API_KEY": "test",
        "MUNDAP_EMBEDDING_MODEL": "embedder",
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "test",
        "MUNDAP_CHAT_MODEL": "scripted",
        "MUNDAP_THROTTLE_TURNS": "1000/min",
        "MUNDAP_THROTTLE_USER": "10000/min",
        "MUNDAP_THROTTLE_ADDRESS": "10000/min",
        "MUNDAP_TRUSTED_PROXIES": "1",  # so that each person comes from an address of their own
    }


class Up:
    """`mundap up` at one address, which can be killed and started again."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self._folder = folder
        self._log = folder.with_suffix(".log")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it is ready."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*MUNDAP, "up", "--port", str(self._port), "--no-shelf"],
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        pytest.fail(f"the server did not start:\n{self._log.read_text()}")

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it as one does."""
        assert self._process
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()

    def ingest(self, *options: str) -> None:
        """Read the folder's documents."""
        subprocess.run(
            [*MUNDAP, "ingest", f"dir:{self._folder}", *(options or INGEST_OPTIONS)],
            env=self.environment,
            cwd=self._folder,
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )


@pytest.fixture(scope="session")
def up(_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running server with tea on its shelf."""
    documents = tmp_path_factory.mktemp("documents")
    (documents / "tea.md").write_text(TEA, encoding="utf-8")
    running = Up(_environment, documents)
    try:
        running.start()
        running.ingest()
        yield running
    finally:
        running.stop()


def own_address() -> str:
    """Return an address that nobody else signs up from: there is a limit for each."""
    return str(IPv4Address(0x0A000000 + uuid4().int % 0xFFFFFF))


@pytest.fixture(scope="session")
def server(up: Up) -> str:
    """Its address."""
    return up.url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail("The browser tests need Chromium: install it, or name it with CHROMIUM=/path.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


class Watched:
    """A page whose console, errors and requests are watched; `expected` are parts of messages that may come."""

    def __init__(self, context: BrowserContext, server: str) -> None:
        self.expected: list[str] = []
        self.complaints: list[str] = []
        self.asked: list[Request] = []
        self.server = server
        self.context = context
        self.token = ""
        self.page = self.open()

    def open(self) -> Page:
        """Return a new tab, which is watched as well."""
        page = self.context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self._complain("error", str(error)))
        page.on("dialog", lambda dialog: self._complain("error", f"dialog {dialog.message}"))
        page.on("request", self._note)
        return page

    def sign_up(self) -> Page:
        """Return the page at the first question, signed in as somebody new."""
        account = {"email": f"{uuid4().hex[:12]}@example.org", "password": PASSWORD}
        reply = self.context.request.post(
            f"{self.server}/_allauth/app/v1/auth/signup",
            data=account,
            headers={"X-Forwarded-For": own_address()},
        )
        # A program's session token is the session's key.
        self.token = reply.json()["meta"]["session_token"]
        cookie = {"name": "sessionid", "value": self.token}
        self.context.add_cookies([{**cookie, "url": self.server}])
        self.page.goto(f"{self.server}/")
        return self.page

    def _complain(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _note(self, request: Request) -> None:
        self.asked.append(request)
        if not request.url.startswith((self.server, "data:", "about:")):
            self.complaints.append(f"request to {request.url}")

    def posts(self) -> list[Request]:
        """Return the questions that were sent."""
        return [
            request
            for request in self.asked
            if request.method == "POST" and request.url.endswith("/ask/")
        ]

    def unexpected(self) -> list[str]:
        """Return the complaints that no test announced."""
        return [text for text in self.complaints if not any(part in text for part in self.expected)]


def script(model: ScriptedModel, answer: str, *, hold_after: int | None = None) -> None:
    """Let the model first write what to search for, and then the answer."""
    model.reset()
    model.say("brewing green tea")
    model.say(answer, hold_after=hold_after)


def ask(page: Page, text: str = QUESTION) -> None:
    expect(page.locator("#send")).to_be_visible()  # nothing is being written
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


@pytest.fixture
def watched(
    browser: Browser, server: str, e2e_model: ScriptedModel, request: pytest.FixtureRequest
) -> Iterator[Watched]:
    """A new person's page, signed up, in a fresh profile; `@pytest.mark.parametrize` may give its options."""
    e2e_model.reset()
    options = getattr(request, "param", {})
    context = browser.new_context(**({"locale": "en-US"} | options))
    watched = Watched(context, server)
    yield watched
    e2e_model.reset()
    context.close()
    assert watched.unexpected() == []
