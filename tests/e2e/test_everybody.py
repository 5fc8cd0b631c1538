"""For everybody: axe finds nothing on any page in either theme; small screens, large type, the keyboard alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.e2e.conftest import MUNDAP, PASSWORD, Watched, ask, script
from tests.e2e.page_names import ADMINISTRATION, SIGNED_IN, SIGNED_OUT
from tests.scripted_model import ScriptedModel

HERE = Path(__file__).parent / "axe"
RICH = (
    "Use **water of 80 degrees** [1]:\n\n- pour it over the leaves\n\n"
    '```python\nbrew("green", degrees=80)  # never hotter\n```\n\n'
    "| Tea | Minutes |\n|---|---|\n| green | 2 |\n\nMilk cures every illness of the heart [2]."
)
VIOLATIONS = """async (rules) => (await axe.run(document, {resultTypes: ["violations"], ...rules})).violations.map(
    ({id, nodes}) => [id, nodes.slice(0, 3).map((node) => node.html)])"""
# What may differ between the themes.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
# Lines of a page that have words of English and none of Korean; what documents and people wrote is their own.
ENGLISH = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const theirs = "code, pre, kbd, .prose, .text, .whole, .question, .side li, .entry h3, h1, h2, [lang=en], .trail"
        + ", .brand, .sources, .topics, #rows";
    const found = [];
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim();
        const at = walker.currentNode.parentElement;
        if (/[a-z]{2,} [a-z]{2,}/i.test(text) && !/[가-힣]/.test(text) && !at.closest(theirs) && at.checkVisibility())
            found.push(text);
    }
    return found;
}"""
ADMIN = "reader@example.org"
DESK: ViewportSize = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def axe() -> str:
    """The script that judges a page."""
    if not shutil.which("npm"):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("Left out: the tests with axe need Node with npm.")
    script_file = HERE / "node_modules" / "axe-core" / "axe.min.js"
    command = ["npm", "ci", "--prefer-offline", "--loglevel=error"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return script_file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def _reader(
    browser: Browser, server: str, e2e_model: ScriptedModel, _environment: dict[str, str]
) -> Iterator[Watched]:
    """Staff with a chat whose question has two versions, one of them with an answer that has everything in it."""
    subprocess.run(
        [*MUNDAP, "create-admin", ADMIN],
        env=_environment | {"MUNDAP_ADMIN_PASSWORD": PASSWORD},
        check=True,
        capture_output=True,
        timeout=60,
    )
    # Without motion: what fades in has another contrast on the way.
    context = browser.new_context(locale="en-US", viewport=DESK, reduced_motion="reduce")
    watched = Watched(context, server)
    page = watched.page
    page.goto(f"{server}/accounts/login/")
    page.locator("input[type=email]").fill(ADMIN)
    page.locator("input[type=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server}/")  # and for its scripts: they take the Enter that sends
    script(e2e_model, RICH)
    ask(page)
    expect(page.locator(".answer .actions")).to_be_visible()
    page.get_by_role("button", name="Answer anew").click()
    expect(page.locator(".answer .versions")).to_be_visible()
    yield watched
    context.close()


@pytest.fixture
def reader(_reader: Watched) -> Watched:
    """The same one each time, in English at a desk, whatever a test before has chosen."""
    english = {"name": "django_language", "value": "en", "url": _reader.server}
    _reader.context.add_cookies([english])
    _reader.page.set_viewport_size(DESK)
    return _reader


@pytest.fixture(scope="module")
def addresses(_reader: Watched) -> dict[str, str]:
    """What stands for the names in the addresses."""
    page = _reader.page
    chat = page.url.rstrip("/").rpartition("/")[2]
    found = page.request.get(f"{_reader.server}/api/v1/chats/{chat}/").json()
    answer = found["messages"][1]
    page.goto(f"{_reader.server}/chats/{chat}/manage/")
    page.get_by_role("button", name="Share a copy by a link").click()
    shared = page.locator("input.link").input_value().removeprefix(_reader.server)
    page.goto(f"{_reader.server}/shelf/tea/")
    links = {part: page.locator(f"[data-part={part}] tbody a") for part in ("documents", "runs")}
    return {
        "chat": chat,
        "message": answer["id"],
        "passage": answer["citations"][0]["passage"],
        "shared": shared,
        "document": links["documents"].first.get_attribute("href") or "",
        "run": links["runs"].first.get_attribute("href") or "",
    }


def judged(watched: Watched, axe: str, path: str) -> list[Any]:
    """Return what is wrong with a page in either theme."""
    page = watched.page
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(watched.server + path)
    page.evaluate(axe)
    found = [("light", *violation) for violation in page.evaluate(VIOLATIONS, {})]
    page.emulate_media(color_scheme="dark")
    return found + [("dark", *violation) for violation in page.evaluate(VIOLATIONS, COLOURS)]


@pytest.mark.parametrize("name", SIGNED_IN)
def test_axe_finds_nothing(reader: Watched, axe: str, addresses: dict[str, str], name: str) -> None:
    assert judged(reader, axe, SIGNED_IN[name].format(**addresses)) == []


@pytest.mark.parametrize("name", ADMINISTRATION)
def test_axe_finds_nothing_where_staff_are(
    reader: Watched, axe: str, addresses: dict[str, str], name: str
) -> None:
    path = ADMINISTRATION[name].format(**addresses)
    before = reader.unexpected()  # axe itself adds a style to a page, which the policy stops
    reader.page.goto(reader.server + path)
    assert reader.unexpected() == before
    assert judged(reader, axe, path) == []


@pytest.mark.parametrize("name", SIGNED_OUT)
def test_axe_finds_nothing_before_one_has_logged_in(
    watched: Watched, axe: str, addresses: dict[str, str], name: str
) -> None:
    assert judged(watched, axe, SIGNED_OUT[name].format(**addresses)) == []


def test_axe_finds_nothing_while_somebody_reads_and_edits(
    reader: Watched, axe: str, addresses: dict[str, str]
) -> None:
    page = reader.page
    page.goto(f"{reader.server}/chats/{addresses['chat']}/")
    page.get_by_role("button", name="Not helpful").click()
    expect(page.locator(".why[open]")).to_be_visible()
    page.locator(".edit summary").click()
    page.locator(".prose .citation").first.click()
    expect(page.locator("#pane mark").first).to_be_visible()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(axe)
        assert page.evaluate(VIOLATIONS, {}) == []


@pytest.mark.parametrize(
    ("width", "zoom", "language"),
    [(320, 1, "ko"), (640, 2, "en")],
    ids=["a narrow phone in Korean", "twice the size"],
)
def test_nothing_is_cut_off(
    reader: Watched, addresses: dict[str, str], width: int, zoom: int, language: str
) -> None:
    page = reader.page
    page.set_viewport_size({"width": width, "height": 640})
    chosen = {"name": "django_language", "value": language, "url": reader.server}
    reader.context.add_cookies([chosen])
    wrong = []
    for path in (SIGNED_IN | SIGNED_OUT | ADMINISTRATION).values():
        page.goto(reader.server + path.format(**addresses))
        assert page.evaluate("document.documentElement.lang") == language
        wrong += page.evaluate(ENGLISH) if language == "ko" else []
        page.evaluate(f"document.documentElement.style.zoom = {zoom}")
        wide = page.evaluate(
            "document.documentElement.scrollWidth / document.documentElement.clientWidth"
        )
        wrong += [path] if wide > 1.001 else []
    assert wrong == []


@pytest.mark.parametrize(
    "watched", [{"viewport": {"width": 320, "height": 640}, "has_touch": True}], indirect=True
)
def test_the_drawer_is_the_same_everywhere(watched: Watched) -> None:
    page = watched.sign_up()
    for path in ("/", "/chats/", "/shelf/", "/settings/"):
        page.goto(watched.server + path)
        expect(page.locator("#side")).to_be_hidden()
        page.get_by_role("button", name="Menu").press("Enter")
        expect(page.get_by_role("link", name="New question")).to_be_visible()
        page.locator(".me").press("Enter")
        expect(page.get_by_role("button", name="Log out")).to_be_in_viewport()
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        expect(page.locator("#side")).to_be_hidden()
    # A tablet that is turned while it is open keeps the page in its place.
    page.get_by_role("button", name="Menu").press("Enter")
    size = page.viewport_size
    assert size
    page.set_viewport_size({"width": 1000, "height": 600})
    place = page.locator(".talk").bounding_box()
    assert place
    assert place["width"] > 700
    page.set_viewport_size(size)
    # All sections of the settings stay in one row, in sight.
    tabs = [tab.bounding_box() for tab in page.locator(".sections nav a").all()]
    assert len({box["y"] for box in tabs if box}) == 1
    assert max(box["x"] + box["width"] for box in tabs if box) <= 320


def test_the_keyboard_is_enough(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, RICH)
    page = watched.sign_up()
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("How do I brew green tea?")
    page.keyboard.press("Enter")
    expect(page.locator(".answer .actions")).to_be_visible()
    reached = []
    for _press in range(60):
        page.keyboard.press("Shift+Tab")
        reached.append(
            page.evaluate(
                "[document.activeElement].map((at) => at.ariaLabel ?? at.textContent.trim())[0]"
            )
        )
        ring = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none", reached[-1]
        if reached[-1] == "Edit the question":
            break
    wanted = ("Answer anew", "Not helpful", "Helpful", "Copy the answer", "Open all", "Copy")
    assert [name for name in reached if name in wanted] == list(wanted)
    assert any(name.startswith("Source 1") for name in reached)


@pytest.mark.parametrize("watched", [{"reduced_motion": "reduce"}], indirect=True)
def test_who_wants_no_motion_sees_none(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, RICH, hold_after=0)
    page = watched.sign_up()
    ask(page)
    expect(page.locator(".answer .waiting")).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0
