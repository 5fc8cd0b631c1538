"""The shelf in a real browser: files are dropped, read and found; staff add a source and watch it being read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import MUNDAP, PASSWORD, Watched

READ_MS = 40_000  # a worker looks every two seconds, and then reads
STAFF = "staff@example.org"
COFFEE = "# Coffee\n\nGrind the beans shortly before brewing.\n"
# What a drop brings along can only be made in the page.
DROP = """([name, content]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([content], name));
    document.querySelector(".drop").dispatchEvent(
        new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""

LINK_COLORS = """(link) => {
    document.querySelector(".paginator").insertAdjacentHTML("beforeend", '<a href="?p=2">2</a>');
    return getComputedStyle(document.querySelector(link)).color;
}"""


def lose(*, at: int) -> Callable[[Route], None]:
    """Return what lets the request with this number get lost on its way."""
    numbers = count(1)
    return lambda route: route.abort() if next(numbers) == at else route.continue_()


def rows(page: Page) -> list[str]:
    return [" ".join(row.split()) for row in page.locator(".sent li").all_inner_texts()]


def test_files_are_dropped_read_and_found(watched: Watched) -> None:
    watched.expected = ["status of 400", "ERR_FAILED"]
    page = watched.sign_up()
    page.goto(f"{watched.server}/add/files/")
    page.locator("#title").fill("Coffee")
    # The button says what it does in the page's language, by keyboard and by mouse.
    page.get_by_label("Choose files").focus()
    with page.expect_file_chooser():
        page.keyboard.press("Space")
    with page.expect_file_chooser():
        page.locator("label", has_text="Choose files").click()
    for file in (["coffee.md", COFFEE], ["broken.zip", "PK"], ["picture.png", "x"]):
        page.evaluate(DROP, file)
    assert rows(page) == [
        "coffee.md waiting",
        "broken.zip waiting",
        "picture.png not a format that can be read",
    ]
    page.evaluate(DROP, ["lost.md", "# Lost\n\nOn its way, once."])
    page.route("**/files/", lose(at=3))
    page.get_by_role("button", name="Add", exact=True).click()
    sent = page.locator(".sent li")
    expect(sent.nth(0).locator(".outcome")).to_have_text("stored")
    expect(sent.nth(0).locator("progress")).to_have_js_property("value", 100)
    expect(sent.nth(1).locator(".outcome")).to_contain_text("archive")
    expect(sent.nth(3)).to_have_class("is-refused")
    page.get_by_role("button", name="Add", exact=True).click()
    # It is read while one looks at it.
    expect(page).to_have_url(re.compile(r"/shelf/coffee-\w+/$"))
    expect(page.locator("#state")).to_contain_text("Brought up to date", timeout=READ_MS)
    expect(page.get_by_role("link", name="Lost", exact=True)).to_be_visible()
    page.get_by_role("link", name="Coffee", exact=True).click()
    expect(page.locator(".passages .text")).to_contain_text("Grind the beans")
    page.go_back()
    page.locator("#try-q").fill("grind the beans")
    page.locator("#try-q").press("Enter")
    expect(page.locator(".passages h2").first).to_have_text("Coffee")
    page.goto(f"{watched.server}/")
    expect(page.get_by_label("Coffee")).to_be_enabled()


@pytest.mark.parametrize("watched", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_files_are_sent_by_the_form(watched: Watched) -> None:
    page = watched.sign_up()
    page.goto(f"{watched.server}/add/files/")
    page.locator("#title").fill("Coffee")
    page.locator("#files").set_input_files(
        [{"name": "coffee.md", "mimeType": "text/markdown", "buffer": COFFEE.encode()}]
    )
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("main h1")).to_contain_text("Coffee")
    page.goto(f"{watched.server}/shelf/")
    page.get_by_role("link", name="Coffee").first.click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Delete this collection").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".notice")).to_contain_text("is deleted")


def test_staff_add_a_source_and_watch_it(
    watched: Watched, _environment: dict[str, str], tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"# Page {number}\n\nText.", encoding="utf-8")
    subprocess.run(
        [*MUNDAP, "create-admin", STAFF],
        env=_environment | {"MUNDAP_ADMIN_PASSWORD": PASSWORD},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )
    page = watched.page
    page.goto(f"{watched.server}/accounts/login/?next=/add/source/")
    page.locator("input[type=email]").fill(STAFF)
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("main button.is-main").click()
    # The kinds that the typed beginning may become.
    page.locator("#source").fill("s")
    expect(page.locator("#kinds > div:visible")).to_have_count(3)
    page.goto(f"{watched.server}/admin/auth/group/add/")
    page.locator("#id_name").fill("Class 3")
    page.locator("[name=_save]").click()
    expect(page.locator(".paginator")).to_be_visible()
    # The numbers of a long list's pages are seen, as other links are.
    assert page.evaluate(LINK_COLORS, ".trail a") == page.evaluate(LINK_COLORS, ".paginator a")
    page.goto(f"{watched.server}/add/source/")
    page.locator("#source").fill(f"dir:{tmp_path}")
    expect(page.locator("#kinds > div:visible")).to_have_count(1)
    page.locator("summary").click()
    page.locator("#slug").fill("pages")
    # A group is asked for where a group sees it, so that nobody takes a chosen one for who sees it.
    expect(page.locator("#group")).to_be_hidden()
    page.locator("#visibility").select_option("group")
    page.locator("#group").select_option("Class 3")
    page.get_by_role("button", name="Add and read it").click()
    expect(page.locator("#state")).to_contain_text("Brought up to date", timeout=READ_MS)
    expect(page.locator("[data-part=documents] tbody tr")).to_have_count(3)
    expect(page.locator("main")).to_contain_text("Class 3")
    expect(page.locator("[data-part=runs] .counts")).to_contain_text("3 new")
    page.locator("[data-part=runs] a").first.click()
    expect(page.locator("[data-part=pages] tbody tr")).to_have_count(3)
