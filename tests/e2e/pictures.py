"""Makes the pictures of docs/images again: `.venv/bin/python -m tests.e2e.pictures [FOLDER [--every]]`.

A server of its own with a small shelf, the scripted model, and Chromium without motion. Every page is shown twice: on
a desk by day in English, and, with `-phone` in its name, on a phone by night in Korean. With `--every`, more pages are,
on both, by day and by night, in both languages: too many to keep, but to be looked at.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

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
from tests.e2e.picture_texts import (
    ASKED_IN_VAIN,
    CACHE,
    CHATS,
    HANDBOOK,
    LECTURES,
    QUESTIONS,
    REVIEW,
    UNANSWERED,
)
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
# A run that is halfway: the other pages are those of a worker that lives and does nothing.
RUN = """
from datetime import timedelta
from django.utils import timezone
from mundap.accounts.models import User
from mundap.library.models import Collection, Run, RunPage, Worker
paths = ["about", "bugs", "c-api/abstract", "c-api/allocation", "c-api/arg", "c-api/buffer"]
paths += [f"library/{{n}}" for n in range(491)]
made, is_new = Collection.objects.get_or_create(
    slug="python", defaults=dict(
        title="Python", version="3.14", title_no=3, visibility="everyone", language="en",
        source="sphinx:https://docs.python.org/3/",
    )
)
if is_new:
    now = timezone.now()
    worker = Worker.objects.create(name="b", is_command=False, seen_at=now + timedelta(days=1))
    asked = User.objects.get(email={email!r})
    run = Run.objects.create(
        collection=made, trigger="person", requested_by=asked, state="reading", worker=worker, started_at=now
    )
    RunPage.objects.bulk_create(
        RunPage(
            run=run, path=f"{{path}}.html", url=f"https://docs.python.org/3/{{path}}.html",
            state="added" if n < 212 else "reading", worker=worker,
        )
        for n, path in enumerate(paths)
    )
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
# A month of a class: what it asked in vain, and what the model took.
CLASS = """
from datetime import timedelta
from decimal import Decimal
from django.utils import timezone
from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, ModelUsage, Turn
from mundap.library.models import Collection
django, now = Collection.objects.get(slug="django"), timezone.now()
if not ModelUsage.objects.filter(user__email="student-1@example.org"):
    people = [User.objects.create(email=f"student-{{n}}@example.org") for n in range(1, 7)]
    for n, text in enumerate({asked!r}):
        chat = Chat.objects.create(owner=people[n % 6], collection=django, title=text)
        at = now - timedelta(hours=5 * n)
        turn = Turn.objects.create(
            chat=chat, owner=chat.owner, idempotency_key=text, request_hash=b"", runner="", lease_until=at,
            status="complete", finished_at=at, retrieval={{"is_answered": False}},
        )
        turn.question, turn.answer = (
            Message.objects.create(chat=chat, turn=turn, position=position, role=role, text=text)
            for position, role in enumerate(("user", "assistant"))
        )
        turn.save()
    ModelUsage.objects.bulk_create(
        ModelUsage(
            day=now.date() - timedelta(days=back), user=person, model="qwen3:8b", purpose=purpose,
            questions=asked if purpose == "answer" else 0, calls=asked, input_tokens=each * asked,
            output_tokens=each * asked // 9, cost=Decimal(each * asked) / 2_000_000,
        )
        for back in range(21)
        for place, person in enumerate(people)
        if (asked := (back * 5 + place * 3) % 8)
        for purpose, each in (("answer", 4100), ("queries", 450))
    )
"""


@dataclass(frozen=True)
class View:
    """A window and a theme, and what a picture of it has behind its name."""

    suffix: str
    width: int
    height: int
    theme: Literal["light", "dark"]


@dataclass(frozen=True)
class Look:
    """Somebody who looks at the pages."""

    language: str
    locale: str
    email: str
    views: tuple[View, ...]


DAY_ON_A_DESK = View("", 1280, 800, "light")
NIGHT_ON_A_PHONE = View("-phone", 390, 780, "dark")
ENGLISH = Look("en", "en-US", "ada@example.org", (DAY_ON_A_DESK,))
KOREAN = Look("ko", "ko-KR", "minji@example.org", (NIGHT_ON_A_PHONE,))
# Pages that are only looked at.
OTHERS = {
    "reset": "/accounts/password/reset/",
    "password": "/accounts/password/change/",
    "second-step": "/accounts/2fa/",
    "turn-it-on": "/accounts/2fa/totp/activate/",
    "elsewhere": "/accounts/3rdparty/",
    "address": "/settings/address/",
    "log-out": "/accounts/logout/",
    "keys": "/help/",
    "nothing-there": "/nowhere/",
    "evaluations": "/evaluations/",
    "outline": "/collections/django/summary/",
    "collection-settings": "/shelf/django/settings/",
    "collection-delete": "/shelf/django/delete/",
}


