"""The list of chats and the settings in a real browser: kept, searched, shared; looks, keys and an account's end."""

from __future__ import annotations

import subprocess
import sys
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PASSWORD, Watched
from tests.oidc_provider import Provider

MANY = 130
SEED = """
from datetime import timedelta
from django.utils import timezone
from mundap.accounts.models import User
from mundap.chats.models import Chat, Message
owner = User.objects.get(email={email!r})
now = timezone.now()
chats = [
    Chat(owner=owner, title=f"chat {{n}}", next_position=2, updated_at=now - timedelta(hours=3 * n))
    for n in range({count})
]
Chat.objects.bulk_create(chats)
Message.objects.bulk_create(
    Message(chat=chat, position=position, role=role, text=text)
    for chat in chats
    for position, (role, text) in enumerate((("user", "Why?"), ("assistant", f"Since {{chat.title}} 캐시.")))
)
"""


def give_chats(page: Page, environment: dict[str, str], count: int) -> None:
    """Put chats into the list of whoever is logged in; asking each question would take a while."""
    email = page.locator(".who").inner_text()
    mundap = [sys.executable, "-m", "mundap.cli.main", "shell", "-c"]
    code = SEED.format(email=email, count=count)
    subprocess.run([*mundap, code], env=environment, check=True, capture_output=True, timeout=60)


def titles(page: Page) -> list[str]:
    return page.locator("#rows .title").all_inner_texts()


def open_sheet(page: Page, title: str) -> None:
    page.locator("#rows li", has=page.get_by_text(title, exact=True)).locator(".more").click()
    expect(page.locator("#manage .manage")).to_be_visible()


def test_a_long_list_is_read_searched_and_kept_in_order(
    watched: Watched, _environment: dict[str, str]
) -> None:
    page = watched.sign_up()
    give_chats(page, _environment, MANY)
    page.keyboard.press("Escape")
    page.locator("body").click(position={"x": 640, "y": 5})
    page.keyboard.press("l")
    expect(page.locator("#rows li")).to_have_count(60)
    # More come as one scrolls, each once, under one heading a month or day.
    page.locator("#rows li").last.scroll_into_view_if_needed()
    expect(page.locator("#rows li")).to_have_count(120)
    page.locator("#rows li").last.scroll_into_view_if_needed()
    expect(page.locator("#rows li")).to_have_count(MANY)
    assert titles(page) == [f"chat {n}" for n in range(MANY)]
    headings = page.locator("#rows h2").all_inner_texts()
    assert headings[:3] == ["Today", "Yesterday", "The last seven days"]
    assert len(headings) == len(set(headings))
    # Searched as one types, in messages too; with a Korean syllable that is still being made.
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("chat 77")
    expect(page.locator("#rows li")).to_have_count(1)
    expect(page.locator("#found")).to_have_text("Chats found: 1")
    expect(page).to_have_url(f"{watched.server}/chats/?q=chat+77")
    page.locator("#q").fill("캐시")
    expect(page.locator("#rows li")).to_have_count(60)
    page.locator("#q").fill("zebra")
    expect(page.locator("#found")).to_have_text("No chat has these words.")
    page.locator("#q").fill("")
    expect(page.locator("#rows li")).to_have_count(60)
    # By keyboard from the search to a chat.
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#rows li").nth(1).locator(".row")).to_be_focused()
    # Renamed and pinned without leaving the list.
    open_sheet(page, "chat 40")
    page.locator("#managed input[name=title]").fill("To keep")
    page.keyboard.press("Enter")
    expect(page.locator("#rows .title", has_text="To keep")).to_have_count(1)
    page.get_by_role("button", name="Pin to the top").click()
    expect(page.locator("#rows h2").first).to_have_text("Pinned")
    expect(page.locator("#rows .title").first).to_have_text("To keep")
    expect(page.locator("#chats a").first).to_have_text("To keep")
    page.keyboard.press("Escape")
    # Deleted, and brought back by keyboard.
    open_sheet(page, "chat 2")
    page.get_by_role("button", name="Delete this chat").click()
    expect(page.locator("#toast")).to_be_visible()
    assert "chat 2" not in titles(page)
    beside = page.locator("#chats").get_by_role("link", name="chat 2", exact=True)
    expect(beside).to_have_count(0)
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page.locator("#toast")).to_be_hidden()
    expect(beside).to_have_count(1)
    assert titles(page)[:5] == ["To keep", *(f"chat {n}" for n in range(4))]
    page.reload()
    expect(page.locator("#rows li")).to_have_count(61)
    assert titles(page)[:5] == ["To keep", *(f"chat {n}" for n in range(4))]


def test_a_chat_is_shared_and_taken_home(watched: Watched, _environment: dict[str, str]) -> None:
    page = watched.sign_up()
    give_chats(page, _environment, 1)
    page.goto(f"{watched.server}/chats/")
    open_sheet(page, "chat 0")
    for kind, ending in (("Markdown", "md"), ("JSON", "json")):
        with page.expect_download() as file:
            page.get_by_role("link", name=f"Download as {kind}").click()
        assert file.value.suggested_filename.endswith(f"-chat-0.{ending}")
    page.get_by_role("button", name="Share a copy by a link").click()
    url = page.locator("#managed input.link").input_value()
    stranger = page.context.browser.new_context().new_page()
    stranger.goto(url)
    expect(stranger.locator("h1")).to_have_text("chat 0")
    expect(stranger.locator(".answer .prose")).to_contain_text("Since chat 0")
    assert "@example.org" not in stranger.content()
    page.get_by_role("button", name="Take the link back").click()
    expect(page.locator("#managed input.link")).to_have_count(0)
    assert stranger.reload().status == 404
    stranger.context.close()
    # The last of a day takes its heading along.
    expect(page.locator("#rows h2")).to_be_visible()
    page.get_by_role("button", name="Delete this chat").click()
    expect(page.locator("#rows h2")).to_be_hidden()


