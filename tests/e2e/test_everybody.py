"""For everybody: axe finds nothing on any page in either theme; small screens, large type, the keyboard alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import Watched, ask, script
from tests.e2e.page_names import SIGNED_IN, SIGNED_OUT
from tests.scripted_model import ScriptedModel

HERE = Path(__file__).parent / "axe"
RICH = (
    "Use **water of 80 degrees** [1]:\n\n- pour it over the leaves\n\n"
    '```python\nbrew("green", degrees=80)  # never hotter\n```\n\n'
    "| Tea | Minutes |\n|---|---|\n| green | 2 |\n\nMilk cures every illness of the heart [2]."
)
VIOLATIONS = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.map(
    ({id, nodes}) => [id, nodes.slice(0, 3).map((node) => node.html)])"""


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
def reader(browser: Browser, server: str, e2e_model: ScriptedModel) -> Iterator[Watched]:
    """Somebody with a chat whose question has two versions, one of them with an answer that has everything in it."""
    # Without motion: what fades in has another contrast on the way.
    context = browser.new_context(
        locale="en-US", viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
    )
    watched = Watched(context, server)
    page = watched.sign_up()
    script(e2e_model, RICH)
    ask(page)
    expect(page.locator(".answer .actions")).to_be_visible()
    page.get_by_role("button", name="Answer anew").click()
    expect(page.locator(".answer .versions")).to_be_visible()
    yield watched
    context.close()


def addresses(watched: Watched) -> dict[str, str]:
    """Return what stands for the names in the addresses."""
    chats = watched.context.request.get(f"{watched.server}/api/v1/chats/").json()["results"]
    found = watched.context.request.get(f"{watched.server}/api/v1/chats/{chats[0]['id']}/").json()
    answer = found["messages"][1]
    passage = answer["citations"][0]["passage"]
    return {"chat": found["id"], "message": answer["id"], "passage": passage}


def judged(watched: Watched, axe: str, path: str) -> list[Any]:
    """Return what is wrong with a page in either theme."""
    page = watched.page
    found = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.goto(watched.server + path)
        page.evaluate(axe)
        found += [(theme, *violation) for violation in page.evaluate(VIOLATIONS)]
    return found


@pytest.mark.parametrize("name", SIGNED_IN)
def test_axe_finds_nothing(reader: Watched, axe: str, name: str) -> None:
    assert judged(reader, axe, SIGNED_IN[name].format(**addresses(reader))) == []


@pytest.mark.parametrize("name", SIGNED_OUT)
def test_axe_finds_nothing_before_one_has_logged_in(watched: Watched, axe: str, name: str) -> None:
    assert judged(watched, axe, SIGNED_OUT[name]) == []


def test_axe_finds_nothing_while_somebody_reads_and_edits(reader: Watched, axe: str) -> None:
    page = reader.page
    page.goto(f"{reader.server}/chats/{addresses(reader)['chat']}/")
    page.get_by_role("button", name="Not helpful").click()
    expect(page.locator(".why[open]")).to_be_visible()
    page.locator(".edit summary").click()
    page.locator(".prose .citation").first.click()
    expect(page.locator("#pane mark").first).to_be_visible()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(axe)
        assert page.evaluate(VIOLATIONS) == []


@pytest.mark.parametrize(
    ("width", "zoom"), [(320, 1), (640, 2)], ids=["a narrow phone", "twice the size"]
)
def test_nothing_is_cut_off(reader: Watched, width: int, zoom: int) -> None:
    page = reader.page
    page.set_viewport_size({"width": width, "height": 640})
    names = addresses(reader)
    for path in SIGNED_IN.values():
        page.goto(reader.server + path.format(**names))
        page.evaluate(f"document.documentElement.style.zoom = {zoom}")
        wide = page.evaluate(
            "document.documentElement.scrollWidth / document.documentElement.clientWidth"
        )
        assert wide <= 1.001, path


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
