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
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

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
INGEST_OPTIONS = ["--slug", "tea", "--title", "Tea", "--base-url", "https://docs.example.org/"]
START_SECONDS = 90


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
def _environment(
    tmp_path_factory: pytest.TempPathFactory, e2e_model: ScriptedModel
) -> dict[str, str]:
    """What the server is started with: nothing of the tests' own parts."""
    home = tmp_path_factory.mktemp("home")
    own = ("MUNDAP_", "OPENAI_", "EMAIL_", "DATABASE_", "REDIS_", "DJANGO_", "SECRET_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return inherited | {
        "MUNDAP_HOME": str(home),
        "MUNDAP_EMBEDDING_BASE_URL": e2e_model.url,
        "MUNDAP_EMBEDDING_API_KEY": "test",
        "MUNDAP_EMBEDDING_MODEL": "embedder",
        "OPENAI_BASE_URL": e2e_model.url,
        "OPENAI_API_KEY": "test",
        "MUNDAP_CHAT_MODEL": "scripted",
        "MUNDAP_THROTTLE_TURNS": "1000/min",
        "MUNDAP_THROTTLE_USER": "10000/min",
        "MUNDAP_THROTTLE_ADDRESS": "10000/min",
    }


@pytest.fixture(scope="session")
def server(_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server with tea on its shelf."""
    documents = tmp_path_factory.mktemp("documents")
    (documents / "tea.md").write_text(TEA, encoding="utf-8")
    log_path = tmp_path_factory.mktemp("log") / "up.log"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    mundap = [sys.executable, "-m", "mundap.cli.main"]
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [*mundap, "up", "--port", str(port), "--no-shelf"],
            env=_environment,
            stdout=log,
            stderr=log,
            cwd=documents,
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, log_path)
            subprocess.run(
                [*mundap, "ingest", f"dir:{documents}", *INGEST_OPTIONS],
                env=_environment,
                cwd=documents,
                check=True,
                capture_output=True,
                timeout=START_SECONDS,
            )
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text()}")


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
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", lambda message: self._complain(message.type, message.text))
        self.page.on("pageerror", lambda error: self._complain("error", str(error)))
        self.page.on("request", self._note)

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
            if request.method == "POST" and "/api/v1/chats/" in request.url
        ]

    def unexpected(self) -> list[str]:
        """Return the complaints that no test announced."""
        return [text for text in self.complaints if not any(part in text for part in self.expected)]


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
