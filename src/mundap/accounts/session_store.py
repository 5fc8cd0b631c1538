"""Sessions in the database that outlive a change of SECRET_KEY.

Django gives a session that a former key has signed a new name when it is used next. That name is the token of programs
that log in by allauth's API, and of pages that ask several things at once all but one would come too late for it. So a
session is signed anew under its own name here, before Django looks.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends import db

from mundap.accounts.models import User
from mundap.config.keys import key_id

_KEY_ID = "mundap_key"  # which key a session was signed with anew


class SessionStore(db.SessionStore):
    """Django's, which signs anew what a former key has signed."""

    def load(self) -> dict[str, Any]:
        """Return what the session holds."""
        return self._signed_anew(super().load())

    async def aload(self) -> dict[str, Any]:
        """Return what the session holds."""
        return await sync_to_async(self._signed_anew)(await super().aload())

    def _signed_anew(self, data: dict[str, Any]) -> dict[str, Any]:
        present = key_id(settings.SECRET_KEY)
        if not settings.SECRET_KEY_FALLBACKS or not data or data.get(_KEY_ID) == present:
            return data
        user = User.objects.filter(pk=data[SESSION_KEY]).first() if SESSION_KEY in data else None
        if user and str(data.get(HASH_SESSION_KEY)) in user.get_session_auth_fallback_hash():
            data[HASH_SESSION_KEY] = user.get_session_auth_hash()
        data[_KEY_ID] = present
        self.model.objects.filter(session_key=self.session_key).update(
            session_data=self.encode(data)
        )
        return data
