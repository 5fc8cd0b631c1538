"""Keeping chats, without a script: listed by day, pinned, renamed, deleted and brought back, taken home."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from mundap.accounts.models import User
from mundap.chats.listed import PAGE_CHATS
from mundap.chats.models import Chat, Message, Share
from tests.web.conftest import MakeChat
from tests.web.test_pages import one, page, text_of

pytestmark = pytest.mark.django_db


def titles(soup: BeautifulSoup) -> list[str]:
    return [title.get_text() for title in soup.select(".day .title")]


def headings(soup: BeautifulSoup) -> list[str]:
    return [heading.get_text() for heading in soup.select(".day h2")]


def add_chats(owner: User, count: int, **columns: object) -> list[str]:
    """Chats of the last minutes, the newest first; return their titles."""
    now = timezone.now()
    chats = [
        Chat(owner=owner, title=f"chat {n}", updated_at=now - timedelta(minutes=n), **columns)
        for n in range(count)
    ]
    return [chat.title for chat in Chat.objects.bulk_create(chats)]


def test_chats_are_listed_by_day_and_month(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    for title, days in (("now", 0), ("a day", 1), ("days", 4), ("old", 400)):
        chat, _answer = make_chat(alice, title=title)
        used = timezone.now() - timedelta(days=days)
        Chat.objects.filter(pk=chat.pk).update(updated_at=used)
    soup = page(alice_client, "/chats/")
    month = (timezone.now() - timedelta(days=400)).strftime("%B %Y")
    assert headings(soup) == ["Today", "Yesterday", "The last seven days", month]
    assert titles(soup) == ["now", "a day", "days", "old"]


def test_days_are_the_readers_own(alice: User, alice_client: Client, settings) -> None:
    settings.TIME_ZONE = "UTC"
    add_chats(alice, 1)
    # It is another day already, or still, at one of the two ends of the world.
    ends = set()
    for zone in ("Pacific/Kiritimati", "Pacific/Niue", "no/such/zone", "../../etc/passwd"):
        alice_client.cookies["timezone"] = zone
        ends.add(one(page(alice_client, "/chats/"), ".day time")["datetime"][-6:])
    assert ends == {"+14:00", "-11:00", "+00:00"}


def test_pinned_ones_stand_on_top_everywhere(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, _answer = make_chat(alice, title="Kept")
    add_chats(alice, 2)
    menu = page(alice_client, f"/chats/{chat.pk}/manage/")
    pin = one(menu, f'form[action="/chats/{chat.pk}/pin/"] button')
    response = alice_client.post(
        f"/chats/{chat.pk}/pin/", {pin["name"]: pin["value"], "back": "list"}
    )
    assert response.headers["Location"] == "/chats/"
    soup = page(alice_client, "/chats/")
    assert headings(soup) == ["Pinned", "Today"]
    assert titles(soup) == ["Kept", "chat 0", "chat 1"]
    assert [heading.get_text() for heading in soup.select("#chats h2")] == ["Pinned", "Today"]
    alice_client.post(f"/chats/{chat.pk}/pin/", {"pinned": "0"})
    assert headings(page(alice_client, "/chats/")) == ["Today"]


@pytest.mark.parametrize("pinned", [PAGE_CHATS + 5, 3])
def test_every_chat_is_on_one_page_of_the_list(
    alice: User, alice_client: Client, pinned: int
) -> None:
    expected = add_chats(alice, pinned, pinned=True) + add_chats(alice, PAGE_CHATS + 5)
    soup = page(alice_client, "/chats/")
    found = titles(soup)
    assert soup.select_one("#chats .more") is not None
    while following := soup.select_one(".pages a"):
        soup = page(alice_client, f"/chats/{following['href']}&fragment=1")
        assert soup.select_one("html") is None
        found += titles(soup)
    assert found == expected


def test_a_search_finds_titles_and_messages(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    make_chat(alice, title="About caches")
    make_chat(alice, "What is middleware?", "Layers.", title="Old one")
    soup = page(alice_client, "/chats/?q=MIDDLEWARE")
    assert titles(soup) == ["Old one"]
    assert one(soup, "#q")["value"] == "MIDDLEWARE"
    assert "No chat" in text_of(page(alice_client, "/chats/?q=zebra"), ".list-page .outcome")
    page(alice_client, "/chats/?cursor=rubbish", status=400)


def test_a_chat_is_renamed(alice: User, alice_client: Client, make_chat: MakeChat) -> None:
    chat, _answer = make_chat(alice)
    url = f"/chats/{chat.pk}/rename/"
    response = alice_client.post(url, {"title": " 캐시   설정 "}, follow=True)
    assert text_of(BeautifulSoup(response.content, "html.parser"), ".bar h1") == "캐시 설정"
    fragment = alice_client.post(url, {"title": "x" * 300, "fragment": "1", "owner": "bob"})
    soup = BeautifulSoup(fragment.content, "html.parser")
    assert one(soup, ".manage")["data-title"] == "x" * 200
    alice_client.post(url, {"title": "  "})
    chat.refresh_from_db()
    assert (chat.title, chat.owner) == ("x" * 200, alice)


@pytest.mark.parametrize(("back", "where"), [("list", "/chats/"), ("", "/"), ("//evil", "/")])
def test_a_deleted_chat_can_be_brought_back(
    alice: User, alice_client: Client, make_chat: MakeChat, back: str, where: str
) -> None:
    chat, _answer = make_chat(alice)
    response = alice_client.post(f"/chats/{chat.pk}/delete/", {"back": back}, follow=True)
    assert response.request["PATH_INFO"] == where
    soup = BeautifulSoup(response.content, "html.parser")
    assert "is deleted" in text_of(soup, ".notice")
    page(alice_client, f"/chats/{chat.pk}/", status=404)
    alice_client.post(one(soup, ".notice form")["action"])
    page(alice_client, f"/chats/{chat.pk}/")


def test_a_chat_is_taken_home(alice: User, alice_client: Client, make_chat: MakeChat) -> None:
    chat, _answer = make_chat(alice, title="캐시: <b>설정</b>")
    links = page(alice_client, f"/chats/{chat.pk}/manage/").select("a[download]")
    for link, kind in zip(links, ("md", "json"), strict=True):
        response = alice_client.get(link["href"])
        assert response.status_code == 200
        disposition = response.headers["Content-Disposition"]
        assert disposition.startswith("attachment; filename*=utf-8''")
        assert disposition.endswith(f".{kind}")
        assert "How do I use Redis?" in response.content.decode()
    page(alice_client, f"/chats/{chat.pk}/export/?format=pdf", status=400)


# --- shared chats


@pytest.fixture
def shared(alice: User, alice_client: Client, make_chat: MakeChat) -> tuple[Chat, str]:
    """A shared chat and its link's path."""
    chat, _answer = make_chat(alice)
    soup = BeautifulSoup(
        alice_client.post(f"/chats/{chat.pk}/share/", follow=True).content, "html.parser"
    )
    url = str(one(soup, "input.link")["value"])
    assert url.startswith("http://testserver/shared/")
    return chat, url.removeprefix("http://testserver")


