"""The site of the administration: who gets in, and what stands where in its menu.

Only what Mundap itself describes is in it: other packages' own pages know neither the audit log nor our rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.views import redirect_to_login
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mundap.accounts.models import User
from mundap.administration.overview import numbers_for

# A model's list by its label, or a page of our own by the name of its route.
_MENU: Sequence[tuple[Promise, Sequence[str | tuple[str, Promise]]]] = (
    (
        gettext_lazy("People"),
        ("accounts.User", "auth.Group", "accounts.Allowance", "accounts.ApiToken"),
    ),
    (
        gettext_lazy("The shelf"),
        ("library.Collection", "library.Document", "library.Run", "library.StoredFile"),
    ),
    (
        gettext_lazy("Questions and answers"),
        (
            ("administration:unanswered", gettext_lazy("Unanswered questions")),
            ("administration:feedback", gettext_lazy("Feedback")),
            "chats.Chat",
            "retrieval.EvaluationRun",
            ("evaluations", gettext_lazy("Quality over time")),
        ),
    ),
    (
        gettext_lazy("Operation"),
        (("administration:usage", gettext_lazy("Usage and cost")), "accounts.AuditEntry"),
    ),
)


class AdministrationSite(AdminSite):
    """For staff, who log in where everybody does; to everybody else it is not there."""

    site_header = site_title = "Mundap"
    index_title = gettext_lazy("Administration")
    final_catch_all_view = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # It would load all that belongs to what is chosen, and delete it past our services.
        self.disable_action("delete_selected")

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Take a description of models, if it is one of ours."""
        if admin_class is not None and admin_class.__module__.startswith("mundap."):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the request is from staff, and by the second step where that is asked for."""
        is_staff = super().has_permission(request)
        return is_staff and not _lacks_second_step(request)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Return the view for staff; others are asked to log in, to set up a second step, or told nothing."""
        inside = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not super(AdministrationSite, self).has_permission(request):
                raise Http404
            if _lacks_second_step(request):
                messages.warning(
                    request, _("The administration is for staff who log in with a second step.")
                )
                return redirect("settings:security")
            return cast("HttpResponseBase", inside(request, *args, **kwargs))

        return guarded

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show how things stand, and the way to everything."""
        numbers = numbers_for(cast("User", request.user))
        return super().index(request, (extra_context or {}) | {"numbers": numbers})

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Send people to the site's own log-in, which has limits and second steps."""
        if request.user.is_authenticated:
            return redirect("admin:index")
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Send people to the site's own page for it."""
        return redirect("account_logout")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Send people to the site's own page for it."""
        return redirect("account_change_password")

    password_change_done = password_change

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Refuse: no form here completes what is typed, and it would name chats by their titles."""
        raise Http404

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the menu: groups with what this user may open in each."""
        models = {
            f"{app}.{entry['object_name']}": entry
            for app, group in self._build_app_dict(request, app_label).items()
            for entry in group["models"]
        }
        menu = []
        for name, places in _MENU:
            entries = [self._entry(place, models) for place in places]
            menu.append({"name": name, "models": [entry for entry in entries if entry]})
        return [group for group in menu if group["models"]]

    def _entry(
        self, place: str | tuple[str, Promise], models: dict[str, dict[str, Any]]
    ) -> dict[str, Any] | None:
        if not isinstance(place, str):
            route, name = place
            return {"name": name, "object_name": route, "admin_url": reverse(route)}
        found = models.get(place)
        return found and found | {"name": self._registry[found["model"]].list_name}  # type: ignore[attr-defined]


def _lacks_second_step(request: HttpRequest) -> bool:
    return settings.STAFF_SECOND_STEP and not is_mfa_enabled(request.user)