@pytest.mark.parametrize("watched", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_all_of_it_works(watched: Watched, _environment: dict[str, str]) -> None:
    page = watched.sign_up()
    give_chats(page, _environment, 3)
    page.goto(f"{watched.server}/chats/")
    page.locator("#q").fill("chat 1")
    page.keyboard.press("Enter")
    expect(page.locator("#rows .title")).to_have_text(["chat 1"])
    page.locator("#rows .more").click()
    page.get_by_role("button", name="Pin to the top").click()
    expect(page.locator("#rows h2").first).to_have_text("Pinned")
    page.locator("#rows .more").first.click()
    page.get_by_role("button", name="Share a copy by a link").click()
    expect(page.locator("input.link")).to_be_visible()
    page.get_by_role("button", name="Delete this chat").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#rows .title")).to_have_text(["chat 1", "chat 0", "chat 2"])
    page.locator(".me").click()
    page.get_by_role("link", name="Keys").click()
    expect(page.locator("main kbd").first).to_be_visible()
    page.goto(f"{watched.server}/settings/")
    page.get_by_label("dark").check()
    page.get_by_role("button", name="Save").click()
    assert is_dark(page)


def is_dark(page: Page) -> bool:
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    return bool(page.evaluate("getComputedStyle(document.body).colorScheme === 'dark'"))


def test_looks_keys_tokens_and_the_end_of_an_account(watched: Watched) -> None:
    page = watched.sign_up()
    # The keys, by key; and without them for whoever does not want them.
    page.locator("body").click(position={"x": 640, "y": 5})
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.get_by_label("Keys of a single letter").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("?")
    page.keyboard.press("l")
    expect(page.locator("#help")).to_be_hidden()
    assert page.url == f"{watched.server}/"
    # The theme is in the page as it comes: nothing flashes, and no script is needed for it.
    page.locator(".me").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("dark").check()
    page.get_by_role("button", name="Save").click()
    assert is_dark(page)
    assert 'data-theme="dark"' in page.request.get(f"{watched.server}/").text()
    # A token works until it is taken back.
    page.get_by_role("link", name="API tokens").click()
    page.get_by_label("What is it for?").fill("laptop")
    page.keyboard.press("Enter")
    secret = page.locator("#secret").input_value()
    bearer = {"Authorization": f"Bearer {secret}"}
    tokens = f"{watched.server}/api/v1/tokens/"
    assert page.request.get(tokens, headers=bearer).status == 200
    page.get_by_role("button", name="Take back").click()
    expect(page.locator("#secret")).to_have_count(0)
    watched.expected = ["401"]
    assert page.request.get(tokens, headers=bearer).status == 401
    # And then everything goes.
    page.get_by_role("link", name="My data").click()
    with page.expect_download() as file:
        page.get_by_role("link", name="Download my data").click()
    assert file.value.suggested_filename.endswith(".zip")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("I know that this cannot be undone.").check()
    page.get_by_role("button", name="Delete my account").click()
    expect(page.locator("h1")).to_have_text("Your account is deleted")
    page.goto(watched.server)
    expect(page.locator("h1")).to_have_text("Log in")


def test_an_account_by_the_forms(watched: Watched) -> None:
    page = watched.page
    email = f"{uuid4().hex[:12]}@example.org"
    page.goto(f"{watched.server}/accounts/login/")
    page.get_by_role("button", name="한국어").click()
    expect(page.locator("h1")).to_have_text("로그인")
    page.get_by_role("button", name="English").click()
    page.get_by_role("link", name="Sign up").click()
    assert page.locator("main [placeholder]").count() == 0
    page.locator("input[type=email]").fill(email)
    page.locator("input[type=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".who")).to_have_text(email)
    page.locator(".me").click()
    page.get_by_role("button", name="Log out").click()
    for password in ("wrong", PASSWORD):
        page.locator("input[type=email]").fill(email)
        page.locator("input[type=password]").fill(password)
        page.keyboard.press("Enter")
        if password == "wrong":
            expect(page.locator(".is-error")).to_be_visible()
    expect(page.locator(".who")).to_have_text(email)


def test_somebody_logs_in_at_their_school(watched: Watched, school: Provider) -> None:
    email = f"{uuid4().hex[:12]}@example.org"
    school.person = {"sub": email, "email": email, "email_verified": True}
    watched.expected = [f"request to {school.front}"]
    page = watched.page
    page.goto(f"{watched.server}/accounts/login/")
    page.get_by_role("button", name="Continue with Our school").click()
    expect(page.locator(".who")).to_have_text(email)
    expect(page.locator("#text")).to_be_visible()


def test_documents_are_chosen_by_category_and_number_as_one_types(watched: Watched) -> None:
    page = watched.sign_up()
    for number in range(1, 9):
        made = page.request.post(
            f"{watched.server}/api/v1/collections/",
            headers={"X-Session-Token": watched.token},
            data={"title": f"Week {number}", "category": "CLASS", "title_no": number},
        )
        assert made.status == 201
    page.goto(f"{watched.server}/")
    books = page.locator(".book:visible b")
    page.get_by_label("Part of a title").fill("class 7")
    expect(books).to_have_text(["Week 7"])
    page.get_by_label("Part of a title").fill("tea")
    expect(books).to_have_text(["Tea"])
    page.get_by_label("Tea").check()
    expect(page.get_by_label("Tea")).to_be_checked()
