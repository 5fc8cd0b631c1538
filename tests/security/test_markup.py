"""Markup in every text that somebody can write, on every page that there is: it is shown, and is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import Group

from mundap.accounts.models import ApiToken
from mundap.chats.models import Chat, Message
from mundap.library.models import Collection, Document, Passage, Run, StoredFile
from tests.security.cast import log_in, on_stage
from tests.security.routes import Route, all_routes
from tests.security.test_other_users import address_of, ask

pytestmark = pytest.mark.django_db
EVIL = "</title></textarea></script><script>evil()</script><img src=x onerror=evil()>\"'><svg onload=evil()>{{7*7}}"
IN_ADDRESSES = "javascript:evil()"


@pytest.fixture(scope="module")
def pages(django_db_setup: None, django_db_blocker: Any) -> Iterator[list[tuple[Route, str]]]:
    """All pages, as somebody sees them who owns all of it and may do everything."""
    with on_stage(django_db_blocker) as cast:
        cast.alice.is_staff = cast.alice.is_superuser = True
        cast.alice.save()
        Collection.objects.update(
            title=EVIL, error=EVIL, licence=EVIL, version=EVIL[:50], home_page=IN_ADDRESSES
        )
        Document.objects.update(title=EVIL, path=EVIL, text=EVIL, error=EVIL, url=IN_ADDRESSES)
        Passage.objects.update(text=EVIL, headings=[EVIL], anchor=EVIL)
        Run.objects.update(error=EVIL)
        StoredFile.objects.update(path=EVIL)
        Group.objects.update(name=EVIL)
        ApiToken.objects.update(name=EVIL[:100])
        Chat.objects.update(title=EVIL[:200])
        Message.objects.update(text=EVIL, rating="down", comment=EVIL)
        for message in Message.objects.exclude(citations=[]):
            names = {
                "document": EVIL,
                "path": EVIL,
                "headings": [EVIL],
                "quote": EVIL,
                "url": IN_ADDRESSES,
            }
            message.citations = [one | names for one in message.citations]
            message.save()
        alice = log_in(cast.alice)
        yield [
            (route, reply.content.decode())
            for route in all_routes()
            for reply in [ask(alice, "GET", address_of(route, cast))]
            if not reply.streaming and reply.headers.get("Content-Type", "").startswith("text/html")
        ]


def test_it_is_text_everywhere(pages: list[tuple[Route, str]]) -> None:
    for route, html in pages:
        soup = BeautifulSoup(html, "html.parser")
        assert not soup.select("script:not([src]), svg[onload], img[onerror], iframe, object"), (
            route.pattern
        )
        for element in soup.find_all(True):
            for name, value in element.attrs.items():
                assert not name.startswith("on"), (route.pattern, name)
                assert not str(value).strip().lower().startswith("javascript:") or name in {
                    "value", "title",
                }, (route.pattern, name)  # fmt: skip


def test_it_is_shown(pages: list[tuple[Route, str]]) -> None:
    """Or the pages above had nothing to show."""
    showing = {route.pattern for route, html in pages if "evil()" in html}
    assert {
        "chats/<uuid:chat_id>/", "messages/<uuid:message_id>/", "passages/<uuid:passage_id>/", "chats/",
        "documents/<uuid:document_id>/", "shelf/", "shelf/<slug:slug>/", "runs/<uuid:run_id>/",
        "settings/tokens/", "admin/feedback/", "admin/library/document/", "admin/auth/group/",
        "admin/accounts/apitoken/", "admin/library/storedfile/", "shared/<str:token>/",
    } - showing <= {"shared/<str:token>/"}  # fmt: skip
