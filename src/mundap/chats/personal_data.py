"""All that is kept of a person: to take home, and to delete for good."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from redis.exceptions import RedisError

from mundap.accounts import audit
from mundap.accounts.models import Allowance, ApiToken, User
from mundap.accounts.sessions import end_sessions
from mundap.chats import body_cache, turn_stream
from mundap.chats.exporting import as_file, file_name, read_chats
from mundap.chats.models import Chat, ModelUsage, Reservation, Share, Turn
from mundap.chats.shapes import dump
from mundap.config import throttles
from mundap.config.redis_servers import open_client
from mundap.library.deleting import delete_collection, until_free
from mundap.library.models import Collection, Document, Passage, Run, StoredFile, Summary

_AT_ONCE = 20  # chats read for the archive
_DELETED_AT_ONCE = 200
_logger = logging.getLogger(__name__)


# --- to take home


async def export_of(user: User) -> AsyncIterator[bytes]:
    """Yield a ZIP archive: `account.json`, and each chat twice, for programs and to read. Few are read at a time.

    Chats that were deleted are there as long as they are kept, in a folder of their own.
    """
    sink = _Sink()
    archive = ZipFile(sink, "w", ZIP_DEFLATED)
    await sync_to_async(_write_account)(archive, user)
    last = UUID(int=0)
    while found := await sync_to_async(_write_chats)(archive, user, last):
        last = found[-1]
        yield sink.taken()
    archive.close()
    yield sink.taken()


class _Sink:
    """What an archive writes to, in order; it is taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is written is there."""

    close = flush

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _write_account(archive: ZipFile, user: User) -> None:
    archive.writestr("account.json", dump(account_json(user)))


def _write_chats(archive: ZipFile, user: User, last: UUID) -> Sequence[UUID]:
    """Write some chats behind the last one; return their ids, none at the end."""
    chats = Chat.objects.filter(owner=user, pk__gt=last).order_by("pk")
    found = list(chats.values_list("pk", flat=True)[:_AT_ONCE])
    for chat in read_chats(user, found, with_deleted=True):
        folder = "deleted_chats" if "deleted_at" in chat else "chats"
        name = f"{folder}/{file_name(chat)}-{chat['id'][-6:]}"
        for kind in ("json", "md"):
            archive.writestr(f"{name}.{kind}", as_file(chat, kind=kind))
    return found


def account_json(user: User) -> dict[str, Any]:
    """Return what is kept of the user beside the chats. No secret is in it."""
    found = {
        "exported_at": timezone.now(),
        "account": _values(
            User.objects.filter(pk=user.pk),
            *("id", "email", "language", "theme", "is_staff", "date_joined", "last_login"),
        )[0],
        "groups": _values(user.groups.order_by("name"), "name"),
        "limits": _values(
            Allowance.objects.filter(Q(user=user) | Q(token__user=user)),
            *("token__name", "questions_per_day", "tokens_per_month", "spending_per_month"),
        ),
        "addresses": _values(
            EmailAddress.objects.filter(user=user), "email", "verified", "primary"
        ),
        "other_log_ins": _values(
            SocialAccount.objects.filter(user=user), "provider", "uid", "date_joined"
        ),
        "second_steps": _values(
            Authenticator.objects.filter(user=user), "type", "created_at", "last_used_at"
        ),
        "sessions": _values(
            UserSession.objects.filter(user=user),
            *("user_agent", "ip", "created_at", "last_seen_at"),
        ),
        "tokens": _values(ApiToken.objects.filter(user=user), "name", "created_at", "last_used_at"),
        "usage": _values(
            ModelUsage.objects.filter(user=user),
            *("day", "model", "purpose", "questions", "calls", "input_tokens", "output_tokens"),
            "cost",
        ),
        "shared_chats": _values(
            Share.objects.filter(chat__owner=user), "chat", "created_at", "updated_at"
        ),
        "references": _values(
            Collection.objects.filter(owner=user),
            *("slug", "title", "category", "title_no", "visibility", "created_at"),
        ),
        "documents": _values(
            Document.objects.filter(collection__owner=user), "collection__slug", "path", "title"
        ),
        "uploads": _values(
            StoredFile.objects.filter(Q(given_by=user) | Q(collection__owner=user)),
            *("collection__slug", "path", "size_bytes", "created_at"),
        ),
        "audit_log": audit.list_lines_about(user),
    }
    return {name: _plain(value) for name, value in found.items()}


def _values(rows: Any, *columns: str) -> list[dict[str, Any]]:
    return list(rows.values(*columns))


def _plain(value: Any) -> Any:
    """Return the value as JSON has it: moments and ids as text."""
    if isinstance(value, dict):
        return {name.replace("__", "_"): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


# --- to delete


def delete_account(user: User) -> None:
    """Delete the user with all that is theirs: everything or, should it fail, nothing.

    References that others see too stay, without an owner.
    """
    until_free(lambda: _delete_account(user))


def _delete_account(user: User) -> None:
    # Before the user's own row: whoever ends a run of theirs holds it, and may name the user in the one that follows.
    runs = Run.objects.filter(Q(collection__owner=user) | Q(requested_by=user))
    list(runs.filter(state__in=Run.UNFINISHED).order_by("pk").select_for_update(of=("self",)))
    # Whoever adds something of theirs at this moment waits, and then finds nobody to add it to.
    User.objects.select_for_update().get(pk=user.pk)
    keys = _keys_of(user)
    end_sessions(user)
    _leave_references(user)
    while some := list(Chat.objects.filter(owner=user).values_list("pk")[:_DELETED_AT_ONCE]):
        Chat.objects.filter(pk__in=[pk for (pk,) in some]).delete()
    # It was used all the same, but by nobody. In the order of whoever settles what is reserved.
    for used in (Reservation, ModelUsage):
        used.objects.filter(user=user).update(user=None, token=None)
    # Django's log of its administration calls people by their addresses.
    LogEntry.objects.filter(object_id=str(user.pk)).delete()
    audit.record("user.deleted", whom=user, about=f"user:{user.pk}")
    User.objects.get(pk=user.pk).delete()
    transaction.on_commit(lambda: _forget(keys, whose=str(user.pk)))


def _leave_references(user: User) -> None:
    """Delete the references that only the user sees; give up the others."""
    own = Collection.objects.filter(owner=user)
    is_seen = Q(visibility=Collection.Visibility.EVERYONE) | Q(
        visibility=Collection.Visibility.GROUP, group__isnull=False
    )
    own.filter(is_seen).update(owner=None)
    for collection in own:
        passages = Passage.objects.filter(collection=collection)
        Summary.objects.filter(lead_hash__in=passages.values("content_hash")).delete()
        delete_collection(collection)


def _keys_of(user: User) -> list[str]:
    """Return where Redis may keep what the user said and read."""
    chats = Chat.objects.filter(owner=user).values_list("pk", flat=True)
    turns = Turn.objects.filter(owner=user).values_list("pk", flat=True)
    return [*map(body_cache.key_of, chats), *map(turn_stream.key_of, turns)]


def _forget(keys: Sequence[str], *, whose: str) -> None:
    """Take the keys out of Redis. Without Redis they expire by themselves; nobody can read them."""
    throttles.forget(whose)
    try:
        with open_client(
            settings.CACHE_REDIS_URL or settings.REDIS_URL, timeout_seconds=0.5
        ) as redis:
            for start in range(0, len(keys), 500):
                redis.unlink(*keys[start : start + 500])
    except (RedisError, OSError) as exc:
        _logger.warning("What Redis keeps of a deleted account expires by itself: %s", exc)
