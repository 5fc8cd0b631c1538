"""Makes the pictures of docs/images again: `.venv/bin/python -m tests.e2e.pictures [FOLDER]`.

A server of its own with a small shelf, the scripted model, and Chromium without motion. Every page is shown twice: on a
desk by day in English, and, with `-phone` in its name, on a phone by night in Korean.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import (
    ARGUMENTS,
    CHROMIUM,
    MUNDAP,
    PASSWORD,
    Up,
    Watched,
    ask,
    environment_for,
)
from tests.e2e.picture_texts import CACHE, CHATS, HANDBOOK, QUESTIONS, REVIEW, UNANSWERED
from tests.scripted_model import ScriptedModel

FOLDER = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 150_000
COLORS = 256  # a page has few; a picture is a third as large
DJANGO = "https://docs.djangoproject.com/en"
SHELF = (
    ("cache.md", CACHE, "--slug=django-4-2 --family=django --title=Django --title-no=2", "4.2"),
    (
        "cache.md",
        CACHE,
        "--slug=django --family=django --title=Django --title-no=1 --current",
        "5.2",
    ),
    (
        "handbook.md",
        HANDBOOK,
        "--slug=handbook --category=TEAM --title=팀_안내서 --language=ko",
        "",
    ),
    ("review.md", REVIEW, "--slug=review --category=TEAM --title=Code_review_guide", ""),
)
VERSIONS = """
from mundap.library.models import Collection
Collection.objects.filter(slug="django").update(version="5.2", source="pypi:django==5.2.19#docs")
Collection.objects.filter(slug="django-4-2").update(version="4.2")
"""
SEED = """
from datetime import timedelta
from django.utils import timezone
from mundap.accounts.models import User
from mundap.chats.models import Chat
owner = User.objects.get(email={email!r})
now = timezone.now()
Chat.objects.bulk_create(
    Chat(owner=owner, title=title, updated_at=now - timedelta(hours=1 + 9 * n), pinned=not n)
    for n, title in enumerate({titles!r})
)
"""


@dataclass(frozen=True)
class Look:
    """How somebody sees the pages."""

    suffix: str
    language: str
    email: str
    options: dict[str, Any]


LOOKS = (
    Look(
        "",
        "en",
        "ada@example.org",
        {
            "locale": "en-US",
            "color_scheme": "light",
            "viewport": {"width": 1280, "height": 800},
        },
    ),
    Look(
        "-phone",
        "ko",
        "minji@example.org",
        {
            "locale": "ko-KR",
            "color_scheme": "dark",
            "viewport": {"width": 390, "height": 780},
        },
    ),
)


@dataclass
class Visit:
    """Somebody's browser, whose pictures are kept."""

    watched: Watched
    look: Look
    model: ScriptedModel
    folder: Path

    @property
    def page(self) -> Page:
        return self.watched.page

    def go(self, path: str) -> None:
        self.page.goto(self.watched.server + path)

    def keep(self, name: str) -> None:
        """Keep a picture of what is seen now."""
        self.page.evaluate("document.activeElement.blur()")
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        file = self.folder / f"{name}{self.look.suffix}.png"
        picture.quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            file, optimize=True
        )
        if file.stat().st_size > MOST_BYTES:
            sys.exit(f"{file} has {file.stat().st_size} bytes, more than {MOST_BYTES}")


@contextmanager
def served(model: ScriptedModel) -> Iterator[Up]:
    folder = Path(tempfile.mkdtemp(prefix="mundap-pictures-"))
    folder.chmod(0o711)
    # The local embedding model: what is doubted in the pictures is what would be.
    environment = environment_for(folder / "home", model)
    chosen = {name: text for name, text in environment.items() if "EMBEDDING" not in name}
    documents = folder / "documents"
    documents.mkdir()
    up = Up(chosen, documents)
    try:
        up.start()
        for file, text, options, version in SHELF:
            for old in documents.iterdir():
                old.unlink()
            (documents / file).write_text(text, encoding="utf-8")
            at = [f"--base-url={DJANGO}/{version}/topics/"] if version else []
            up.ingest(*(option.replace("_", " ") for option in options.split()), *at)
        mundap(up, "shell", "-c", VERSIONS)
        yield up
    finally:
        up.stop()
        shutil.rmtree(folder, ignore_errors=True)


def mundap(up: Up, *arguments: str) -> None:
    subprocess.run(
        [*MUNDAP, *arguments],
        env=up.environment | {"MUNDAP_ADMIN_PASSWORD": PASSWORD},
        check=True,
        capture_output=True,
        timeout=60,
    )


