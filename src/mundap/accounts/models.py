"""Who uses Mundap.

User           a person, known by an e-mail address
ApiToken       a secret for programs, shown once and stored as a digest
AttemptCount   how often something was tried lately (to log in, to sign up) by an account or an address
Allowance      what a user, a group of users or a token may use, where that is not what everybody may
AuditEntry     something that matters which somebody did: who, what, to whom, when and from where
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, PermissionsMixin
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Lower, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7


class UserManager(BaseUserManager["User"]):
    """Makes users and administrators."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Return a new stored user; without a password nobody can log in as them."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Return a new stored administrator."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """Return the user with this e-mail address, in any case."""
        return self.with_address(username or "").get()

    def with_address(self, email: str) -> models.QuerySet[User]:
        """Return whose address this is, in any case; as the database keeps them apart.

        `iexact` would take "ı" and "ſ", with which somebody else may have signed up, for "i" and "s".
        """
        return self.alias(folded=Lower("email")).filter(folded=Lower(Value(email)))


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Addresses are unique without regard to case.

    `language` and `theme` are what they have chosen; empty: as the browser and the system have it.
    """

    class Theme(models.TextChoices):
        LIGHT = "light", _("light")
        DARK = "dark", _("dark")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(_("e-mail address"), unique=True)
    language = models.CharField(_("language"), max_length=10, blank=True)
    theme = models.CharField(_("theme"), max_length=5, blank=True, choices=Theme)
    is_staff = models.BooleanField(_("staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_any_case")]

    def __str__(self) -> str:
        return self.email


class ApiToken(models.Model):
    """A program's key to a user's account; only a keyed digest of it is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="api_tokens"
    )
    name = models.CharField(_("name"), max_length=100)
    digest = models.BinaryField(max_length=32, unique=True)
    key_id = models.CharField(
        max_length=16, blank=True, db_default="", help_text="Which key the digest is made with."
    )
    created_at = models.DateTimeField(_("made"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class AttemptCount(models.Model):
    """Attempts within a running period; whose they are stands here only as a keyed digest."""

    digest = models.BinaryField(primary_key=True, max_length=32)
    count = models.PositiveIntegerField()
    resets_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} until {self.resets_at:%H:%M:%S}"


class Allowance(models.Model):
    """What a user, each member of a group, or a token may use; `allowances.py` says which one counts.

    Empty: what they may otherwise. 0: no limit.
    """

    user = models.OneToOneField(
        User, verbose_name=_("user"), on_delete=models.CASCADE, null=True, blank=True
    )
    group = models.OneToOneField(
        Group, verbose_name=_("group"), on_delete=models.CASCADE, null=True, blank=True
    )
    token = models.OneToOneField(
        ApiToken, verbose_name=_("token"), on_delete=models.CASCADE, null=True, blank=True
    )
    questions_per_day = models.PositiveIntegerField(
        _("questions a day"), null=True, blank=True, help_text=_("0: no limit")
    )
    tokens_per_month = models.PositiveBigIntegerField(
        _("tokens of the language model a month"), null=True, blank=True, help_text=_("0: no limit")
    )
    spending_per_month = models.DecimalField(
        _("spending on the language model a month"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("0: no limit"),
    )

    class Meta:
        verbose_name = _("allowance")
        verbose_name_plural = _("allowances")
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True, token__isnull=True)
                | Q(user__isnull=True, group__isnull=False, token__isnull=True)
                | Q(user__isnull=True, group__isnull=True, token__isnull=False),
                name="allowance_of_one",
                violation_error_message=_("Choose either a user, a group or a token."),
            ),
            models.CheckConstraint(
                condition=Q(spending_per_month__isnull=True) | Q(spending_per_month__gte=0),
                name="allowance_spending",
            ),
            # A token only has fewer questions than its owner; what these cost is the owner's.
            models.CheckConstraint(
                condition=Q(token__isnull=True)
                | Q(tokens_per_month__isnull=True, spending_per_month__isnull=True),
                name="allowance_of_token",
                violation_error_message=_("A token can only have a limit on questions."),
            ),
        ]

    def __str__(self) -> str:
        return str(self.user or self.group or self.token)


class AuditEntry(models.Model):
    """A line of the audit log, written by `audit.record`. It is never changed, and deleted by its age alone.

    A trigger (migration 0004) sees to that. When somebody's account is deleted, their lines stay without them: the
    trigger lets `actor` and `whom` become NULL, and takes with them the address, the name of what was theirs, and the
    reason for which it was read.
    """

    class Via(models.TextChoices):
        PERSON = "person", _("a person")
        COMMAND = "command", _("the command line")
        WORKER = "worker", _("a worker")

    at = models.DateTimeField(_("when"), db_default=Now(), editable=False)
    via = models.CharField(_("by way of"), max_length=10, choices=Via)
    actor = models.ForeignKey(
        User,
        verbose_name=_("who"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    action = models.CharField(_("what"), max_length=40)
    whom = models.ForeignKey(
        User,
        verbose_name=_("whose"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    about = models.CharField(
        _("about"), max_length=200, blank=True, help_text="kind:id or kind:name of a thing"
    )
    details = models.JSONField(_("details"), default=dict, help_text="no texts and no secrets")
    address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("entry of the audit log")
        verbose_name_plural = _("audit log")
        indexes = [
            models.Index(fields=["action", "-id"], name="audit_by_action"),
            models.Index(fields=["about", "-id"], name="audit_by_thing"),
            models.Index(fields=["at"], name="audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.at:%Y-%m-%d %H:%M}"