def test_anybody_with_the_link_reads_a_copy(client: Client, shared: tuple[Chat, str]) -> None:
    chat, path = shared
    response = client.get(path)
    soup = BeautifulSoup(response.content, "html.parser")
    assert text_of(soup, "h1") == "Redis as the cache"
    assert text_of(soup, ".question") == "How do I use Redis?"
    source = one(soup, one(soup, ".prose .citation")["href"])
    assert "Set LOCATION to the URL" in text_of(source, "blockquote")
    assert one(source, "a")["href"].startswith("https://docs.djangoproject.com/")
    # Nothing of the owner, and nothing that leads inside.
    html = response.content.decode()
    assert "alice" not in html
    assert str(chat.pk) not in html
    assert "/passages/" not in html
    assert "Memcached" not in html  # stands beside the quotation
    # Kept out of search engines and caches, with the policy of every page.
    assert "noindex" in response.headers["X-Robots-Tag"]
    assert "noindex" in one(soup, 'meta[name="robots"]')["content"]
    assert "no-store" in response.headers["Cache-Control"]
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not soup.select("script, [style], style, iframe")
    assert "sessionid" not in response.cookies


def test_the_copy_stays_as_it_was_until_it_is_shared_again(
    alice_client: Client, client: Client, shared: tuple[Chat, str]
) -> None:
    chat, path = shared
    Message.objects.filter(chat=chat, role="user").update(text="My salary?")
    Chat.objects.update(title="Private now")
    before = client.get(path).content.decode()
    assert "My salary?" not in before
    assert "Private now" not in before
    alice_client.post(f"/chats/{chat.pk}/share/")
    assert "My salary?" in client.get(path).content.decode()


