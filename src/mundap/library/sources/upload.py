"""`upload:<collection id>`: the files that people gave to a collection."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from mundap.errors import SourceError
from mundap.library.models import StoredFile
from mundap.library.sources.fetched import Fetched

SCHEME = "upload"


def fetch(address: str, folder: Path) -> Fetched:
    """Put the collection's files below `folder`. Raises SourceError."""
    try:
        files = StoredFile.objects.filter(collection=UUID(address))
    except ValueError as exc:
        raise SourceError(f"{address!r} is not a collection's id.") from exc
    for path, content in files.values_list("path", "content").iterator(chunk_size=5):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(content))
    return Fetched(folder)