def in_every_view(look: Look) -> Look:
    """Return the same person in each window and theme."""
    views = (
        replace(view, suffix=f"-{name}-{theme}-{look.language}", theme=theme)
        for name, view in (("desk", DAY_ON_A_DESK), ("phone", NIGHT_ON_A_PHONE))
        for theme in ("light", "dark")
    )
    return replace(look, views=tuple(views))


@dataclass
class Visit:
    """Somebody's browser, whose pictures are kept."""

    watched: Watched
    look: Look
    model: ScriptedModel
    up: Up
    folder: Path

    @property
    def page(self) -> Page:
        return self.watched.page

    def go(self, path: str) -> None:
        self.page.goto(self.watched.server + path)

    def keep(self, name: str) -> None:
        """Keep a picture of what is seen now, in each view."""
        self.page.evaluate("document.activeElement.blur()")
        for view in self.look.views:
            self.page.emulate_media(color_scheme=view.theme)
            self.page.set_viewport_size({"width": view.width, "height": view.height})
            picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
            file = self.folder / f"{name}{view.suffix}.png"
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
    # Nothing is near it: no answer is asked for.
    said(visit, question, "deploy kubernetes", title, title=title)
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
    for name, path in (
        ("preferences", ""),
        ("security", "security/"),
        ("usage", "usage/"),
        ("data", "data/"),
    ):
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
    mundap(visit.up, "shell", "-c", RUN.format(email=visit.look.email))
    visit.go("/shelf/")
    visit.keep("shelf")
    visit.go("/shelf/django/")
    visit.keep("shelf-collection")
    page.locator("[data-part=documents] tbody a").first.click()
    expect(page.locator(".passages .text").first).to_be_visible()
    visit.keep("shelf-document")
    visit.go("/shelf/django/search/?q=redis")
    visit.keep("shelf-search")
    visit.go("/shelf/python/")
    page.locator("[data-part=runs] a").first.click()
    expect(page.locator("[data-part=pages] tbody tr").first).to_be_visible()
    visit.keep("shelf-run")
    visit.go("/add/source/")
    page.locator("#source").fill("sphinx:https://docs.celeryq.dev/en/stable/")
    visit.keep("shelf-source")


def upload(visit: Visit) -> None:
    """Catch files on their way, over a slow line."""
    page = visit.page
    visit.go("/add/files/")
    page.locator("#title").fill(LECTURES[visit.look.language])
    text = b"# Lecture\n\nText.\n"
    sizes = {"lecture-1.md": 1, "lecture-2.md": 20_000, "slides.zip": 10, "cover.png": 1}
    page.locator("#files").set_input_files(
        [
            {"name": name, "mimeType": "application/octet-stream", "buffer": text * times}
            for name, times in sizes.items()
        ]
    )
    line = visit.watched.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 80_000}
    line.send("Network.emulateNetworkConditions", slow)
    page.locator("form.upload button.is-main").click()
    expect(page.locator(".sent .outcome").nth(1)).to_have_text(re.compile(r"^[2-6]\d %"))
    page.locator("#title").scroll_into_view_if_needed()
    visit.keep("shelf-upload")


def administration(visit: Visit) -> None:
    mundap(visit.up, "shell", "-c", CLASS.format(asked=ASKED_IN_VAIN))
    for name, path in (
        ("overview", "/admin/"),
        ("unanswered", "/shelf/django/unanswered/"),
        ("usage", "/admin/usage/"),
    ):
        visit.go(path)
        visit.keep(f"administration-{name}")


def others(visit: Visit) -> None:
    for name, path in OTHERS.items():
        visit.go(path)
        visit.keep(name)
    visit.go("/")
    if visit.page.locator(".open-side").is_visible():
        visit.page.locator(".open-side").click()
    visit.page.locator(".me").click()
    visit.keep("menu")


PARTS: tuple[Callable[[Visit], None], ...] = (
    before_log_in,
    log_in,
    conversation,
    chats,
    settings,
    shelf,
    upload,
    administration,
)


def show(browser: Browser, visit_as: tuple[Look, ScriptedModel, Up, Path]) -> None:
    """Walk through all pages as one person."""
    look, model, up, folder = visit_as
    view = look.views[0]
    context = browser.new_context(
        reduced_motion="reduce",
        locale=look.locale,
        color_scheme=view.theme,
        viewport={"width": view.width, "height": view.height},
    )
    visit = Visit(Watched(context, up.url), look, model, up, folder)
    for part in PARTS if len(look.views) == 1 else (*PARTS, others):
        part(visit)
    context.close()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with ScriptedModel() as model, served(model) as up, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for look in (ENGLISH, KOREAN):
            mundap(up, "create-admin", look.email)
            seed = SEED.format(email=look.email, titles=CHATS[look.language])
            mundap(up, "shell", "-c", seed)
            seen = in_every_view(look) if "--every" in sys.argv else look
            show(browser, (seen, model, up, folder))
        browser.close()


if __name__ == "__main__":
    main()
