"""Staff, an administrator, and conversations about a shelf."""

from __future__ import annotations

import pytest
from django.test import Client

from mundap.accounts.models import User
from tests.conftest import PASSWORD
from tests.web.conftest import django_docs, document, make_chat, passage

__all__ = ["django_docs", "document", "make_chat", "passage"]


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("admin@example.org", PASSWORD)


@pytest.fixture
def admin_client(admin: User) -> Client:
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def staff_client(db: None) -> Client:
    """Somebody of the staff without further powers."""
    client = Client()
    client.force_login(User.objects.create_user("staff@example.org", PASSWORD, is_staff=True))
    return client
