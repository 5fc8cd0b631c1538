"""The numbers that the administration opens with, each with the way to what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Exists, Model, OuterRef, Sum
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.models import Chat, DealtWith, Message, ModelUsage, State, Turn
from mundap.chats.unanswered import count_unanswered
from mundap.chats.usage import today
from mundap.library.models import Collection, Run
from mundap.library.selectors import list_collections_for
from mundap.library.workers import count_workers

_DAYS = 7


@dataclass(frozen=True, slots=True)
class Number:
    """A number, what it counts, and where that is shown."""

    value: Any
    name: str
    url: str  # empty where this user may not look
    is_trouble: bool = False


def numbers_for(user: User) -> list[Number]:
    """Return the numbers; those of questions are of the collections that the user sees."""
    used = ModelUsage.objects.filter(day=today())
    running = Turn.objects.filter(status=State.RUNNING, lease_until__gt=Now()).count()
    open_questions = sum(count_unanswered(list_collections_for(user), days=_DAYS).values())
    since = timezone.now() - timedelta(days=_DAYS)
    down = Message.objects.filter(
        ~Exists(DealtWith.objects.filter(message=OuterRef("pk"))),
        rating=Message.Rating.DOWN,
        created_at__gte=since,
        chat__deleted_at=None,
    )
    failed = Collection.objects.filter(state=Collection.State.FAILED).count()
    runs = _list_of(Run, user)
    unfinished = Run.objects.filter(state__in=Run.UNFINISHED).count()
    workers = count_workers()
    return [
        Number(
            used.aggregate(sum=Sum("questions"))["sum"] or 0,
            _("questions today"),
            reverse("administration:usage"),
        ),
        Number(running, _("answers being written"), _list_of(Chat, user)),
        Number(
            open_questions,
            _("unanswered in seven days"),
            f"{reverse('administration:unanswered')}?days={_DAYS}",
        ),
        Number(down.count(), _("did not help in seven days"), reverse("administration:feedback")),
        Number(User.objects.count(), _("people"), _list_of(User, user)),
        Number(
            failed,
            _("collections that could not be read"),
            _list_of(Collection, user, "?state__exact=failed"),
            is_trouble=failed > 0,
        ),
        Number(unfinished, _("runs under way"), runs),
        Number(workers, _("workers"), runs, is_trouble=workers == 0),
    ]


def _list_of(model: type[Model], user: User, query: str = "") -> str:
    """Return where the list of a model is, if the user may open it."""
    app, name = model._meta.app_label, model._meta.model_name  # noqa: SLF001
    if not any(user.has_perm(f"{app}.{may}_{name}") for may in ("view", "change")):
        return ""
    return reverse(f"admin:{app}_{name}_changelist") + query
