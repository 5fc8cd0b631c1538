"""Users, groups and limits: changed, ended, taken back and erased, and each of it written down."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group, Permission
from django.core.mail import EmailMessage
from django.test import Client

from mundap.accounts.models import Allowance, ApiToken, AuditEntry, User
from mundap.accounts.tokens import make_token
from mundap.chats.models import Chat
from tests.conftest import PASSWORD
from tests.web.conftest import MakeChat

pytestmark = pytest.mark.django_db


def change(user: User) -> str:
    return f"/admin/accounts/user/{user.pk}/change/"


def last_line() -> AuditEntry:
    line = AuditEntry.objects.first()
    assert line is not None
    return line


@pytest.fixture
def helper_client(db: None) -> Client:
    """Somebody of the staff who may look after users, and is no administrator."""
    helper = User.objects.create_user("helper@example.org", PASSWORD, is_staff=True)
    codes = ["view_user", "change_user", "delete_user"]
    helper.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client = Client()
    client.force_login(helper)
    return client


def test_an_account_is_made(admin: User, admin_client: Client) -> None:
    form = {"email": "new@example.org", "usable_password": "true"}
    form |= {"password1": PASSWORD, "password2": PASSWORD}
    assert admin_client.post("/admin/accounts/user/add/", form).status_code == 302
    made = User.objects.get(email="new@example.org")
    assert EmailAddress.objects.get(user=made).verified
    assert made.check_password(PASSWORD)
    line = last_line()
    assert (line.action, line.actor, line.whom) == ("user.added", admin, made)


@pytest.mark.parametrize("email", ["", "x", "ALICE@example.org", "a\x00@example.org"])
def test_bad_addresses_are_refused(admin_client: Client, alice: User, email: str) -> None:
    before = User.objects.count()
    form = {"email": email, "usable_password": "true", "password1": PASSWORD}
    reply = admin_client.post("/admin/accounts/user/add/", form | {"password2": PASSWORD})
    assert reply.status_code in {200, 400}
    assert User.objects.count() == before
    assert not AuditEntry.objects.exists()


def test_what_was_changed_is_written_down_without_words(
    admin: User, admin_client: Client, alice: User
) -> None:
    group = Group.objects.create(name="class 3")
    form = {"email": "alice@new.example", "is_staff": "on", "groups": [group.pk]}
    assert admin_client.post(change(alice), form).status_code == 302
    alice.refresh_from_db()
    assert (alice.email, alice.is_active, alice.is_staff) == ("alice@new.example", False, True)
    line = last_line()
    assert (line.action, line.actor, line.whom) == ("user.changed", admin, alice)
    assert line.details == {
        "email": [],
        "is_active": [True, False],
        "is_staff": [False, True],
        "groups": [[], [str(group.pk)]],
    }
    assert EmailAddress.objects.get(user=alice).email == "alice@new.example"


def test_nothing_of_a_password_is_shown(admin_client: Client, alice: User) -> None:
    page = admin_client.get(change(alice)).content.decode()
    assert "Reset password" in page
    algorithm, rest = alice.password.split("$", 1)
    for part in (algorithm, *rest.split("$")):
        assert part[:6] not in page
    alice.set_unusable_password()
    alice.save()
    assert "No password set." in admin_client.get(change(alice)).content.decode()


def test_a_password_set_by_staff_is_written_down(
    admin_client: Client, alice: User, alice_client: Client
) -> None:
    form = {"usable_password": "true", "password1": "another good phrase"}
    form["password2"] = form["password1"]
    url = f"/admin/accounts/user/{alice.pk}/password/"
    assert admin_client.post(url, form).status_code == 302
    assert last_line().action == "password.changed"
    assert alice_client.get("/settings/").status_code == 302


def test_sessions_are_ended_and_tokens_taken_back(
    admin_client: Client, alice: User, alice_client: Client, bob: User
) -> None:
    alice_client.get("/settings/")
    token, _secret = make_token(alice, name="laptop")
    page = admin_client.get(change(alice)).content.decode()
    assert "laptop" in page
    assert "127.0.0.1" in page
    base = f"/admin/accounts/user/{alice.pk}"
    assert admin_client.get(f"{base}/sessions/end/").status_code == 403
    wrong = f"/admin/accounts/user/{bob.pk}/tokens/{token.pk}/take-back/"
    assert admin_client.post(wrong).status_code == 404
    assert admin_client.post(f"{base}/tokens/{token.pk}/take-back/").status_code == 302
    assert not ApiToken.objects.exists()
    assert (last_line().action, last_line().whom) == ("token.taken_back", alice)
    assert admin_client.post(f"{base}/sessions/end/").status_code == 302
    assert last_line().action == "user.sessions_ended"
    assert alice_client.get("/settings/").status_code == 302


def test_deleting_somebody_erases_what_is_theirs(
    admin: User, admin_client: Client, alice: User, make_chat: MakeChat
) -> None:
    make_chat(alice)
    url = f"/admin/accounts/user/{alice.pk}/delete/"
    assert "alice@example.org" in admin_client.get(url).content.decode()
    assert admin_client.post(url).status_code == 400
    assert User.objects.filter(pk=alice.pk).exists()
    assert admin_client.post(url, {"sure": "1"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not Chat.objects.exists()
    line = last_line()
    assert (line.action, line.actor, line.whom, line.about) == ("user.deleted", admin, None, "")


def test_nobody_deletes_themselves_there(admin: User, admin_client: Client) -> None:
    url = f"/admin/accounts/user/{admin.pk}/delete/"
    assert admin_client.post(url, {"sure": "1"}).status_code == 403


def test_many_are_not_deleted_at_once(admin_client: Client, alice: User) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"}
    for name in ("accounts/user", "auth/group", "accounts/apitoken", "library/collection"):
        assert "delete_selected" not in admin_client.get(f"/admin/{name}/").content.decode()
        admin_client.post(f"/admin/{name}/", chosen)
    assert User.objects.filter(pk=alice.pk).exists()


def test_a_token_is_taken_back_from_its_list(
    admin: User, admin_client: Client, alice: User
) -> None:
    token, _secret = make_token(alice, name="laptop")
    url = f"/admin/accounts/apitoken/{token.pk}/delete/"
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    lines = AuditEntry.objects.order_by("id").values_list("action", "actor", "whom")
    assert list(lines)[1:] == [("token.taken_back", admin.pk, alice.pk)]


def test_who_helps_cannot_make_themselves_more(
    helper_client: Client, admin: User, alice: User
) -> None:
    form = {"email": alice.email, "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    assert helper_client.post(change(alice), form).status_code == 302
    alice.refresh_from_db()
    assert not (alice.is_staff or alice.is_superuser)
    assert helper_client.post(change(admin), form).status_code == 403
    url = f"/admin/accounts/user/{admin.pk}/delete/"
    assert helper_client.post(url, {"sure": "1"}).status_code == 403
    assert helper_client.get("/admin/chats/chat/").status_code == 403


@pytest.mark.parametrize(
    ("form", "is_made"),
    [
        ({"user": "alice@example.org", "questions_per_day": "5"}, True),
        ({"user": "ALICE@example.org", "questions_per_day": "0"}, True),
        ({"user": "nobody@example.org", "questions_per_day": "5"}, False),
        ({"user": "", "questions_per_day": "5"}, False),
        ({"user": "alice@example.org", "questions_per_day": "-1"}, False),
    ],
)
def test_limits_are_set_for_one_person(
    admin_client: Client, alice: User, form: dict[str, str], is_made: bool
) -> None:
    reply = admin_client.post("/admin/accounts/allowance/add/", form)
    assert reply.status_code == (302 if is_made else 200)
    assert Allowance.objects.filter(user=alice).exists() is is_made
    assert AuditEntry.objects.filter(action="limits.added", whom=alice).exists() is is_made


def test_groups_have_the_permissions_that_mean_something(admin_client: Client) -> None:
    page = admin_client.get("/admin/auth/group/add/").content.decode()
    assert "Chats: look at" in page
    assert "Chats: change" not in page
    assert "session" not in page
    assert admin_client.post("/admin/auth/group/add/", {"name": "class 3"}).status_code == 302
    assert last_line().action == "group.added"


def test_a_class_is_put_into_a_group(
    admin: User, admin_client: Client, staff_client: Client, alice: User, bob: User, settings
) -> None:
    group = Group.objects.create(name="class 3")
    page = f"/admin/auth/group/{group.pk}/members/"
    assert page in admin_client.get(f"/admin/auth/group/{group.pk}/change/").content.decode()
    assert staff_client.get(page).status_code == 403
    assert Client().get(page).status_code == 302
    assert admin_client.get("/admin/auth/group/0/members/").status_code == 404
    for bad in (
        "",
        "nobody",
        "a@b",
        "alice@example.org\nbob.example.org",
        f"a@{'b.' * 130}example.org",
        " ".join(f"{n}@example.org" for n in range(501)),
        "\x00@x.org",
    ):
        assert admin_client.post(page, {"addresses": bad}).status_code == 400
    assert not AuditEntry.objects.exists()
    settings.HAS_MAIL = False
    listed = f"Alice <{alice.email.upper()}>; {bob.email},\nNew.One@example.org"
    reply = admin_client.post(page, {"addresses": listed, "with_accounts": "on"})
    assert reply.status_code == 400
    assert "new.one@example.org</textarea>" in reply.content.decode()
    assert set(group.user_set.all()) == {alice, bob}  # type: ignore[attr-defined]
    line = last_line()
    assert (line.action, line.actor, line.about) == ("group.changed", admin, f"group:{group.pk}")
    settings.HAS_MAIL = True
    form = {"addresses": listed, "with_accounts": "on"}
    assert admin_client.post(page, form).status_code == 302
    new = User.objects.get(email="new.one@example.org")
    assert not new.has_usable_password()
    assert EmailAddress.objects.get(user=new).verified
    assert admin_client.post(page, {"leave": str(bob.pk)}).status_code == 302
    assert admin_client.post(page, {"leave": "x"}).status_code == 400
    assert set(group.user_set.all()) == {alice, new}  # type: ignore[attr-defined]
    assert bob.email not in admin_client.get(page).content.decode()


def test_who_gets_an_account_so_chooses_a_password(
    admin_client: Client, client: Client, mailoutbox: list[EmailMessage], settings
) -> None:
    settings.HAS_MAIL = True
    group = Group.objects.create(name="class 3")
    form = {"addresses": "new@example.org", "with_accounts": "on"}
    admin_client.post(f"/admin/auth/group/{group.pk}/members/", form)
    client.post("/accounts/password/reset/", {"email": "new@example.org"})
    assert "/accounts/password/reset/key/" in str(mailoutbox[0].body)
