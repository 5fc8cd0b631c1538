"""Logging in with a provider: buttons only where one is set up, and the whole way through with one on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from bs4 import BeautifulSoup
from django.test import Client

from mundap.accounts.models import User
from mundap.config.login_providers import LoginProvider, as_allauth_settings, offered
from mundap.errors import ConfigurationError
from tests.conftest import PASSWORD
from tests.oidc_provider import Provider, provided

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/oidc/oidc/login/"


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    with provided() as server:
        one = LoginProvider("openid_connect", "Our school", "client", "secret", server.url)
        settings.SOCIALACCOUNT_PROVIDERS = as_allauth_settings([one])
        server.person = {"sub": "7", "email": "carol@example.org", "email_verified": True}
        yield server


def go_through(client: Client, *, process: str = "login") -> Any:
    """Press the button, and come back from the provider."""
    sent_on = on_to(client.post(f"{LOGIN}?process={process}"))
    state = parse_qs(urlsplit(sent_on).query)["state"][0]
    return client.get(f"{LOGIN}callback/", {"code": "one", "state": state})


def on_to(response: Any) -> str:
    """Return where the page between us and the provider goes."""
    page = BeautifulSoup(response.content, "html.parser")
    address = page.select_one("main a")["href"]
    assert page.select_one("meta[http-equiv=refresh]")["content"] == f"0; url={address}"
    return str(address)


def test_without_a_provider_nothing_is_offered(client: Client) -> None:
    for page in ("/accounts/login/", "/accounts/signup/"):
        assert "Continue with" not in client.get(page).content.decode()
    assert client.post(LOGIN).status_code == 404


def test_somebody_new_gets_an_account(client: Client, provider: Provider) -> None:
    page = BeautifulSoup(client.get("/accounts/login/").content, "html.parser")
    button = page.select_one(".providers form")
    assert button.get_text(strip=True) == "Continue with Our school"
    assert button["method"] == "post"
    assert button["action"].startswith(LOGIN)
    assert go_through(client).headers["Location"] == "/"
    assert client.get("/settings/").status_code == 200
    user = User.objects.get()
    assert (user.email, user.has_usable_password()) == ("carol@example.org", False)
    assert "code_verifier" in provider.asked  # a stolen code is of no use
    # The same person again is the same account.
    again = Client()
    go_through(again)
    assert again.get("/settings/").status_code == 200
    assert User.objects.count() == 1


def test_the_way_there_needs_nothing_of_the_policy(client: Client, provider: Provider) -> None:
    sent_on = client.post(LOGIN)
    assert on_to(sent_on).startswith(f"{provider.front}/authorize?")
    assert "form-action 'self';" in f"{sent_on.headers['Content-Security-Policy']};"
    assert "no-store" in sent_on.headers["Cache-Control"]
    assert client.cookies["sessionid"]["httponly"]  # the state that the reply is held against
    # What stays here is redirected as ever.
    assert client.post("/language/", {"language": "ko"}).status_code == 302


def test_a_reply_that_was_not_asked_for_is_refused(client: Client, provider: Provider) -> None:
    client.post(LOGIN)
    forged = client.get(f"{LOGIN}callback/", {"code": "one", "state": "made-up"})
    assert "sessionid" not in client.cookies or client.get("/settings/").status_code == 302
    assert forged.status_code in {200, 401, 403}
    assert not User.objects.exists()


def test_an_address_alone_does_not_open_somebodys_account(
    client: Client, provider: Provider, alice: User
) -> None:
    provider.person |= {"email": alice.email}
    go_through(client)
    assert client.get("/settings/").status_code == 302
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1


def test_sign_up_may_be_closed(client: Client, provider: Provider, settings) -> None:
    settings.SOCIAL_SIGNUP_IS_OPEN = False
    assert "closed" in go_through(client).content.decode()
    assert not User.objects.exists()


def test_an_account_is_connected_by_its_owner(provider: Provider, alice: User) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    go_through(client, process="connect")
    assert SocialAccount.objects.get().user == alice
    other = Client()
    go_through(other)
    assert alice.email in other.get("/settings/security/").content.decode()


def test_what_is_set_up_by_half_is_told() -> None:
    google = LoginProvider("google", "Google", "id", "secret")
    nothing = LoginProvider("openid_connect", "OpenID Connect", "", "")
    assert offered([google, nothing]) == [google]
    for half in (
        LoginProvider("github", "GitHub", "id", ""),
        LoginProvider("openid_connect", "Ours", "id", "secret"),
    ):
        with pytest.raises(ConfigurationError, match=half.name):
            offered([half])
