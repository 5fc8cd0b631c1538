"""What the pages show to whom."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup, Tag
from django.test import Client
from django.utils import timezone

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, State
from mundap.library.models import Collection, Passage
from tests.web.conftest import MakeChat, cite

pytestmark = pytest.mark.django_db


def page(client: Client, url: str, *, status: int = 200) -> BeautifulSoup:
    response = client.get(url)
    assert response.status_code == status, url
    return BeautifulSoup(response.content, "html.parser")


def one(soup: BeautifulSoup | Tag, selector: str) -> Tag:
    found = soup.select_one(selector)
    assert found is not None, selector
    return found


def text_of(soup: BeautifulSoup | Tag, selector: str) -> str:
    return " ".join(one(soup, selector).get_text().split())


# --- signed out


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/ask/shelf/",
        "/chats/",
        "/chats/01a20000-0000-7000-8000-00000000000a/",
        "/messages/01a20000-0000-7000-8000-00000000000a/",
        "/passages/01a20000-0000-7000-8000-00000000000a/",
    ],
)
def test_signed_out_readers_are_asked_to_log_in(client: Client, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 302
    assert response.headers["Location"] == f"/accounts/login/?next={url}"


@pytest.mark.parametrize("action", ["rename", "delete", "restore", "ask"])
def test_signed_out_forms_change_nothing(
    client: Client, alice: User, make_chat: MakeChat, action: str
) -> None:
    chat, _answer = make_chat(alice)
    response = client.post(f"/chats/{chat.pk}/{action}/", {"title": "Mine", "text": "?"})
    assert response.status_code == 302
    assert "/accounts/login/" in response.headers["Location"]
    chat.refresh_from_db()
    assert (chat.title, chat.deleted_at, chat.next_position) == ("Redis as the cache", None, 2)


# --- the shelf


def test_an_empty_shelf_says_so(alice_client: Client) -> None:
    soup = page(alice_client, "/")
    assert "still empty" in text_of(soup, "#shelf")
    assert one(soup, "#shelf").has_attr("data-filling")


def test_what_can_be_asked_is_offered(alice_client: Client, passage: Passage) -> None:
    soup = page(alice_client, "/")
    chosen = one(soup, "input[name=collection]")
    assert chosen["value"] == "django"
    assert chosen.has_attr("checked")
    assert not chosen.has_attr("disabled")
    assert "5.2" in text_of(soup, ".book")
    assert not one(soup, "#shelf").has_attr("data-filling")


def test_the_collection_used_last_is_chosen(
    alice: User, alice_client: Client, passage: Passage, make_chat: MakeChat
) -> None:
    other = Collection.objects.create(
        slug="a", title="A", category="A", title_no=1, visibility="everyone"
    )
    Passage.objects.create(
        collection=other,
        document=passage.document,
        position=9,
        text="x",
        start=0,
        end=1,
        content_hash="x",
    )
    assert one(page(alice_client, "/"), "input[checked]")["value"] == "a"
    make_chat(alice)
    assert one(page(alice_client, "/"), "input[checked]")["value"] == "django"


def test_documents_being_read_show_how_far(alice_client: Client, django_docs: Collection) -> None:
    Collection.objects.update(
        state=Collection.State.INGESTING, documents_done=12, documents_total=600
    )
    soup = page(alice_client, "/ask/shelf/")
    assert "12 of 600" in text_of(soup, ".book")
    assert one(soup, "progress")["value"] == "12"
    assert one(soup, "input[name=collection]").has_attr("disabled")
    assert one(soup, "#shelf").has_attr("data-filling")


def test_documents_that_could_not_be_read_say_why(
    alice_client: Client, django_docs: Collection
) -> None:
    Collection.objects.update(state=Collection.State.FAILED, error="No network <b>at all</b>")
    assert "No network <b>at all</b>" in text_of(page(alice_client, "/"), ".book")


def test_private_collections_of_others_are_not_offered(
    alice_client: Client, bob: User, django_docs: Collection
) -> None:
    Collection.objects.update(visibility=Collection.Visibility.PRIVATE, owner=bob)
    assert page(alice_client, "/").select_one(".book") is None


def test_without_a_model_the_page_says_that_answers_are_quotations(
    alice_client: Client, passage: Passage
) -> None:
    assert "quotations" in text_of(page(alice_client, "/"), "#hint")


def test_with_a_model_it_does_not(alice_client: Client, passage: Passage, model: object) -> None:
    assert "quotations" not in text_of(page(alice_client, "/"), "#hint")


# --- a chat


def test_a_chat_shows_question_answer_and_sources(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    chat, answer = make_chat(alice)
    soup = page(alice_client, f"/chats/{chat.pk}/")
    assert text_of(soup, ".bar h1") == "Redis as the cache"
    assert text_of(soup, ".question") == "How do I use Redis?"
    link = one(soup, ".prose a.citation")
    assert link["href"] == f"/passages/{passage.pk}/?message={answer.pk}&n=1"
    assert text_of(soup, ".sources .place") == "Redis · Django’s cache framework"
    official = one(soup, ".sources .out")
    assert official["href"] == "https://docs.djangoproject.com/en/5.2/topics/cache/#redis"
    assert one(soup, '#chats a[aria-current="page"]')["href"] == f"/chats/{chat.pk}/"


def test_a_question_of_many_words_or_lines_is_no_heading(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    for question, is_long in (
        ("Why?\nHow?", False),
        ("x " * 201, True),
        ("Why\n```\nx\n```", True),
    ):
        chat, _answer = make_chat(alice, question)
        shown = one(page(alice_client, f"/chats/{chat.pk}/"), ".question")
        assert ("is-long" in shown["class"]) is is_long


def test_what_is_not_in_the_documents_looks_different(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    nearest = "I could not find it.\n\nThe nearest passages are:\n\n- Caching › Redis [1]"
    chat, _answer = make_chat(alice, answer=nearest, is_answered=False)
    soup = page(alice_client, f"/chats/{chat.pk}/")
    assert "is-unanswered" in one(soup, ".answer")["class"]
    assert text_of(soup, ".verdict") == "Not in the documents"
    # They are named once, where they can be opened.
    assert text_of(soup, ".prose") == "I could not find it."
    assert text_of(soup, ".sources h3") == "The nearest passages"
    managed = alice_client.post(f"/chats/{chat.pk}/share/", follow=True).content
    link = one(BeautifulSoup(managed, "html.parser"), "input.link")["value"]
    assert text_of(page(alice_client, str(link)), ".prose") == "I could not find it."


def test_a_statement_that_its_source_does_not_support_is_marked(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    chat, _answer = make_chat(alice, citations=[cite(passage, supported=False)])
    soup = page(alice_client, f"/chats/{chat.pk}/")
    assert "is-doubtful" in one(soup, ".prose .citation")["class"]
    assert text_of(soup, ".prose .doubted") == "Set LOCATION"
    assert "may not support" in text_of(soup, ".sources .doubt")


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (State.STOPPED, "", "You stopped this answer."),
        (State.INTERRUPTED, "", "interrupted"),
        (State.FAILED, "The model said 429.", "The model said 429."),
        (State.FAILED, "", "failed"),
    ],
)
def test_an_answer_that_did_not_end_well_says_so(
    alice: User, alice_client: Client, make_chat: MakeChat, state: State, error: str, words: str
) -> None:
    chat, _answer = make_chat(alice, state=state, error=error)
    assert words in text_of(page(alice_client, f"/chats/{chat.pk}/"), ".outcome")


def test_a_failed_question_can_be_asked_again(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice, "Why?", answer="", state=State.FAILED, citations=[])
    soup = page(alice_client, f"/chats/{chat.pk}/")
    assert one(soup, ".again form")["action"] == f"/messages/{answer.pk}/regenerate/"
    assert not soup.select("form[data-turn=continue]")


def test_an_interrupted_answer_can_be_gone_on_with(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice, state=State.INTERRUPTED)
    soup = page(alice_client, f"/chats/{chat.pk}/")
    forms = [form["action"] for form in soup.select(".again form")]
    assert forms == [f"/messages/{answer.pk}/{verb}/" for verb in ("continue", "regenerate")]


def test_a_running_answer_can_be_picked_up(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice, answer="", state=State.RUNNING, citations=[])
    section = one(page(alice_client, f"/chats/{chat.pk}/"), ".answer")
    assert section["data-state"] == "running"
    assert section["data-message"] == str(answer.pk)
    assert section["data-turn"] == str(chat.turns.get().pk)


def test_a_finished_answer_is_served_alone(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice)
    soup = page(alice_client, f"/messages/{answer.pk}/")
    assert one(soup, ".answer")["id"] == f"m-{answer.pk}"
    assert soup.select_one("html") is None
    assert f"/chats/{chat.pk}/" in str(one(soup, 'template[data-into="chats"]'))


def test_a_long_chat_shows_its_last_messages_first(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, _answer = make_chat(alice)
    for position in range(2, 60):
        Message.objects.create(chat=chat, position=position, role="user", text=f"m{position}")
    soup = page(alice_client, f"/chats/{chat.pk}/")
    assert len(soup.select(".question[dir]")) == 50  # and not the template for the next one
    earlier = one(soup, ".earlier a")["href"]
    soup = page(alice_client, f"/chats/{chat.pk}/{earlier}")
    assert text_of(soup, ".question") == "How do I use Redis?"


def test_a_chat_whose_documents_are_gone_can_be_read(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, _answer = make_chat(alice)
    Collection.objects.all().delete()
    soup = page(alice_client, f"/chats/{chat.pk}/")
    assert "no longer on the shelf" in text_of(soup, ".notice")
    assert soup.select_one("#text") is None


# --- passages


def test_a_passage_shows_the_quoted_words_in_their_place(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    chat, answer = make_chat(alice)
    soup = page(alice_client, f"/passages/{passage.pk}/?message={answer.pk}&n=1")
    marked = "".join(mark.get_text() for mark in soup.select(".passage mark"))
    assert marked == "Set LOCATION to the URL pointing to your Redis instance."
    around = [block.get_text().strip() for block in soup.select(".passage .around")]
    assert around == [
        "Redis",
        "Memcached is a memory-based cache server.",
        "Often servers ask for a password.",
    ]
    assert text_of(soup, ".trail") == "Django’s cache framework"
    assert text_of(soup, ".passage h2") == "Redis"
    assert one(soup, ".passage a.button")["href"].endswith("/topics/cache/#redis")
    assert one(soup, ".earlier a")["href"] == f"/chats/{chat.pk}/#m-{answer.pk}"


def test_all_that_an_answer_quotes_is_marked(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    quotations = (
        "> - Set `BACKEND` to the Redis class. [1]\n\n"
        '```python\nCACHES = {"default": 1}\n```\n\n[1]'
    )
    _chat, answer = make_chat(alice, answer=f"The documents say:\n\n{quotations}")
    soup = page(alice_client, f"/passages/{passage.pk}/?message={answer.pk}&n=1")
    assert "Set BACKEND to the Redis class." in "".join(m.get_text() for m in soup.select("p mark"))
    assert one(soup, "pre mark").get_text() == 'CACHES = {"default": 1}'


def test_a_passage_without_a_citation_is_shown_plain(
    alice_client: Client, passage: Passage
) -> None:
    soup = page(alice_client, f"/passages/{passage.pk}/?message=rubbish&n=x")
    assert soup.select_one("mark") is None
    assert "To use Redis" in text_of(soup, ".passage")


def test_all_sources_of_an_answer_are_shown_in_their_order(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    cited = [cite(passage), cite(passage, quote="Set `BACKEND` to the Redis class.", number=2)]
    _chat, answer = make_chat(alice, "Why?", "So [2] and so [1].", citations=cited)
    soup = page(alice_client, f"/messages/{answer.pk}/sources/")
    assert [number.get_text() for number in soup.select(".cited .number")] == ["1", "2"]
    assert all(part.select("mark") for part in soup.select(".cited"))
    url = f"/messages/{answer.pk}/sources/?fragment=1"
    assert page(alice_client, url).select_one("html") is None
    # One by one, there is a way to the next one.
    soup = page(alice_client, f"/passages/{passage.pk}/?message={answer.pk}&n=1")
    following = [link["href"] for link in soup.select("nav.earlier a")][1:]
    assert following == [f"/passages/{passage.pk}/?message={answer.pk}&n=2"]


def test_the_pane_gets_the_passage_without_a_frame(alice_client: Client, passage: Passage) -> None:
    soup = page(alice_client, f"/passages/{passage.pk}/?fragment=1")
    assert soup.select_one("html") is None
    assert text_of(soup, ".passage h2") == "Redis"


def test_a_quotation_is_found_again_after_the_document_moved(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    _chat, answer = make_chat(alice)
    Passage.objects.filter(pk=passage.pk).update(
        text="New first line.\n\n" + passage.text, content_hash="new"
    )
    soup = page(alice_client, f"/passages/{passage.pk}/?message={answer.pk}&n=1")
    assert "LOCATION" in "".join(mark.get_text() for mark in soup.select("mark"))


def test_a_quotation_that_is_no_longer_there_is_told(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    _chat, answer = make_chat(alice)
    Passage.objects.filter(pk=passage.pk).update(text="Rewritten.", content_hash="new")
    soup = page(alice_client, f"/passages/{passage.pk}/?message={answer.pk}&n=1")
    assert soup.select_one("mark") is None
    assert "LOCATION" in text_of(soup, ".notice blockquote")


def test_a_quotation_outlives_its_passage(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    _chat, answer = make_chat(alice)
    Collection.objects.all().delete()
    soup = page(alice_client, f"/passages/{passage.pk}/?message={answer.pk}&n=1")
    assert "LOCATION" in text_of(soup, ".notice blockquote")


# --- what one thinks of an answer


def test_a_thumb_is_kept_and_taken_back(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice)
    for rating, pressed in (
        ("up", ["true", "false"]),
        ("down", ["false", "true"]),
        ("", ["false"] * 2),
    ):
        alice_client.post(f"/messages/{answer.pk}/feedback/", {"rating": rating})
        buttons = page(alice_client, f"/chats/{chat.pk}/").select(".feedback button")
        assert [button["aria-pressed"] for button in buttons] == pressed


def test_a_thumb_down_asks_why_and_keeps_the_reason(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice)
    url = f"/messages/{answer.pk}/feedback/"
    alice_client.post(url, {"rating": "down"})
    assert one(page(alice_client, f"/chats/{chat.pk}/"), ".why").has_attr("open")
    alice_client.post(url, {"rating": "down", "reason": "wrong", "comment": "It is the\r\nport."})
    answer.refresh_from_db()
    assert answer.comment == "wrong: It is the\nport."
    soup = page(alice_client, f"/chats/{chat.pk}/")
    assert not one(soup, ".why").has_attr("open")
    assert one(soup, ".why input[value=wrong]").has_attr("checked")
    assert "port." in text_of(soup, ".why textarea")
    alice_client.post(url, {"rating": ""})
    assert page(alice_client, f"/chats/{chat.pk}/").select_one(".why") is None


def test_a_reason_that_is_none_of_ours_is_left_out(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    _chat, answer = make_chat(alice)
    data = {"rating": "down", "reason": "<b>", "comment": "No: not so."}
    alice_client.post(f"/messages/{answer.pk}/feedback/", data)
    answer.refresh_from_db()
    assert answer.comment == "No: not so."


def test_a_rating_that_is_none_is_refused(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    _chat, answer = make_chat(alice)
    response = alice_client.post(f"/messages/{answer.pk}/feedback/", {"rating": "sideways"})
    assert response.status_code == 400


# --- somebody else's


def test_what_belongs_to_another_is_not_there(
    alice: User, bob_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice)
    page(bob_client, f"/chats/{chat.pk}/", status=404)
    page(bob_client, f"/messages/{answer.pk}/", status=404)
    for url in (
        f"/chats/{chat.pk}/rename/",
        f"/chats/{chat.pk}/delete/",
        f"/chats/{chat.pk}/restore/",
        f"/messages/{answer.pk}/feedback/",
    ):
        response = bob_client.post(url, {"title": "Mine", "rating": "up"})
        assert response.status_code == 404, url
    chat.refresh_from_db()
    answer.refresh_from_db()
    assert (chat.title, chat.deleted_at, answer.rating) == ("Redis as the cache", None, "")
    assert page(bob_client, "/chats/").select_one(".list-page li") is None


def test_a_deleted_chat_of_another_is_not_named(
    alice: User, bob_client: Client, make_chat: MakeChat
) -> None:
    chat, _answer = make_chat(alice, title="Secret")
    Chat.objects.update(deleted_at=timezone.now())
    assert "Secret" not in str(page(bob_client, f"/?deleted={chat.pk}"))


def test_another_s_citation_marks_nothing(
    alice: User, bob: User, bob_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    _chat, answer = make_chat(alice)
    url = f"/passages/{passage.pk}/?message={answer.pk}&n=1"
    assert page(bob_client, url).select_one("mark") is None
    Collection.objects.update(visibility=Collection.Visibility.PRIVATE, owner=alice)
    page(bob_client, url, status=404)


# --- what must never work

EVIL = '<script>alert(1)</script><img src=x onerror="alert(1)"> "quoted"'


def test_markup_in_every_text_is_inert(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage
) -> None:
    Collection.objects.update(title=EVIL, state=Collection.State.FAILED, error=EVIL)
    passage.document.title = passage.document.path = EVIL
    passage.document.save()
    Passage.objects.update(text=f"{EVIL}\n\n```\n{EVIL}\n```\n\n`{EVIL}`", headings=[EVIL, EVIL])
    cited = cite(passage, document=EVIL, path=EVIL, headings=[EVIL], quote=EVIL)
    chat, answer = make_chat(alice, EVIL, f"{EVIL} [1]", title=EVIL, citations=[cited])
    for url in (
        "/",
        "/chats/",
        f"/chats/?q={EVIL}",
        f"/chats/{chat.pk}/",
        f"/messages/{answer.pk}/",
        f"/passages/{passage.pk}/?message={answer.pk}&n=1",
    ):
        soup = page(alice_client, url)
        assert all(script.get("src", "").startswith("/static/") for script in soup("script")), url
        assert all(image["src"].startswith("/static/") for image in soup("img")), url
        assert not [tag for tag in soup(True) if any(name.startswith("on") for name in tag.attrs)]
        assert "<script>alert(1)" in soup.get_text(), url


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x"])
def test_an_official_address_that_is_none_is_not_linked(
    alice: User, alice_client: Client, make_chat: MakeChat, passage: Passage, url: str
) -> None:
    chat, answer = make_chat(alice, citations=[cite(passage, url=url)])
    type(passage.document).objects.update(url=url)
    for address in (f"/chats/{chat.pk}/", f"/passages/{passage.pk}/?message={answer.pk}&n=1"):
        links = [link["href"] for link in page(alice_client, address)("a")]
        assert not [link for link in links if link.startswith(("javascript:", "data:"))]


def test_pages_carry_a_strict_policy_and_keep_it(
    alice: User, alice_client: Client, client: Client, make_chat: MakeChat
) -> None:
    chat, _answer = make_chat(alice)
    for browser, url in (
        (alice_client, "/"),
        (alice_client, f"/chats/{chat.pk}/"),
        (alice_client, "/no-such-page/"),
        (client, "/accounts/login/"),
        (client, "/accounts/signup/"),
    ):
        response = browser.get(url)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Frame-Options"] == "DENY"
        soup = BeautifulSoup(response.content, "html.parser")
        assert not soup.select("[style], style, script:not([src])"), url
        sources = [tag.get("src") or tag.get("href") for tag in soup.select("script, link, img")]
        assert all(source.startswith("/") for source in sources), url


def test_forms_without_their_token_are_refused(alice: User, make_chat: MakeChat) -> None:
    chat, _answer = make_chat(alice)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(f"/chats/{chat.pk}/delete/").status_code == 403
    assert strict.post("/ask/", {"text": "Why?", "collection": "django"}).status_code == 403
    chat.refresh_from_db()
    assert chat.deleted_at is None


def test_pages_of_a_person_are_not_kept_by_caches(alice_client: Client) -> None:
    assert "no-store" in alice_client.get("/").headers["Cache-Control"]


# --- accounts and languages


def test_log_in_and_out(client: Client, alice: User) -> None:
    soup = page(client, "/accounts/login/")
    assert one(soup, "label[for=id_login]").get_text()
    response = client.post(
        "/accounts/login/", {"login": alice.email, "password": "correct horse battery staple"}
    )
    assert response.headers["Location"] == "/"
    assert alice.email in text_of(page(client, "/"), ".side .who")
    client.post("/accounts/logout/")
    assert client.get("/").status_code == 302


def test_a_wrong_password_is_said_once_and_the_address_kept(client: Client, alice: User) -> None:
    response = client.post("/accounts/login/", {"login": alice.email, "password": "wrong"})
    soup = BeautifulSoup(response.content, "html.parser")
    assert text_of(soup, ".is-error")
    assert one(soup, "#id_login")["value"] == alice.email


def test_closed_sign_up_says_whom_to_ask(client: Client, settings) -> None:
    settings.SIGNUP_IS_OPEN = False
    assert "administrator" in text_of(page(client, "/accounts/signup/"), "main")


@pytest.mark.parametrize(
    "url",
    [
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/password/reset/key/done/",
        "/accounts/password/reset/key/1-bad/",
        "/accounts/confirm-email/",
        "/accounts/confirm-email/bad/",
    ],
)
def test_account_pages_are_in_our_frame(client: Client, url: str) -> None:
    soup = page(client, url)
    assert soup.select_one("main .sheet h1") is not None
    assert soup.select_one(".brand") is not None


def test_pages_speak_korean(alice_client: Client, passage: Passage) -> None:
    response = alice_client.get("/", headers={"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.5"})
    soup = BeautifulSoup(response.content, "html.parser")
    assert one(soup, "html")["lang"] == "ko"
    assert re.search(r"[가-힣]", text_of(soup, ".welcome"))


def test_the_language_can_be_chosen(client: Client) -> None:
    response = client.post("/language/", {"language": "ko", "next": "/accounts/login/"})
    assert response.headers["Location"] == "/accounts/login/"
    assert one(page(client, "/accounts/login/"), "html")["lang"] == "ko"


def test_an_unknown_address_has_a_page_and_a_way_back(alice_client: Client) -> None:
    soup = page(alice_client, "/nowhere/", status=404)
    assert one(soup, "main a.button")["href"] == "/"
