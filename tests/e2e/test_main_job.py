"""The main job in a real browser: sign up, ask, watch the answer, open a citation, come back to the chat."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.conftest import ANSWER, PASSWORD, QUESTION, Watched, ask, script
from tests.scripted_model import ScriptedModel


def sign_up(watched: Watched) -> Page:
    page = watched.page
    page.goto(f"{watched.server}/accounts/signup/")
    page.locator("input[type=email]").fill(f"{uuid4().hex[:12]}@example.org")
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("main button.is-main").click()
    page.wait_for_url(f"{watched.server}/")
    return page


def key_of(request: Request) -> str:
    """Return the key that the question was sent with."""
    found = re.search(r'name="key"\s+(\S+)', request.post_data or "")
    assert found
    return found[1]


def test_the_main_job(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER, hold_after=5)
    page = sign_up(watched)
    page.get_by_label("Tea").check()
    ask(page, QUESTION)
    # It arrives while the model is still writing.
    expect(page.locator(".answer .prose p")).to_contain_text("Pour water of 80")
    expect(page.locator(".answer .prose")).not_to_contain_text("leaves")
    expect(page.locator("#text")).to_have_value("")
    expect(page.locator("#stop")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/chats/[0-9a-f-]{36}/$"))
    e2e_model.release()
    # Then it is the rendered one.
    citation = page.locator(".answer .prose a.citation")
    expect(citation).to_have_count(1)
    expect(page.locator(".answer pre .s2, .answer pre .n").first).to_be_visible()
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#spoken")).to_contain_text("The answer is complete.")
    expect(page.locator("#chats a[aria-current=page]")).to_have_count(1)
    # A citation opens its passage beside the answer.
    citation.click()
    expect(page.locator("#pane mark").first).to_contain_text("80 degrees")
    official = page.locator("#pane a.button")
    expect(official).to_have_attribute(
        "href", re.compile(r"^https://docs\.example\.org/tea.*#green-tea$")
    )
    page.keyboard.press("Escape")
    expect(page.locator("#pane")).to_be_hidden()
    expect(citation).to_be_focused()
    # It is there after a reload, and in the list.
    page.reload()
    expect(page.locator(".question")).to_have_text(QUESTION)
    expect(page.locator(".answer .prose")).to_contain_text("That is all.")
    page.goto(watched.server)
    page.locator("#chats a").first.click()
    expect(page.locator(".question")).to_have_text(QUESTION)


def test_a_follow_up_goes_into_the_same_chat(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER)
    page = watched.sign_up()
    ask(page, QUESTION)
    expect(page.locator(".answer .citation")).to_have_count(1)
    address = page.url
    ask(page, "And how do I brew black tea?")
    expect(page.locator(".question")).to_have_count(2)
    expect(page.locator(".answer .citation")).to_have_count(2)
    assert page.url == address


def test_what_is_not_in_the_documents(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, "NOT_IN_DOCUMENTS")
    page = watched.sign_up()
    ask(page, QUESTION)
    unlike = page.locator(".answer.is-unanswered")
    expect(unlike.locator(".verdict")).to_have_text("Not in the documents")
    expect(unlike.locator(".sources h3")).to_have_text("The nearest passages")
    script(e2e_model, ANSWER)
    ask(page, QUESTION)
    like = page.locator(".answer:not(.is-unanswered)")
    expect(like.locator(".sources h3")).to_have_text("Sources")
    shade = "element => getComputedStyle(element.querySelector('.body')).backgroundColor"
    assert unlike.evaluate(shade) != like.evaluate(shade)


def test_stop_keeps_what_was_written(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    ask(page, QUESTION)
    expect(page.locator(".answer .prose")).to_contain_text("Pour water of 80")
    page.locator("#stop").click()
    expect(page.locator(".answer .outcome")).to_have_text("You stopped this answer.")
    expect(page.locator(".answer .prose")).to_contain_text("Pour water of 80")
    expect(page.locator("#send")).to_be_visible()


def test_a_reload_in_the_middle_picks_the_answer_up(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    ask(page, QUESTION)
    expect(page.locator(".answer .prose")).to_contain_text("Pour water of 80")
    page.reload()
    expect(page.locator(".answer .prose")).to_contain_text("Pour water of 80")
    expect(page.locator("#stop")).to_be_visible()
    e2e_model.release()
    expect(page.locator(".answer .citation")).to_have_count(1)
    assert len(e2e_model.requests) >= 1
    assert len(watched.posts()) == 1


def test_a_failing_model_is_told_and_can_be_asked_again(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    e2e_model.fail(401, "bad key")
    page = watched.sign_up()
    ask(page, QUESTION)
    expect(page.locator(".answer .outcome.is-error")).to_be_visible()
    e2e_model.reset()
    script(e2e_model, ANSWER)
    page.locator(".again button").click()
    expect(page.locator(".answer .citation")).to_have_count(1)
    expect(page.locator(".question")).to_have_text(QUESTION)


def test_a_lost_connection_keeps_the_text_and_the_key(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    watched.expected = ["net::ERR_INTERNET_DISCONNECTED"]
    script(e2e_model, ANSWER)
    page = watched.sign_up()
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible()
    ask(page, QUESTION)
    expect(page.locator("#trouble")).to_contain_text("Your question is kept.")
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator("#text")).to_have_value(QUESTION)
    expect(page.locator(".question")).to_have_count(0)
    page.context.set_offline(False)
    page.locator("#trouble button").click()
    expect(page.locator(".answer .citation")).to_have_count(1)
    expect(page.locator("#trouble")).to_be_hidden()
    keys = [key_of(request) for request in watched.posts()]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_a_lost_reply_is_not_a_second_question(watched: Watched, e2e_model: ScriptedModel) -> None:
    watched.expected = ["net::ERR_FAILED"]
    script(e2e_model, ANSWER)
    page = watched.sign_up()
    # The server takes the question, and its reply never arrives.
    page.route("**/ask/", lambda route: (route.fetch(), route.abort("failed")), times=1)
    ask(page, QUESTION)
    expect(page.locator("#trouble")).to_be_visible()
    page.locator("#trouble button").click()
    expect(page.locator(".answer .citation")).to_have_count(1)
    page.goto(f"{watched.server}/chats/")
    expect(page.locator(".list-page li")).to_have_count(1)


def test_typed_text_survives_a_reload(watched: Watched) -> None:
    page = watched.sign_up()
    page.locator("#text").fill("half a quest")
    page.reload()
    expect(page.locator("#text")).to_have_value("half a quest")


def test_enter_that_confirms_a_syllable_does_not_send(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    script(e2e_model, ANSWER)
    page = watched.sign_up()
    box = page.locator("#text")
    box.focus()
    session = page.context.new_cdp_session(page)
    session.send("Input.imeSetComposition", {"text": "차", "selectionStart": 1, "selectionEnd": 1})
    # While composing, browsers report the key as 229; Safari does so after the composition's end as well.
    enter = {"type": "rawKeyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    session.send("Input.dispatchKeyEvent", enter)
    page.evaluate(
        """() => document.getElementById("text").dispatchEvent(
            new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true}))"""
    )
    session.send("Input.insertText", {"text": "차"})
    expect(box).to_have_value("차")
    # Safari's order: the composition has ended, and then comes the Enter that ended it.
    page.evaluate(
        """() => document.getElementById("text").dispatchEvent(
            new KeyboardEvent("keydown", {key: "Enter", keyCode: 229, bubbles: true, cancelable: true}))"""
    )
    assert watched.posts() == []
    box.press("Shift+Enter")
    box.press_sequentially("tea")
    expect(box).to_have_value("차\ntea")
    assert watched.posts() == []
    box.press("Enter")
    expect(page.locator(".question")).to_contain_text("차")
    assert len(watched.posts()) == 1


@pytest.mark.parametrize("watched", [{"locale": "ko-KR"}], indirect=True)
def test_in_korean(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, "물을 80도로 식혀 붓고 2분 기다립니다 [1].")
    page = watched.sign_up()
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.locator(".welcome")).to_have_text(re.compile("[가-힣]"))
    ask(page, "How do I brew green tea? 녹차")
    expect(page.locator(".answer .citation")).to_have_count(1)
    page.locator(".me").click()
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator(".question")).to_contain_text("녹차")


@pytest.mark.parametrize("watched", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_one_can_ask_and_read(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    page.locator("#text").fill(QUESTION)
    page.locator("#send").click()
    expect(page.locator(".question")).to_have_text(QUESTION)
    # The page shows more by itself, as long as more is coming; until then nothing is typed that would go with it.
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(1)
    expect(page.locator("#text")).to_be_hidden()
    e2e_model.release()
    expect(page.locator(".answer .citation")).to_have_count(1)
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
    expect(page.locator("#text")).to_be_visible()
    page.locator(".answer .citation").click()
    expect(page.locator(".passage mark").first).to_contain_text("80 degrees")


@pytest.mark.parametrize(
    "watched", [{"viewport": {"width": 320, "height": 640}, "has_touch": True}], indirect=True
)
def test_on_a_narrow_phone(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER)
    page = watched.sign_up()
    ask(page, QUESTION)
    page.locator(".answer .citation").click()
    expect(page.locator("#pane mark").first).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 320
    page.locator("#close-pane").click()
    page.locator(".open-side").click()
    expect(page.locator("#chats a").first).to_be_visible()
