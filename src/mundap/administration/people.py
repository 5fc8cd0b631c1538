"""People: users with where they are logged in and their tokens."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.models import UserSession
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.core.exceptions import PermissionDenied
from django.db.models import ManyToManyField, Max, OuterRef, QuerySet, Subquery
from django.forms import CheckboxSelectMultiple
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mundap.accounts import audit
from mundap.accounts.models import Allowance, ApiToken, User
from mundap.accounts.selectors import get_token_for, list_tokens_for
from mundap.accounts.services import vouch_for_address
from mundap.accounts.sessions import end_session, end_sessions, list_sessions_for
from mundap.accounts.tokens import take_back
from mundap.administration.lists import Listed, LookedAt
from mundap.chats.limits import standing_of
from mundap.chats.models import Chat
from mundap.chats.personal_data import delete_account
from mundap.library.models import Collection, StoredFile

_POWERS = ["is_staff", "is_superuser", "groups"]


class UserCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """Makes a user by e-mail address."""

    class Meta:
        model = User
        fields = ("email",)


@admin.register(User)
class UserAdmin(Listed, DjangoUserAdmin):  # type: ignore[type-arg]
    """Users by e-mail address; deleting one erases all that is theirs, as they could themselves."""

    list_name = gettext_lazy("Users")
    kind = "user"
    form = UserChangeForm
    add_form = UserCreationForm
    ordering = ["-id"]
    list_display = ["email", "is_active", "is_staff", "last_seen", "date_joined"]
    list_filter = ["is_active", "is_staff"]
    sortable_by = ["email"]
    search_fields = ["email"]
    search_help_text = gettext_lazy("Part of an e-mail address")
    actions = None
    readonly_fields = ["date_joined", "last_login"]
    filter_horizontal = ()
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        ManyToManyField: {"widget": CheckboxSelectMultiple}
    }
    change_form_template = "administration/user.html"
    fieldsets = [
        (None, {"fields": ["email", "password", "is_active"]}),
        (gettext_lazy("What they may do"), {"fields": [*_POWERS]}),
        (gettext_lazy("Dates"), {"fields": ["date_joined", "last_login"]}),
    ]
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the users with when they were last seen."""
        sessions = UserSession.objects.filter(user=OuterRef("pk")).order_by()
        last = sessions.values("user").annotate(last=Max("last_seen_at")).values("last")
        users: QuerySet[User] = super().get_queryset(request)
        return users.annotate(seen_at=Subquery(last))

    @admin.display(description=gettext_lazy("last seen"))
    def last_seen(self, user: User) -> Any:
        """When one of their sessions was last used, or when they last logged in."""
        return getattr(user, "seen_at", None) or user.last_login

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Return also what only administrators change: who may give powers could take them."""
        return [*self.readonly_fields, *([] if request.user.is_superuser else _POWERS)]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return whether they may; nobody but administrators changes an administrator."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return whether they may; nobody deletes themselves here, where it could be by mistake."""
        return (
            super().has_delete_permission(request, obj)
            and _may_touch(request, obj)
            and obj != request.user
        )

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Store it; the address counts as confirmed, since staff vouch for it."""
        super().save_model(request, obj, form, change)
        if "email" in form.changed_data:
            vouch_for_address(obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        """Write down the change; a password that staff have set by what it is."""
        if hasattr(request, "audit_changes"):
            super().log_change(request, obj, message)
        else:
            audit.record("password.changed", whom=obj, about=f"user:{obj.pk}")

    def get_urls(self) -> list[Any]:
        """Return also the routes of what staff may do to somebody's sessions and tokens."""
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:user_id>/sessions/end/", wrap(self.end_all), name="end_user_sessions"),
            path(
                "<uuid:user_id>/sessions/<int:session_id>/end/",
                wrap(self.end_one),
                name="end_user_session",
            ),
            path(
                "<uuid:user_id>/tokens/<uuid:token_id>/take-back/",
                wrap(self.take_token_back),
                name="take_user_token_back",
            ),
            *super().get_urls(),
        ]

    def beside(self, obj: User) -> dict[str, Any]:
        """Return somebody's sessions and tokens, and how much is theirs."""
        return _about(obj)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Erase a user by the service that they would use themselves."""
        user = self._get(request, object_id)
        if not self.has_delete_permission(request, user):
            raise PermissionDenied
        if request.method == "POST" and request.POST.get("sure"):
            name = user.email
            delete_account(user)
            self.message_user(
                request,
                _("%(name)s is deleted, with all that was theirs.") % {"name": name},
                messages.SUCCESS,
            )
            return redirect("admin:accounts_user_changelist")
        context = self.admin_site.each_context(request) | _about(user)
        context |= {"title": _("Delete an account"), "person": user, "opts": self.opts}
        context["list_name"] = self.list_name
        status = 400 if request.method == "POST" else 200
        return TemplateResponse(request, "administration/delete_user.html", context, status=status)

    def end_all(self, request: HttpRequest, user_id: UUID) -> HttpResponse:
        """Log somebody out everywhere."""
        user = self._to_change(request, user_id)
        end_sessions(user)
        audit.record("user.sessions_ended", whom=user, about=f"user:{user.pk}")
        return self._back(request, user, _("They are logged out everywhere."))

    def end_one(self, request: HttpRequest, user_id: UUID, session_id: int) -> HttpResponse:
        """Log somebody out in one place."""
        user = self._to_change(request, user_id)
        end_session(user, session_id)
        audit.record("user.sessions_ended", whom=user, about=f"user:{user.pk}")
        return self._back(request, user, _("They are logged out there."))

    def take_token_back(self, request: HttpRequest, user_id: UUID, token_id: UUID) -> HttpResponse:
        """Take somebody's token back."""
        user = self._to_change(request, user_id)
        take_back(get_token_for(user, token_id))
        return self._back(request, user, _("The token no longer works."))

    def _to_change(self, request: HttpRequest, user_id: UUID) -> User:
        if request.method != "POST":
            raise PermissionDenied
        user = self._get(request, str(user_id))
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        return user

    def _get(self, request: HttpRequest, object_id: str) -> User:
        user: User | None = self.get_object(request, object_id)
        if user is None:
            raise Http404
        return user

    def _back(self, request: HttpRequest, user: User, said: str) -> HttpResponse:
        self.message_user(request, said, messages.SUCCESS)
        return redirect("admin:accounts_user_change", user.pk)


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return user is None or request.user.is_superuser or not (user.is_staff or user.is_superuser)


