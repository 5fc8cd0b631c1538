"""The last exchange: it arrives as it will stand, is asked and answered anew, gone on with, judged and copied."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import ANSWER, QUESTION, Watched, ask, script
from tests.scripted_model import ScriptedModel

RICH = (
    "Use **water of 80 degrees** [1]:\n\n- pour it over the leaves\n- wait two minutes\n\n"
    '```python\nbrew("green", degrees=80)  # never hotter\n```\n\n'
    "Milk cures every illness of the heart [2]."
)
SHIFTS = """() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
    }).observe({type: "layout-shift", buffered: false});
}"""

# The Enter that confirms a Korean syllable, as Chromium and as Safari tell it.
CONFIRM = """(box) => [{isComposing: true}, {keyCode: 229}].forEach((how) => box.dispatchEvent(
    new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true, ...how})))"""
MOST_BYTES = 100_000


def answered(watched: Watched, model: ScriptedModel, answer: str = ANSWER) -> Page:
    """Return a page with one question and its answer."""
    script(model, answer)
    page = watched.sign_up()
    ask(page)
    expect(page.locator(".answer .actions")).to_be_visible()
    return page


def test_an_answer_arrives_as_it_will_stand(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, RICH, hold_after=22)
    page = watched.sign_up()
    page.evaluate(SHIFTS)
    ask(page)
    prose = page.locator(".answer .prose")
    expect(prose.locator("strong")).to_have_text("water of 80 degrees")
    expect(prose.locator("li")).to_have_count(2)
    expect(prose.locator(".code pre .n").first).to_have_text("brew")
    expect(prose.locator("a.citation")).to_have_count(1)
    # What is settled is said, block by block and without its markers; the last block is not settled yet.
    expect(page.locator("#spoken p")).to_have_text(
        ["Use water of 80 degrees:", re.compile("pour it.*two minutes", re.DOTALL)]
    )
    before = prose.locator("p").first.bounding_box()
    first = prose.locator("p").first.element_handle()
    e2e_model.release()
    expect(prose.locator(".doubted")).to_have_text("Milk cures every illness of the heart")
    expect(page.locator(".sources li")).to_have_count(2)
    expect(page.locator("#spoken p").last).to_have_text("The answer is complete.")
    assert prose.locator("p").first.bounding_box() == before
    assert first.evaluate("element => element.isConnected")
    assert page.evaluate("window.shifts") == []


def test_a_chat_weighs_little_and_asks_nobody_else(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    page = answered(watched, e2e_model)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sent: list[int] = []
    session.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    page.reload(wait_until="networkidle")
    assert 10_000 < sum(sent) <= MOST_BYTES


def test_new_versions_stay_beside_the_old_ones(watched: Watched, e2e_model: ScriptedModel) -> None:
    page = answered(watched, e2e_model)
    script(e2e_model, "Two minutes are enough [1]. No more.", hold_after=4)
    page.get_by_role("button", name="Answer anew").click()
    expect(page.locator(".answer:visible .prose")).to_contain_text("Two minutes are enough")
    expect(page.locator(".question")).to_have_text(QUESTION)
    e2e_model.release()
    versions = page.locator(".answer .versions")
    expect(versions).to_contain_text("2 / 2")
    versions.get_by_role("button", name="Earlier version").click()
    expect(page.locator(".answer .prose")).to_contain_text("That is all.")
    expect(versions.get_by_role("button", name="Later version")).to_be_focused()

    # Another question in its place: Escape leaves everything as it was.
    edit = page.locator(".edit summary")
    edit.click()
    box = page.get_by_role("textbox", name="Your question").first
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(edit).to_be_focused()
    edit.press("Enter")
    expect(box).to_be_focused()
    script(e2e_model, "Boiling water, four minutes [2].")
    box.fill("And black tea?")
    box.evaluate(CONFIRM)
    expect(box).to_be_visible()
    box.press("Enter")
    expect(page.locator(".question:visible")).to_have_text("And black tea?")
    expect(page.locator(".answer:visible .citation")).to_have_count(1)
    page.locator(".asked .versions").get_by_role("button", name="Earlier version").click()
    expect(page.locator(".question")).to_have_text(QUESTION)

    # Once one has asked further, only that can be changed.
    steps = page.get_by_role("button", name="Earlier version")
    expect(steps).to_have_count(2)
    ask(page, "How much milk?")
    expect(page.get_by_role("button", name="Answer anew")).to_have_count(1)
    expect(page.locator(".actions")).to_have_count(2)
    expect(page.locator(".edit summary:visible")).to_have_count(1)
    expect(steps).to_have_count(0)


def test_a_stopped_answer_goes_on(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    ask(page)
    prose = page.locator(".answer:visible .prose")
    expect(prose).to_contain_text("Pour water of 80")
    page.locator("#stop").click()
    expect(page.locator(".answer .outcome")).to_have_text("You stopped this answer.")
    e2e_model.reset()
    e2e_model.say("80 degrees over the leaves [1].")
    page.get_by_role("button", name="Continue").click()
    expect(prose).to_have_text(re.compile(r"^\s*Pour water of 80 degrees over the leaves"))
    expect(page.locator(".answer .citation")).to_have_count(1)


def test_a_failed_edit_keeps_what_was_typed(watched: Watched, e2e_model: ScriptedModel) -> None:
    watched.expected = ["net::ERR_FAILED"]
    page = answered(watched, e2e_model)
    page.route("**/edit/", lambda route: route.abort("failed"), times=1)
    page.locator(".edit summary").click()
    box = page.locator(".edit textarea")
    expect(box).to_be_focused()
    box.fill("And black tea?")
    script(e2e_model, "Boiling water, four minutes [2].")
    box.press("Enter")
    expect(page.locator("#trouble")).to_be_visible()
    expect(box).to_have_value("And black tea?")
    expect(page.locator(".answer .prose")).to_contain_text("That is all.")
    page.locator("#trouble button").click()
    expect(page.locator(".question:visible")).to_have_text("And black tea?")
    expect(page.locator("#trouble")).to_be_hidden()


def test_a_thumb_down_says_why(watched: Watched, e2e_model: ScriptedModel) -> None:
    page = answered(watched, e2e_model)
    page.get_by_role("button", name="Not helpful").click()
    expect(page.get_by_role("radio").first).to_be_focused()
    page.get_by_role("radio", name="Something is missing").check()
    page.get_by_label("In your own words").fill("How much of the leaves?")
    page.locator(".why button").click()
    expect(page.locator(".why summary")).to_contain_text("Thank you")
    page.reload()
    expect(page.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "true")
    page.locator(".why summary").click()
    expect(page.get_by_role("radio", name="Something is missing")).to_be_checked()


@pytest.mark.parametrize(
    "watched", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True
)
def test_code_and_answers_are_copied(watched: Watched, e2e_model: ScriptedModel) -> None:
    page = answered(watched, e2e_model)
    page.locator(".code").hover()
    page.locator(".code .copy").click()
    expect(page.locator(".code .copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == 'brew("green", degrees=80)\n'
    page.get_by_role("button", name="Copy the answer").click()
    expect(page.locator(".copy-answer.is-done")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(ANSWER)
    assert copied.endswith("[1] Tea › Tea › Green tea https://docs.example.org/tea.md#green-tea")
