"""Reading what an answer cites: beside it on a desk, in a sheet on a phone, with the keyboard or without."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Watched, ask, script
from tests.scripted_model import ScriptedModel

CITING = "Pour water of 80 degrees [1]. Milk comes after the water [2]. Wait two minutes [1]."

IS_SEEN = """async (mark) => {
    await Promise.all(document.getAnimations().map((each) => each.finished));
    const { left, top, height } = mark.getClientRects()[0];
    return mark.contains(document.elementFromPoint(left + 4, top + height / 2));
}"""


def read(watched: Watched, model: ScriptedModel) -> Page:
    script(model, CITING)
    page = watched.sign_up()
    ask(page)
    expect(page.locator(".answer .sources")).to_be_visible()
    return page


@pytest.mark.parametrize("watched", [{"viewport": {"width": 1000, "height": 700}}], indirect=True)
def test_citations_are_gone_through_beside_the_answer(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    page = read(watched, e2e_model)
    first, second, third = page.locator(".prose .citation").all()
    first.focus()
    page.keyboard.press("Enter")
    marked = page.locator("#pane mark").first
    expect(marked).to_contain_text("80 degrees")
    pane, prose = page.locator("#pane").bounding_box(), page.locator(".prose").bounding_box()
    assert pane
    assert prose
    assert prose["x"] + prose["width"] <= pane["x"]
    assert prose["width"] > 400
    page.keyboard.press("j")
    expect(marked).to_contain_text("milk after the water")
    expect(page.locator("#pane-place")).to_have_text("2 of 3")
    expect(second).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Next citation").click()
    expect(page.locator("#pane-place")).to_have_text("3 of 3")
    expect(page.get_by_role("button", name="Next citation")).to_be_disabled()
    page.keyboard.press("k")
    expect(page.locator("#pane-place")).to_have_text("2 of 3")
    official = page.locator("#pane").get_by_role("link", name="Official page")
    expect(official).to_have_attribute("href", re.compile("#black-tea$"))
    expect(official).to_have_attribute("rel", "noopener noreferrer")
    page.keyboard.press("Escape")
    expect(page.locator("#pane")).to_be_hidden()
    expect(second).to_be_focused()
    # A j that is typed is a j.
    third.click()
    page.locator("#text").press_sequentially("j")
    expect(page.locator("#pane-place")).to_have_text("3 of 3")
    expect(page.locator("#text")).to_have_value("j")


def test_all_sources_are_opened_at_once(watched: Watched, e2e_model: ScriptedModel) -> None:
    page = read(watched, e2e_model)
    page.get_by_role("link", name="Open all").click()
    expect(page.locator("#pane .cited")).to_have_count(2)
    expect(page.locator("#pane .cited mark").first).to_be_visible()
    page.locator("#pane .cited .number").last.click()
    expect(page.locator("#pane .cited")).to_have_count(0)
    expect(page.locator("#pane-number")).to_have_text("2")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Open all")).to_be_focused()


@pytest.mark.parametrize(
    "watched",
    [{"viewport": {"width": 390, "height": 780}, "has_touch": True}],
    indirect=True,
)
def test_a_phone_shows_a_sheet_below_the_sentence(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    page = read(watched, e2e_model)
    citation = page.locator(".prose .citation").last
    citation.tap()
    expect(page.locator("#pane mark").first).to_be_visible()
    page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
    sheet, sentence = page.locator("#pane").bounding_box(), citation.bounding_box()
    assert sheet
    assert sentence
    assert sheet["x"] == 0
    assert sheet["width"] == 390
    assert sentence["y"] + sentence["height"] <= sheet["y"]
    page.locator("#close-pane").tap()
    expect(page.locator("#pane")).to_be_hidden()
    # Nothing covers the quoted words, also where there is little room.
    for width, height in ((320, 480), (780, 390)):
        page.set_viewport_size({"width": width, "height": height})
        page.locator(".prose .citation").nth(1).tap()
        expect(page.locator("#pane mark").first).to_be_visible()
        assert page.locator("#pane mark").first.evaluate(IS_SEEN), (width, height)
        page.locator("#close-pane").tap()
    page.set_viewport_size({"width": 390, "height": 780})
    page.locator("#bar").get_by_role("link", name="Tea").tap()
    expect(page.locator("#pane .summary h2")).to_have_text("Tea")
    assert page.locator("#pane").bounding_box()["width"] == 390


@pytest.mark.parametrize("watched", [{"color_scheme": "dark"}], indirect=True)
def test_paper_shows_what_was_asked_and_answered(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    page = read(watched, e2e_model)
    page.locator(".prose .citation").first.click()
    expect(page.locator("#pane")).to_be_visible()
    shade = "element => getComputedStyle(element).color.match(/\\d+/)[0]"
    assert int(page.locator(".question").evaluate(shade)) > 200
    page.emulate_media(media="print")
    assert int(page.locator(".question").evaluate(shade)) < 50
    for hidden in ("#side", "#pane", "#ask", ".actions", ".edit"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator(".sources .place")).to_have_count(2)


def test_a_shared_copy_reads_like_the_conversation(
    watched: Watched, browser: Browser, e2e_model: ScriptedModel
) -> None:
    page = read(watched, e2e_model)
    page.goto(f"{page.url}manage/")
    page.get_by_role("button", name="Share a copy by a link").click()
    stranger = Watched(
        browser.new_context(locale="en-US", java_script_enabled=False), watched.server
    )
    copy = stranger.page
    copy.goto(page.locator("input.link").input_value())
    expect(copy.locator(".prose .citation")).to_have_count(3)
    first, second = copy.locator(".sources blockquote").all()
    expect(first).to_contain_text("80 degrees")
    copy.locator(".prose .citation").nth(1).click()
    expect(copy.locator(".sources li:target")).to_contain_text("milk after the water")
    expect(second).to_be_visible()
    # It leads to nothing of this site's but the way to a question of one's own.
    own = copy.locator("main a[href^='/']")
    expect(own).to_have_count(0)
    assert stranger.unexpected() == []
    copy.context.close()


@pytest.mark.parametrize("watched", [{"viewport": {"width": 1000, "height": 700}}], indirect=True)
def test_a_summary_is_made_and_read_beside_the_conversation(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    page = read(watched, e2e_model)
    pane = page.locator("#pane")
    page.locator("#bar").get_by_role("link", name="Tea").click()
    expect(pane.locator(".summary .path")).to_contain_text("Outline")
    expect(page.locator(".question")).to_be_visible()
    e2e_model.reset()
    e2e_model.say(
        "Two teas: green with water of 80 degrees [1], black with milk [2].", hold_after=3
    )
    pane.get_by_role("button", name="Write a summary").click()
    expect(pane.get_by_role("status").first).to_contain_text("The summary is being written.")
    e2e_model.release()
    expect(pane.locator(".summary .path")).to_contain_text("Summary by scripted")
    # What it says opens its passage in the same place, and there is a way back.
    point = pane.locator(".summary .citation").first
    point.click()
    expect(pane.locator("mark").first).to_contain_text("80 degrees")
    pane.get_by_role("button", name="Next citation").click()
    expect(pane.locator("mark").first).to_contain_text("four minutes")
    pane.get_by_role("link", name="Summary of this section").click()
    expect(pane.locator(".summary h2")).to_have_text("Black tea")
    for _step in range(2):
        pane.get_by_role("button", name="Back to what was open before").click()
    expect(point).to_be_focused()
    expect(pane.locator("#pane-back")).to_be_hidden()
    # What stands above is drawn anew when the title comes, which may be meanwhile.
    page.locator("#bar").evaluate("bar => { bar.innerHTML = bar.innerHTML; }")
    page.keyboard.press("Escape")
    expect(page.locator("#bar").get_by_role("link", name="Tea")).to_be_focused()