def _about(user: User) -> dict[str, Any]:
    """Return what the page of a user shows beside the form."""
    chats = reverse("admin:chats_chat_changelist")
    collections = reverse("admin:library_collection_changelist")
    files = reverse("admin:library_storedfile_changelist")
    counts: list[tuple[str | Promise, int, str]] = [
        (
            _("Chats"),
            Chat.objects.filter(owner=user).count(),
            f"{chats}?owner__id__exact={user.pk}",
        ),
        (
            _("Collections of their own"),
            Collection.objects.filter(owner=user).count(),
            f"{collections}?owner__id__exact={user.pk}",
        ),
        (
            _("Files they gave"),
            StoredFile.objects.filter(given_by=user).count(),
            f"{files}?given_by__id__exact={user.pk}",
        ),
    ]
    return {
        "sessions": list_sessions_for(user, current_key=None),
        "tokens": list_tokens_for(user),
        "counts": counts,
        "has_second_step": is_mfa_enabled(user),
        "standing": standing_of(user.pk),
        "allowance": Allowance.objects.filter(user=user).first(),
    }


@admin.register(ApiToken)
class ApiTokenAdmin(LookedAt):
    """Tokens to look at and to take back; only their owners make them, and nobody sees a secret."""

    list_name = gettext_lazy("API tokens")
    kind = "token"
    permissions = ("view", "delete")
    list_display = ["name", "user", "created_at", "last_used_at"]
    search_fields = ["name", "user__email"]
    list_select_related = ["user"]
    fields = ["name", "user", "created_at", "last_used_at"]
    sortable_by = ()
    ordering = ["-id"]

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Return whether they may take tokens back."""
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        """Take it back."""
        take_back(obj)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        """Write nothing: taking a token back does."""
