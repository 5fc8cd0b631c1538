"""Serializer fields that more than one app uses."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from mundap.errors import TooLarge


class BoundedTextField(serializers.CharField):
    """Text of at most `max_bytes` in UTF-8. NUL and lone surrogates are refused by CharField itself.

    Longer text is a TooLarge (413), not a field's error: the answer is to shorten the whole, whatever the field.
    """

    def __init__(self, *, max_bytes: int, **options: Any) -> None:
        self.max_bytes = max_bytes
        super().__init__(**options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the checked text. Its size is looked at before anything walks over it."""
        if isinstance(data, str) and len(data.encode("utf-8", "replace")) > self.max_bytes:
            raise TooLarge(
                _("This text is too long: at most %(limit)d bytes.") % {"limit": self.max_bytes},
                fields={self.field_name or "text": _("too long")},
            )
        return super().run_validation(data)
