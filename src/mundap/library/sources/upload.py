"""`upload:<collection id>`: the files that people gave to a collection.

By plain SQL: sources are also opened where Django's models are not set up.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from django.db import connection

from mundap.errors import SourceError
from mundap.library.sources.fetched import Fetched

SCHEME = "upload"


def fetch(address: str, folder: Path) -> Fetched:
    """Put the collection's files below `folder`. Raises SourceError."""
    try:
        collection = UUID(address)
    except ValueError as exc:
        raise SourceError(f"{address!r} is not a collection's id.") from exc
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, path FROM library_storedfile WHERE collection_id = %s", [collection]
        )
        for file_id, path in cursor.fetchall():
            cursor.execute("SELECT content FROM library_storedfile WHERE id = %s", [file_id])
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes(cursor.fetchall()[0][0]))
    return Fetched(folder)
