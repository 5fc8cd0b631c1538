"""Groups: what their members may do in the administration, and who is in them."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Lower
from django.forms import CheckboxSelectMultiple, ModelMultipleChoiceField
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mundap.accounts import audit
from mundap.accounts.models import User
from mundap.accounts.services import make_user
from mundap.administration.lists import BoundedPaginator, Listed
from mundap.errors import InvalidInput

_MEMBERS_AT_ONCE = 100
_ADDRESSES_AT_ONCE = 500
_ADDRESS_MAX_CHARACTERS = 254  # as in the column


class PeopleForm(forms.Form):
    """People by their addresses, of whom those without an account may get one."""

    addresses = forms.CharField(
        label=gettext_lazy("E-mail addresses"),
        help_text=gettext_lazy(
            "One a line, or with commas between them, as from a list of a class."
        ),
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    with_accounts = forms.BooleanField(
        label=gettext_lazy("Make an account for who has none"),
        help_text=gettext_lazy("They choose a password by “Forgot your password?” at the log-in."),
        required=False,
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not settings.HAS_MAIL:  # they could not choose a password
            del self.fields["with_accounts"]

    def clean_addresses(self) -> list[str]:
        """Return the addresses in small letters, each once. Raises ValidationError for what is none, and too many."""
        text = self.cleaned_data["addresses"].replace(",", " ").replace(";", " ").lower()
        # Names may stand beside them, but a line without one is somebody who would be missing.
        without = [line for line in text.splitlines() if line.strip() and "@" not in line]
        words = (word.strip("<>") for word in text.split() if "@" in word)
        addresses = list(dict.fromkeys([*without, *words]))
        if len(addresses) > _ADDRESSES_AT_ONCE:
            said = _("At most %(most)s addresses at once.")
            raise ValidationError(said % {"most": _ADDRESSES_AT_ONCE})
        for address in addresses:
            try:
                forms.EmailField(max_length=_ADDRESS_MAX_CHARACTERS).clean(address)
            except ValidationError as exc:
                said = _("This is no e-mail address: %(text)s")
                raise ValidationError(said % {"text": address}) from exc
        return addresses


_VERBS = {
    "view": gettext_lazy("look at"),
    "add": gettext_lazy("add"),
    "change": gettext_lazy("change"),
    "delete": gettext_lazy("delete"),
}


class _PermissionField(ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Permissions, called by the list that they are for and what may be done there."""

    def label_from_instance(self, obj: Any) -> str:
        """Return such a name."""
        verb, _underscore, _model = obj.codename.partition("_")
        described = cast("Any", admin.site.get_model_admin(obj.content_type.model_class()))
        return f"{described.list_name}: {_VERBS[verb]}"


@admin.register(Group)
class GroupAdmin(Listed):
    """Groups, which collections can be shown to."""

    list_name = gettext_lazy("Groups")
    kind = "group"
    fields = ["name", "permissions"]
    list_display = ["name", "members"]
    sortable_by = ["name"]
    ordering = ["name"]
    search_fields = ["name"]
    change_form_template = "administration/group.html"

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Return the permissions that mean something here, as boxes to tick."""
        options["queryset"] = Permission.objects.filter(self._meant()).select_related(
            "content_type"
        )
        options["widget"] = CheckboxSelectMultiple
        options["form_class"] = _PermissionField
        return super().formfield_for_manytomany(db_field, request, **options)

    def _meant(self) -> Q:
        """Return which permissions these are, by what each list of the site knows."""
        meant = Q(pk=None)
        for model, described in self.admin_site._registry.items():  # noqa: SLF001 - it has no other name
            if isinstance(described, Listed):
                name = model._meta.model_name  # noqa: SLF001
                codes = [f"{action}_{name}" for action in described.permissions]
                app = model._meta.app_label  # noqa: SLF001
                meant |= Q(content_type__app_label=app, codename__in=codes)
        return meant

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        """Return the groups with how many are in each."""
        members = User.groups.through.objects.filter(group=OuterRef("pk")).order_by()
        number = members.values("group").annotate(number=Count("pk")).values("number")  # type: ignore[misc]
        groups: QuerySet[Group] = super().get_queryset(request)
        return groups.annotate(size=Subquery(number))

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> list[str]:
        """Return what only administrators change."""
        return [] if request.user.is_superuser else ["permissions"]

    @admin.display(description=gettext_lazy("members"))
    def members(self, group: Group) -> int:
        """How many are in it."""
        return cast("Any", group).size or 0

    def get_urls(self) -> list[Any]:
        """Return also the route of the page on who is in a group."""
        view = self.admin_site.admin_view(self.show_members)
        return [path("<int:pk>/members/", view, name="group_members"), *super().get_urls()]

    def beside(self, obj: Group) -> dict[str, Any]:
        """Return how many are in a group."""
        return {"size": self.members(obj)}

    def show_members(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show who is in a group to administrators; put people in by their addresses, or take one out."""
        if not request.user.is_superuser:
            raise PermissionDenied
        group = self.get_object(request, str(pk))
        if group is None:
            raise Http404
        form = PeopleForm()
        if "leave" in request.POST:
            self._take_out(group, request.POST["leave"])
        elif request.method == "POST":
            form = self._take_in(group, PeopleForm(request.POST))
        if request.method == "POST" and not form.errors:
            return redirect("admin:group_members", pk)
        members = User.objects.filter(groups=group).order_by("email")
        context = self.admin_site.each_context(request) | {
            "title": group.name,
            "opts": self.opts,
            "list_name": self.list_name,
            "form": form,
            "page": BoundedPaginator(members, _MEMBERS_AT_ONCE).get_page(request.GET.get("p")),
        }
        status = 400 if form.errors else 200
        return TemplateResponse(request, "administration/members.html", context, status=status)

    def _take_in(self, group: Group, form: PeopleForm) -> PeopleForm:
        """Put in whom the form names; return it, with the addresses that nobody has left in it."""
        if not form.is_valid():
            return form
        addresses = form.cleaned_data["addresses"]
        by_address = User.objects.annotate(address=Lower("email")).filter(address__in=addresses)
        people = {user.email.lower(): user for user in by_address}
        unknown = [address for address in addresses if address not in people]
        with transaction.atomic():
            if form.cleaned_data.get("with_accounts"):
                people |= {address: make_user(address, password=None) for address in unknown}
                unknown = []
            for user in people.values():
                self._change(group, user, is_in=True)
        if unknown:
            form.data = {**form.data, "addresses": "\n".join(unknown)}
            form.add_error("addresses", _("Nobody has an account with these addresses."))
        return form

    def _take_out(self, group: Group, pk: str) -> None:
        try:
            user = User.objects.filter(pk=UUID(pk)).first()
        except ValueError as exc:
            raise InvalidInput(_("The request is not valid.")) from exc
        if user:
            self._change(group, user, is_in=False)

    def _change(self, group: Group, user: User, *, is_in: bool) -> None:
        if user.groups.filter(pk=group.pk).exists() == is_in:
            return
        (user.groups.add if is_in else user.groups.remove)(group)
        details = {"member": [not is_in, is_in]}
        audit.record("group.changed", whom=user, about=f"group:{group.pk}", details=details)
