"""The settings: what one prefers, where one is logged in, API tokens; and what nobody else can do there."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from bs4 import BeautifulSoup
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from mundap.accounts.models import ApiToken, User
from mundap.accounts.sessions import USE_IS_WRITTEN_EVERY_SECONDS, device_name
from mundap.accounts.tokens import TOKENS_PER_USER, make_token
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
PAGES = ["/settings/", "/settings/security/", "/settings/tokens/", "/settings/data/"]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) AppleWebKit/605.1 Version/19.0 Mobile Safari/604.1"
)


def soup_of(client: Client, url: str) -> BeautifulSoup:
    response = client.get(url)
    assert response.status_code == 200, url
    return BeautifulSoup(response.content, "html.parser")


def logged_in(email: str, **headers: str) -> Client:
    client = Client(headers=headers)
    reply = client.post("/accounts/login/", {"login": email, "password": PASSWORD})
    assert reply.status_code == 302
    return client


@pytest.mark.parametrize("url", PAGES)
def test_pages_are_for_their_owner_and_keep_the_policy(
    client: Client, alice_client: Client, url: str
) -> None:
    assert client.get(url).headers["Location"] == f"/accounts/login/?next={url}"
    response = alice_client.get(url)
    soup = BeautifulSoup(response.content, "html.parser")
    assert not soup.select("[style], style, script:not([src])")
    assert soup.select_one('nav a[aria-current="page"]')["href"] == url
    assert "no-store" in response.headers["Cache-Control"]


# --- language and theme


def test_language_and_theme_are_kept_and_shown_at_once(alice: User, alice_client: Client) -> None:
    url = "/settings/"
    assert alice_client.post(url, {"language": "ko", "theme": "dark"}).status_code == 302
    html = soup_of(alice_client, url).html
    assert (html["lang"], html["data-theme"]) == ("ko", "dark")
    # Another browser follows at the log-in.
    other = logged_in(alice.email)
    html = soup_of(other, url).html
    assert (html["lang"], html["data-theme"]) == ("ko", "dark")
    # And back to what browser and system say.
    alice_client.post(url, {"language": "", "theme": ""})
    html = soup_of(alice_client, url).html
    assert (html["lang"], html.get("data-theme")) == ("en", None)


def test_settings_change_nothing_else(alice: User, alice_client: Client) -> None:
    more = {"is_staff": "1", "is_superuser": "1", "email": "evil@example.org", "password": "x"}
    alice_client.post("/settings/", {"language": "", "theme": "light"} | more)
    before, alice = alice, User.objects.get()
    assert (alice.theme, alice.email, alice.is_staff, alice.is_superuser) == (
        "light",
        before.email,
        False,
        False,
    )
    assert alice.password == before.password


def test_another_browser_follows_with_its_next_page(alice: User) -> None:
    here = logged_in(alice.email)
    there = logged_in(alice.email, accept="text/html", accept_language="ko")
    for chosen, shown in (
        ({"language": "ko", "theme": "dark"}, ("ko", "dark")),
        ({"language": "en", "theme": "light"}, ("en", "light")),
        ({"language": "", "theme": ""}, ("ko", None)),  # as that browser wants it
    ):
        here.post("/settings/", chosen)
        html = soup_of(there, "/shelf/").html
        assert (html["lang"], html.get("data-theme")) == shown
        # And so do what its scripts ask for, and the page after the log-out.
        kept = {name: there.cookies[name].value for name in ("django_language", "theme")}
        assert kept == {"django_language": chosen["language"], "theme": chosen["theme"]}


def test_a_language_chosen_before_the_log_in_stays(alice: User, client: Client) -> None:
    client.defaults["HTTP_ACCEPT"] = "text/html"
    client.post("/language/", {"language": "ko"})
    client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    for _ in range(2):
        assert soup_of(client, "/settings/").html["lang"] == "ko"


@pytest.mark.parametrize("wrong", [{"theme": "pink"}, {"language": "xx"}, {"theme": '"><script>'}])
def test_a_preference_that_is_none_is_refused(
    alice: User, alice_client: Client, wrong: dict[str, str]
) -> None:
    assert alice_client.post("/settings/", wrong).status_code == 400
    alice.refresh_from_db()
    assert (alice.theme, alice.language) == ("", "")


def test_a_forged_theme_cookie_is_passed_over(client: Client) -> None:
    client.cookies["theme"] = '"><script>alert(1)</script>'
    assert soup_of(client, "/accounts/login/").html.get("data-theme") is None


def test_the_language_at_the_foot_stays_chosen(alice: User, alice_client: Client) -> None:
    alice_client.post("/language/", {"language": "ko"})
    alice.refresh_from_db()
    assert alice.language == "ko"
    alice_client.post("/language/", {"language": "../../etc"})
    alice.refresh_from_db()
    assert alice.language == "ko"
    assert alice_client.get("/language/").status_code == 405


# --- sessions


def test_one_sees_where_one_is_logged_in_and_ends_it(alice: User, bob_client: Client) -> None:
    here, phone = (
        logged_in(alice.email, user_agent=FIREFOX),
        logged_in(alice.email, user_agent=SAFARI),
    )
    soup = soup_of(here, "/settings/security/")
    assert [item.b.get_text() for item in soup.select(".items li")] == [
        "Firefox · Linux",
        "Safari · iPhone",
    ]
    assert "this one" in soup.select_one(".items li").get_text()
    (form,) = soup.select(".items form")
    assert bob_client.post(form["action"]).status_code == 404
    assert phone.get("/settings/").status_code == 200
    assert here.post(form["action"]).status_code == 302
    assert phone.get("/settings/").status_code == 302
    assert here.get("/settings/").status_code == 200
    assert here.post(form["action"]).status_code == 404


def test_one_logs_out_everywhere_else(alice: User, bob_client: Client) -> None:
    clients = [logged_in(alice.email) for _ in range(3)]
    token = Client().post(
        "/_allauth/app/v1/auth/login",
        {"email": alice.email, "password": PASSWORD},
        content_type="application/json",
    )
    program = {"X-Session-Token": token.json()["meta"]["session_token"]}
    assert clients[0].post("/settings/sessions/end-others/").status_code == 302
    assert [client.get("/settings/").status_code for client in clients] == [200, 302, 302]
    assert Client().get("/api/v1/tokens/", headers=program).status_code == 401
    assert bob_client.get("/settings/").status_code == 200


def test_a_use_is_written_every_five_minutes(alice: User, django_assert_num_queries) -> None:
    client = logged_in(alice.email)
    client.get("/settings/")
    UserSession.objects.update(last_seen_at=timezone.now() - timedelta(days=1))
    with django_assert_num_queries(4):  # the session, its user and their chats: nothing is written
        client.get("/settings/")
    session = client.session
    session["mundap_use_noted_at"] -= USE_IS_WRITTEN_EVERY_SECONDS + 1
    session.save()
    client.get("/settings/", REMOTE_ADDR="192.0.2.9")
    row = UserSession.objects.get()
    assert row.last_seen_at > timezone.now() - timedelta(minutes=1)
    assert row.ip == "192.0.2.9"


def test_a_session_from_before_is_listed_too(alice: User, alice_client: Client) -> None:
    assert not UserSession.objects.exists()
    alice_client.get("/settings/")
    assert len(soup_of(alice_client, "/settings/security/").select(".items li")) == 1


def test_nobody_can_fix_a_session_before_the_log_in(alice: User) -> None:
    client = Client()
    client.get("/accounts/login/")
    session = client.session
    session["planted"] = "1"
    session.save()
    client.cookies["sessionid"] = planted = session.session_key
    client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    assert client.cookies["sessionid"].value != planted
    assert not Session.objects.filter(session_key=planted).exists()
    thief = Client()
    thief.cookies["sessionid"] = planted
    assert thief.get("/settings/").status_code == 302


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox · Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/5 Chrome/140 Safari/5 Edg/140",
            "Edge · Windows",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15) Version/19 Safari/6", "Safari · macOS"),
        (
            "Mozilla/5.0 (Linux; Android 16) SamsungBrowser/29 Chrome/1",
            "Samsung Internet · Android",
        ),
        ("curl/8", "curl"),
        ("", "Another program"),
        ("<b>", "Another program"),
    ],
)
def test_devices_have_names(user_agent: str, name: str) -> None:
    with override("en"):  # a page of another test may have been in Korean
        assert device_name(user_agent) == name


# --- API tokens


def test_a_token_is_made_shown_once_and_taken_back(alice: User, alice_client: Client) -> None:
    reply = alice_client.post("/settings/tokens/", {"name": "laptop", "user": "bob", "digest": "x"})
    secret = BeautifulSoup(reply.content, "html.parser").select_one("#secret")["value"]
    bearer = {"Authorization": f"Bearer {secret}"}
    assert Client().get("/api/v1/tokens/", headers=bearer).status_code == 200
    assert ApiToken.objects.get().user == alice
    soup = soup_of(alice_client, "/settings/tokens/")
    assert secret not in str(soup)
    assert "laptop" in soup.select_one(".items").get_text()
    assert alice_client.post(soup.select_one(".items form")["action"]).status_code == 302
    assert Client().get("/api/v1/tokens/", headers=bearer).status_code == 401


def test_tokens_are_refused_where_they_must_be(
    alice: User, alice_client: Client, bob_client: Client
) -> None:
    token, _secret = make_token(alice, name="hers")
    assert bob_client.post(f"/settings/tokens/{token.pk}/delete/").status_code == 404
    for wrong in ("", " ", "x" * 101, "a\0b"):
        assert alice_client.post("/settings/tokens/", {"name": wrong}).status_code == 400
    ApiToken.objects.bulk_create(
        ApiToken(user=alice, name="x", digest=bytes([n])) for n in range(TOKENS_PER_USER - 1)
    )
    full = alice_client.post("/settings/tokens/", {"name": "one more"})
    assert full.status_code == 400
    assert str(TOKENS_PER_USER) in full.content.decode()
    assert ApiToken.objects.count() == TOKENS_PER_USER


# --- forms of strangers


@pytest.mark.parametrize(
    "url",
    [
        *PAGES[:1],
        "/settings/tokens/",
        "/settings/sessions/end-others/",
        "/settings/data/delete/",
        "/settings/address/",
        "/accounts/password/change/",
        "/accounts/2fa/totp/activate/",
    ],
)
def test_forms_from_elsewhere_are_refused(alice: User, url: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(url, {"name": "x", "password": PASSWORD, "sure": "1"}).status_code == 403
    assert User.objects.exists()
    assert not ApiToken.objects.exists()


# --- password and address


def test_a_password_is_changed_and_ends_other_sessions(alice: User) -> None:
    here, other = logged_in(alice.email), logged_in(alice.email)
    new = "another good phrase"
    wrong = {"oldpassword": "wrong", "password1": new, "password2": new}
    assert here.post("/accounts/password/change/", wrong).status_code == 200
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    here.post("/accounts/password/change/", wrong | {"oldpassword": PASSWORD})
    assert here.get("/settings/").status_code == 200
    assert other.get("/settings/").status_code == 302


def test_an_address_changes_once_its_owner_has_opened_the_link(
    alice: User, bob: User, settings
) -> None:
    settings.HAS_MAIL = True
    client, url = logged_in(alice.email), "/settings/address/"
    form = {"email": "New@example.org", "password": PASSWORD}
    assert client.post(url, form | {"password": "wrong"}).status_code == 400
    answers = [client.post(url, form | {"email": email}) for email in (bob.email, form["email"])]
    # Whether somebody has the address is not told here, only to its owner.
    assert {(reply.status_code, reply.headers["Location"]) for reply in answers} == {
        (302, "/settings/security/")
    }
    assert [message.to for message in mail.outbox] == [[bob.email], [form["email"]]]
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"
    link = re.search(r"http://testserver(/settings/address/\S+/)", mail.outbox[1].body)[1]
    assert Client().post(f"{link[:-2]}x/").status_code == 404
    assert Client().get(link).status_code == 200  # a mail scanner opens it, too
    assert Client().post(link).status_code == 302
    alice.refresh_from_db()
    assert alice.email == "New@example.org"
    assert Client().post(link).status_code == 404  # once only
    logged_in("new@example.org")


def test_without_mail_an_address_changes_at_once(alice: User, bob: User) -> None:
    client, url = logged_in(alice.email), "/settings/address/"
    taken = client.post(url, {"email": "BOB@example.org", "password": PASSWORD})
    assert taken.status_code == 400
    assert "already" in taken.content.decode()
    assert client.post(url, {"email": "rubbish", "password": PASSWORD}).status_code == 400
    client.post(url, {"email": "new@example.org", "password": PASSWORD, "is_staff": "1"})
    alice.refresh_from_db()
    assert (alice.email, alice.is_staff) == ("new@example.org", False)
    logged_in("new@example.org")
    assert client.get("/accounts/email/").headers["Location"] == url


def test_a_taken_address_is_not_told(alice: User, bob: User, settings) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    answers = set()
    for email in ("bob@example.org", "nobody@example.org"):
        reply = Client().post("/accounts/signup/", {"email": email, "password1": PASSWORD})
        answers.add((reply.status_code, reply.headers.get("Location")))
        wrong = Client().post("/accounts/login/", {"login": email, "password": "wrong"})
        reset = Client().post("/accounts/password/reset/", {"email": email})
        said = BeautifulSoup(wrong.content, "html.parser").select_one(".is-error").get_text()
        answers.add((said, reset.status_code, reset.headers["Location"]))
    assert len(answers) == 2


def test_the_keys_are_listed_for_everybody(client: Client) -> None:
    assert len(soup_of(client, "/help/").select("kbd")) > 8