def test_a_link_is_taken_back(
    alice_client: Client, client: Client, shared: tuple[Chat, str]
) -> None:
    chat, path = shared
    menu = page(alice_client, f"/chats/{chat.pk}/manage/")
    assert one(menu, "input.link")["value"] == f"http://testserver{path}"
    alice_client.post(one(menu, f'form[action="/chats/{chat.pk}/unshare/"]')["action"])
    page(client, path, status=404)
    # Sharing once more makes another link: the first one stays dead.
    alice_client.post(f"/chats/{chat.pk}/share/")
    page(client, path, status=404)


def test_a_link_ends_with_its_chat_and_its_owner(
    alice: User, client: Client, shared: tuple[Chat, str]
) -> None:
    _chat, path = shared
    Chat.objects.update(deleted_at=timezone.now())
    page(client, path, status=404)
    Chat.objects.update(deleted_at=None)
    page(client, path)
    User.objects.update(is_active=False)
    page(client, path, status=404)


def test_links_cannot_be_guessed(client: Client, shared: tuple[Chat, str], settings) -> None:
    _chat, path = shared
    token = path.split("/")[2]
    share = Share.objects.get()
    assert token not in str(vars(share))
    turned = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    for wrong in (
        turned,
        token[:22],
        f"{token}A",
        "A" * 43,
        "가" * 43,
        "-_" * 21 + "-",
        str(share.pk),
    ):
        page(client, f"/shared/{wrong}/", status=404)
    settings.TOKEN_KEY = "another"
    page(client, path, status=404)


def test_links_are_limited_by_address(client: Client, shared: tuple[Chat, str], settings) -> None:
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] | {"address": "2/day"}
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}
    _chat, path = shared
    assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429]


def test_a_long_copy_has_pages(
    alice: User, alice_client: Client, client: Client, make_chat: MakeChat
) -> None:
    chat, _answer = make_chat(alice)
    Message.objects.bulk_create(
        Message(chat=chat, position=n, role="assistant" if n % 2 else "user", text=f"text {n}")
        for n in range(2, 60)
    )
    alice_client.post(f"/chats/{chat.pk}/share/")
    menu = page(alice_client, f"/chats/{chat.pk}/manage/")
    path = str(one(menu, "input.link")["value"]).removeprefix("http://testserver")
    first = page(client, path)
    assert len(first.select(".question")) == len(first.select(".answer")) == 25
    last = page(client, f"{path}{one(first, '.pages a')['href']}")
    assert text_of(last, ".answer .prose") == "text 51"
    page(client, f"{path}?page=rubbish")


def test_markup_in_a_copy_is_inert(alice: User, alice_client: Client, make_chat: MakeChat) -> None:
    evil = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    chat, answer = make_chat(alice, evil, f"{evil} [1]", title=evil)
    answer.citations[0] |= {"quote": evil, "document": evil, "headings": [evil], "url": "data:x,y"}
    answer.save()
    alice_client.post(f"/chats/{chat.pk}/share/")
    menu = page(alice_client, f"/chats/{chat.pk}/manage/")
    path = str(one(menu, "input.link")["value"]).removeprefix("http://testserver")
    for soup in (menu, page(alice_client, path), page(alice_client, "/chats/")):
        assert all(script.get("src", "").startswith("/static/") for script in soup("script"))
        assert all(image["src"].startswith("/static/") for image in soup("img"))
        assert not [tag for tag in soup(True) if any(name.startswith("on") for name in tag.attrs)]
        assert not [link for link in soup("a") if link["href"].startswith("data:")]


# --- not one's own


@pytest.mark.parametrize("method", ["pin", "manage", "export", "share", "unshare"])
def test_only_the_owner_keeps_a_chat(
    alice: User, bob_client: Client, client: Client, make_chat: MakeChat, method: str
) -> None:
    chat, _answer = make_chat(alice)
    url = f"/chats/{chat.pk}/{method}/"
    send = "get" if method in ("manage", "export") else "post"
    assert getattr(bob_client, send)(url).status_code == 404
    assert "/accounts/login/" in getattr(client, send)(url).headers["Location"]
    if send == "post":
        assert bob_client.get(url).status_code == 405
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(alice)
        assert strict.post(url).status_code == 403
    chat.refresh_from_db()
    assert not chat.pinned
    assert not Share.objects.exists()
