"""What alice owns: one of everything that an address can name. All of it says SECRET."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from mundap.accounts.models import Allowance, AuditEntry, User
from mundap.accounts.tokens import make_token
from mundap.chats import sharing
from mundap.chats.models import Chat, Message, State, Turn
from mundap.library.models import Collection, Run, StoredFile
from mundap.retrieval.indexing import index_lexical
from tests.pages import add_cache_page
from tests.web.conftest import cite

SECRET = "alices-secret-4711"
_OF_REQUESTS = {"session", "usersession", "attemptcount", "searchsegment"}


@dataclass(frozen=True)
class Cast:
    """`values` has, by the name that routes give it, what of alice's is put into an address."""

    alice: User
    values: Mapping[str, object]
    ids: Mapping[str, object]  # by model, for the administration


def log_in(user: User) -> Client:
    """Return the user's browser, noted as allauth notes one."""
    client = Client(raise_request_exception=False)
    client.force_login(user)
    client.get("/settings/security/", headers={"Accept": "text/html"})
    return client


@contextmanager
def on_stage(django_db_blocker: Any) -> Iterator[Cast]:
    """Give the cast to all tests of a module, and leave nothing of it behind."""
    with django_db_blocker.unblock():
        try:
            yield make_cast()
        finally:
            cache.clear()
            call_command("flush", verbosity=0, interactive=False)


def make_cast() -> Cast:
    """Store it all."""
    alice = User.objects.create_user(f"{SECRET}@example.org")
    log_in(alice)
    private = Collection.objects.create(
        slug=SECRET, title=SECRET, title_no=7, owner=alice, state="ready", visibility="private"
    )
    document = add_cache_page(
        private, [f"{SECRET} is kept in Redis."], url=f"https://{SECRET}.example/"
    )
    index_lexical(private)
    passage = document.passages.get()
    file = StoredFile.objects.create(
        collection=private,
        path=f"{SECRET}.md",
        content=SECRET.encode(),
        size_bytes=9,
        given_by=alice,
    )
    run = Run.objects.create(collection=private, trigger="person", requested_by=alice, error=SECRET)
    chat, answer, turn = _conversation(alice, private, cite(passage, quote=SECRET))
    other, _answer, _turn = _conversation(alice, private, cite(passage, quote=SECRET), is_over=True)
    share, _is_new = sharing.share_chat(alice, other.pk)
    token, _secret = make_token(alice, name=SECRET, questions_per_day=5)
    values = {
        "chat_id": chat.pk,
        "quiet_chat_id": other.pk,
        "message_id": answer.pk,
        "turn_id": turn.pk,
        "token_id": token.pk,
        "run_id": run.pk,
        "document_id": document.pk,
        "passage_id": passage.pk,
        "slug": SECRET,
        "model": SECRET,
        "session_id": UserSession.objects.get(user=alice).pk,
        "user_id": alice.pk,
        "id": alice.pk,
        "token": sharing.token_of(share),
        # of routes that take secrets, or names of what is nobody's
        **dict.fromkeys(("asked", "key", "uidb36", "provider_id"), "x"),
    }
    ids = {
        "accounts/user": alice.pk,
        "accounts/apitoken": token.pk,
        "accounts/allowance": Allowance.objects.get(token=token).pk,
        "accounts/auditentry": AuditEntry.objects.get(action="token.made", whom=alice).pk,
        "auth/group": Group.objects.create(name=SECRET).pk,
        "chats/chat": chat.pk,
        "library/collection": private.pk,
        "library/document": document.pk,
        "library/run": run.pk,
        "library/storedfile": file.pk,
        "retrieval/evaluationrun": 1,
    }
    return Cast(alice, values, ids)


def _conversation(
    alice: User, about: Collection, citation: dict[str, Any], *, is_over: bool = False
) -> tuple[Chat, Message, Turn]:
    chat = Chat.objects.create(owner=alice, collection=about, title=SECRET, next_position=2)
    state = State.COMPLETE if is_over else State.RUNNING
    turn = Turn.objects.create(
        chat=chat,
        owner=alice,
        idempotency_key=str(chat.pk),
        request_hash=b"-",
        status=state,
        runner="elsewhere",
        lease_until=timezone.now() + timedelta(hours=1),
        finished_at=timezone.now() if is_over else None,
    )
    turn.question = Message.objects.create(
        chat=chat, turn=turn, position=0, role="user", text=SECRET
    )
    turn.answer = Message.objects.create(
        chat=chat,
        turn=turn,
        position=1,
        role="assistant",
        text=SECRET,
        state=state,
        citations=[citation],
    )
    turn.save()
    return chat, turn.answer, turn


def everything() -> dict[str, list[Any]]:
    """Return all rows of Mundap's tables but those that any request writes."""
    labels = ("accounts", "chats", "library", "retrieval", "auth", "account", "mfa")
    return {
        model._meta.label: list(model.objects.order_by("pk").values_list())
        for label in labels
        for model in apps.get_app_config(label).get_models()
        if model._meta.model_name not in _OF_REQUESTS
    }
