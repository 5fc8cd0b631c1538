"""What survives: a second tab, a tunnel, a closed tab, a server that is killed in the middle of an answer."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.chats.server import wait_for
from tests.e2e.conftest import ANSWER, PASSWORD, QUESTION, Up, Watched, ask, script
from tests.scripted_model import ScriptedModel


def test_two_tabs_agree(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER)
    page = watched.sign_up()
    ask(page)
    expect(page.locator(".answer .actions")).to_be_visible()
    other = watched.open()
    other.goto(page.url)
    script(e2e_model, "Four minutes in boiling water [2]. Then milk.", hold_after=5)
    ask(page, "And black tea?")
    for tab in (page, other):
        expect(tab.locator(".question")).to_have_text([QUESTION, "And black tea?"])
        expect(tab.locator(".answer").last).to_contain_text("Four minutes in boiling")
        expect(tab.locator("#stop")).to_be_visible()
    e2e_model.release()
    for tab in (page, other):
        expect(tab.locator(".answer").last).to_contain_text("Then milk.")
        expect(tab.locator("#send")).to_be_visible()
    # A version that is chosen in one is there in the other when it is looked at.
    script(e2e_model, "Five minutes [2].")
    other.get_by_role("button", name="Answer anew").click()
    expect(other.locator(".versions")).to_contain_text("2 / 2")
    expect(page.locator(".versions")).to_contain_text("2 / 2")
    expect(page.locator(".answer").last).to_contain_text("Five minutes")
    assert len(watched.posts()) == 2


def test_offline_is_said_and_what_is_typed_is_kept(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    watched.expected = ["net::ERR_INTERNET_DISCONNECTED", "net::ERR_FAILED"]
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    ask(page)
    expect(page.locator(".answer .prose")).to_contain_text("Pour water of 80")
    watched.context.set_offline(True)
    expect(page.locator("#offline")).to_have_text("You are offline. What you type is kept.")
    page.locator("#text").fill("And black tea?")
    watched.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()
    e2e_model.release()
    expect(page.locator(".answer .prose")).to_contain_text("That is all.")
    expect(page.locator("#text")).to_have_value("And black tea?")
    # The tab is closed by mistake: another one of the same chat has the text.
    other = watched.open()
    other.goto(page.url)
    page.close()
    expect(other.locator("#text")).to_have_value("And black tea?")


def test_enter_waits_while_an_answer_is_written(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    ask(page)
    expect(page.locator(".answer .prose")).to_contain_text("Pour water of 80")
    box, hint = page.locator("#text"), page.locator("#wait[role=status]")
    expect(hint).to_have_text("")
    box.fill("And black tea?")
    box.press("Enter")
    expect(hint).to_contain_text("still being written")
    expect(box).to_have_value("And black tea?")
    e2e_model.release()
    expect(page.locator(".answer .actions")).to_be_visible()
    expect(hint).to_have_text("")
    assert len(watched.posts()) == 1
    box.press("Enter")
    expect(page.locator(".question")).to_have_text([QUESTION, "And black tea?"])


def test_what_is_typed_in_two_tabs_is_lost_in_neither(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    script(e2e_model, ANSWER)
    page = watched.sign_up()
    other = watched.open()
    other.goto(page.url)
    page.locator("#text").fill("About green")
    other.locator("#text").fill(QUESTION)
    page.reload()
    expect(page.locator("#text")).to_have_value("About green")
    page.close()
    other.locator("#text").press("Enter")
    expect(other.locator(".answer .actions")).to_be_visible()
    other.goto(watched.server)
    expect(other.locator("#text")).to_have_value("About green")
    other.locator("#text").fill("")
    other.reload()
    expect(other.locator("#text")).to_have_value("")


def test_who_was_logged_out_elsewhere_asks_again(
    watched: Watched, e2e_model: ScriptedModel
) -> None:
    page = watched.sign_up()
    address = page.locator(".me .who").inner_text().split()[-1]
    elsewhere = watched.open()
    elsewhere.goto(watched.server)
    elsewhere.locator(".me").click()
    elsewhere.get_by_role("button", name="Log out").click()
    expect(elsewhere.get_by_role("heading", name="Log in")).to_be_visible()
    ask(page)
    expect(page.locator("#trouble")).to_contain_text("You are logged out. Log in in another tab")
    elsewhere.locator("input[type=email]").fill(address)
    elsewhere.locator("input[type=password]").fill(PASSWORD)
    elsewhere.locator("main button.is-main").click()
    expect(elsewhere.locator("#text")).to_be_visible()
    script(e2e_model, ANSWER)
    page.locator("#trouble").get_by_role("button", name="Try again").click()
    expect(page.locator(".question")).to_have_text(QUESTION)
    expect(page.locator(".answer .citation")).to_have_count(1)


def test_a_page_that_slept_has_the_answer(watched: Watched, e2e_model: ScriptedModel) -> None:
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    ask(page)
    expect(page.locator(".answer .prose")).to_contain_text("Pour water of 80")
    session = page.context.new_cdp_session(page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    e2e_model.release()
    wait_for(lambda: "That is all." in watched.context.request.get(page.url).text())
    session.send("Page.setWebLifecycleState", {"state": "active"})
    expect(page.locator(".answer .prose")).to_contain_text("That is all.")
    expect(page.locator("#send")).to_be_visible()


def test_an_answer_outlives_its_server(watched: Watched, e2e_model: ScriptedModel, up: Up) -> None:
    watched.expected = ["net::ERR_", "503"]
    script(e2e_model, ANSWER, hold_after=5)
    page = watched.sign_up()
    ask(page)
    prose = page.locator(".answer:visible .prose")
    expect(prose).to_contain_text("Pour water of 80")
    # What it has stored of the answer so far will be there.
    wait_for(lambda: "Pour water of 80" in watched.context.request.get(page.url).text())
    place = prose.bounding_box()
    up.kill()
    expect(page.locator(".answer .waiting")).to_contain_text("The connection broke")
    expect(prose).to_contain_text("Pour water of 80")
    assert prose.bounding_box() == place
    e2e_model.reset()
    e2e_model.say("80 degrees over the leaves [1]. That is all.")
    up.start()
    # The page finds its way back by itself, and the answer goes on from where it was.
    expect(prose).to_contain_text("That is all.", timeout=45_000)
    expect(prose).to_contain_text("Pour water of 80 degrees over the leaves")
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator(".question")).to_have_text(QUESTION)
