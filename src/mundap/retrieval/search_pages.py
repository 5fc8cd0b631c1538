"""The page to try a search on a collection: the passages that an answer would be made from, with what found them."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mundap.accounts.models import User
from mundap.library.quoted_text import shown_blocks
from mundap.library.selectors import get_collection_for
from mundap.retrieval.search import ScoredPassage, search

_MOST_RESULTS = 10
_BEFORE = 2  # passages of the document that are shown before the one that was found


@login_required
@never_cache
@require_safe
def try_search(request: HttpRequest, slug: str) -> HttpResponse:
    """The passages of the collection that fit `?q=`, best first."""
    collection = get_collection_for(cast("User", request.user), slug)
    query = request.GET.get("q", "").strip()
    context: dict[str, Any] = {"collection": collection, "q": query}
    status = 200
    if len(query.encode()) > settings.QUESTION_MAX_BYTES:
        status = 413
        context["trouble"] = _("This is too long to search with.")
    elif query:
        found = search(collection, [query], limit=_MOST_RESULTS)
        context["found"] = found
        context["passages"] = [
            (passage, _address(passage), shown_blocks(passage.text)) for passage in found.passages
        ]
    return render(request, "retrieval/try_search.html", context, status=status)


def _address(passage: ScoredPassage) -> str:
    """Return the passage's place in its document, which may begin pages before."""
    before = passage.position - _BEFORE - 1
    start = f"?cursor={before}" if before >= 0 else ""
    page = reverse("library:document", args=[passage.document])
    return f"{page}{start}#passage-{passage.position}"