def before_log_in(visit: Visit) -> None:
    for name, path in (("log-in", "login"), ("sign-up", "signup")):
        visit.go(f"/accounts/{path}/")
        visit.keep(name)


def log_in(visit: Visit) -> None:
    visit.go("/accounts/login/")
    visit.page.locator("input[type=email]").fill(visit.look.email)
    visit.page.locator("input[type=password]").fill(PASSWORD)
    visit.page.locator("main button.is-main").click()
    expect(visit.page.locator("#text")).to_be_visible()


def said(visit: Visit, question: str, *replies: str, title: str) -> None:
    """Ask a new question, and wait until the chat has its title."""
    visit.go("/")
    visit.model.reset()
    for reply in replies:
        visit.model.say(reply)
    ask(visit.page, question)
    expect(visit.page.locator(".answer .actions")).to_be_visible()
    expect(visit.page.locator("#chats a", has_text=title)).to_have_count(1, timeout=10_000)


def conversation(visit: Visit) -> None:
    visit.go("/")
    visit.keep("home")
    question, title = UNANSWERED[visit.look.language]
    said(
        visit, question, "deploy kubernetes", title, title=title
    )  # nothing is near it: no answer is asked for
    visit.keep("not-in-the-documents")
    question, text, title = QUESTIONS[visit.look.language]
    said(visit, question, "redis cache backend", text, title, title=title)
    visit.keep("conversation")
    visit.page.locator(".prose .citation").nth(2).click()
    expect(visit.page.locator("#pane mark").first).to_be_visible()
    visit.keep("answer")


def chats(visit: Visit) -> None:
    page = visit.page
    visit.go("/chats/")
    expect(page.locator("#rows li").first).to_be_visible()
    visit.keep("chats")
    title = QUESTIONS[visit.look.language][2]
    page.locator("#rows li", has=page.get_by_text(title, exact=True)).locator(".more").click()
    expect(page.locator("#manage .manage")).to_be_visible()
    page.locator("#managed form[action$='/share/'] button").click()
    url = page.locator("#managed input.link").input_value()
    visit.keep("chat-shared")
    page.goto(url)
    visit.keep("shared-copy")


def settings(visit: Visit) -> None:
    for name, path in (("preferences", ""), ("security", "security/"), ("data", "data/")):
        visit.go(f"/settings/{path}")
        visit.keep(f"settings-{name}")
    visit.go("/settings/tokens/")
    visit.page.locator("main input[type=text]").first.fill("laptop")
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#secret")).to_be_visible()
    visit.go("/settings/tokens/")
    visit.keep("settings-tokens")
    visit.go("/")
    visit.page.evaluate("document.activeElement.blur()")
    visit.page.keyboard.press("?")
    expect(visit.page.locator("#help")).to_be_visible()
    visit.keep("help")


def shelf(visit: Visit) -> None:
    page = visit.page
    visit.go("/shelf/")
    visit.keep("shelf")
    visit.go("/shelf/django/")
    visit.keep("shelf-collection")
    page.locator("[data-part=runs] a").first.click()
    expect(page.locator("[data-part=pages] tbody tr").first).to_be_visible()
    visit.keep("run")
    visit.go("/shelf/django/")
    page.locator("[data-part=documents] tbody a").first.click()
    expect(page.locator(".passages .text").first).to_be_visible()
    visit.keep("shelf-document")
    visit.go("/shelf/django/search/?q=redis")
    visit.keep("shelf-search")
    visit.go("/add/source/")
    page.locator("#source").fill("sphinx:https://docs.celeryq.dev/en/stable/")
    visit.keep("shelf-source")
    visit.go("/add/files/")
    visit.keep("add-files")


PARTS: tuple[Callable[[Visit], None], ...] = (
    before_log_in,
    log_in,
    conversation,
    chats,
    settings,
    shelf,
)


def show(browser: Browser, up: Up, visit_as: tuple[Look, ScriptedModel, Path]) -> None:
    """Walk through all pages as one person."""
    look, model, folder = visit_as
    context = browser.new_context(reduced_motion="reduce", **look.options)
    visit = Visit(Watched(context, up.url), look, model, folder)
    for part in PARTS:
        part(visit)
    context.close()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with ScriptedModel() as model, served(model) as up, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for look in LOOKS:
            mundap(up, "create-admin", look.email)
            seed = SEED.format(email=look.email, titles=CHATS[look.language])
            mundap(up, "shell", "-c", seed)
            show(browser, up, (look, model, folder))
        browser.close()


if __name__ == "__main__":
    main()
