"""Why there is nothing to answer from: a collection that is empty, still being read, or could not be read."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import override

from mundap.library.models import Collection, Document


def why_unready(collection: Collection, *, language: str) -> str:
    """Return why nothing can be answered from this collection yet, or an empty text."""
    collection.refresh_from_db(fields=["state", "error"])
    if collection.passages.exists():
        return ""
    about = {"title": collection.title, "error": _reason(collection)}
    with override(language):
        if collection.state == Collection.State.INGESTING:
            return _("“%(title)s” is still being read. Ask again in a moment.") % about
        if about["error"]:
            return _("“%(title)s” could not be read: %(error)s") % about
        return _("“%(title)s” is empty: there is nothing in it to answer from.") % about


def _reason(collection: Collection) -> str:
    """Return why it could not be read: its only document says that best."""
    failed = collection.documents.filter(state=Document.State.FAILED)
    errors = list(failed.exclude(error="").values_list("error", flat=True)[:2])
    return errors[0] if len(errors) == 1 else collection.error
