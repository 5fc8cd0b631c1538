"""How the fields of forms are drawn."""

from __future__ import annotations

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def without_placeholder(field: BoundField) -> SafeString:
    """Return the field without the placeholder that allauth gives it, which only says its label again."""
    return field.as_widget(attrs={"placeholder": False})
