"""Files that people give: checked, counted against what one may keep, and stored for a run to read.

An archive is taken as the folder that it is. All files of a request are stored, or none.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import psycopg
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction
from django.db.models import Sum
from django.utils.translation import gettext as _
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.errors import Conflict, InvalidInput, TooLarge
from mundap.library.deleting import cancel_runs, until_free
from mundap.library.models import Collection, Document, Run, StoredFile
from mundap.library.parsing.formats import format_of_suffix, formats
from mundap.library.runs import request_another_run
from mundap.library.sources.archives import unpack
from mundap.library.sources.pages import find_pages
from mundap.library.storing import delete_documents

SCHEME = "upload"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_NAME_BYTES = 200
MEGABYTE = 1 << 20
# What belongs to pages without being one: Sphinx's and MkDocs' settings, and what pages include.
_BESIDE_PAGES = ("conf.py", "objects.inv", "mkdocs.yml")
_INCLUDED = ".inc"
_WRITE = """
    INSERT INTO library_storedfile
        (id, collection_id, path, content, size_bytes, given_by_id, created_at, updated_at)
    VALUES (%(id)s, %(collection)s, %(path)s, %(content)b, %(size_bytes)s, %(given_by)s, now(), now())
    ON CONFLICT (collection_id, path) DO UPDATE SET content = excluded.content,
        size_bytes = excluded.size_bytes, given_by_id = excluded.given_by_id, updated_at = now()
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a request's files: the paths that were written, and the run that reads them."""

    paths: tuple[str, ...]
    run: Run


@dataclass(frozen=True, slots=True)
class Room:
    """How much a user keeps of what they may, and how large one file may be; in bytes."""

    used: int
    limit: int
    file_limit: int


def takes_files(collection: Collection) -> bool:
    """Return whether the collection is made of files that people give, and not read from elsewhere."""
    return not collection.source or collection.source == _source_of(collection)


def suffixes() -> list[str]:
    """Return what names of files that can be read end with, archives last."""
    readable = {suffix for each in formats().values() for suffix in each.suffixes}
    return [*sorted(readable), *ARCHIVES]


def room_of(user: User) -> Room:
    """Return how much the user has stored in all collections, and how much they may."""
    used = StoredFile.objects.filter(given_by=user).aggregate(sum=Sum("size_bytes"))["sum"]
    limits = (settings.UPLOAD_QUOTA_MB * MEGABYTE, settings.UPLOAD_MAX_MB * MEGABYTE)
    return Room(used or 0, *limits)


def store_files(user: User, collection: Collection, files: Sequence[UploadedFile[bytes]]) -> Stored:
    """Store the files, each under its name, and ask for a run; one of the same name is replaced.

    Raises InvalidInput and TooLarge with a message for each file that is refused, SourceError for an archive that is
    broken, Conflict for a collection that is read from elsewhere.
    """
    _check_takes_files(collection)
    if not files:
        raise InvalidInput(_("No file was sent."), fields={"files": _("Choose a file.")})
    _check(files)
    with TemporaryDirectory(prefix="mundap-upload-") as folder, transaction.atomic():
        _lock_room(user)
        paths: list[str] = []
        for number, file in enumerate(files):
            for path, content in _contents(user, file, Path(folder) / str(number)):
                _store(user, collection, path, content)
                paths.append(path)
        _check_room(user, collection)
        return Stored(tuple(dict.fromkeys(paths)), _read(user, collection))


def store_text(user: User, collection: Collection, text: str) -> Stored:
    """Store the text as the collection's document, named after its title, and ask for a run. Raises TooLarge."""
    with transaction.atomic():
        _lock_room(user)
        path = f"{clean_name(collection.title) or 'text'}.md"
        _store(user, collection, path, text.encode())
        _check_room(user, collection)
        return Stored((path,), _read(user, collection))


def delete_document(user: User, document: Document) -> None:
    """Delete a document with the file that it was read from. Raises Conflict for one that is read from elsewhere."""
    _check_takes_files(document.collection)
    until_free(lambda: _delete_document(user, document))


def _delete_document(user: User, document: Document) -> None:
    collection = document.collection
    # The run before the documents, in the order of whoever ends a run.
    collection.files.filter(path=document.path).delete()
    if collection.files.exists():
        _read(user, collection)
    else:
        _empty(collection)
    delete_documents(collection, keeping=collection.documents.exclude(pk=document.pk))


def clean_name(name: str) -> str:
    """Return a file's name as it is kept: without folders and what cannot be seen, in composed letters."""
    base = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    shown = "".join(char if char.isprintable() else " " for char in base)
    cleaned = " ".join(shown.split()).strip(". ")
    stem, dot, suffix = cleaned.rpartition(".")
    if len(cleaned.encode()) > MAX_NAME_BYTES and dot:
        kept = MAX_NAME_BYTES - len(f".{suffix}".encode())
        return f"{stem.encode()[: max(kept, 1)].decode(errors='ignore')}.{suffix}"
    return cleaned.encode()[:MAX_NAME_BYTES].decode(errors="ignore")


def _source_of(collection: Collection) -> str:
    return f"{SCHEME}:{collection.pk}"


def _check_takes_files(collection: Collection) -> None:
    if not takes_files(collection):
        raise Conflict(
            _("“%(title)s” is read from a source; files are given to a collection of their own.")
            % {"title": collection.title}
        )


def _check(files: Sequence[UploadedFile[bytes]]) -> None:
    """Raise what is wrong with any of the files, with a message for each."""
    limit = settings.UPLOAD_MAX_MB
    large = {
        str(file.name): _("larger than %(limit)d MB") % {"limit": limit}
        for file in files
        if (file.size or 0) > limit * MEGABYTE
    }
    if large:
        message = _("A file may have up to %(limit)d MB. Nothing was stored.") % {"limit": limit}
        raise TooLarge(message, fields=large)
    unknown = {
        str(file.name): _("not a format that can be read")
        for file in files
        if not _is_readable(clean_name(str(file.name)))
    }
    if unknown:
        raise InvalidInput(
            _("Nothing was stored. Files of these kinds can be read: %(kinds)s")
            % {"kinds": ", ".join(suffixes())},
            fields=unknown,
        )


def _is_readable(name: str) -> bool:
    return _is_archive(name) or format_of_suffix(PurePosixPath(name).suffix) is not None


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _contents(user: User, file: UploadedFile[bytes], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the paths and contents of the file: its own, or those of the archive that it is."""
    name = clean_name(str(file.name))
    if not _is_archive(name):
        yield name, file.read()
        return
    folder.mkdir()
    packed = folder / "packed"
    with packed.open("wb") as out:
        shutil.copyfileobj(file, out)
    room = room_of(user)
    left = max(room.limit - room.used, MEGABYTE)
    root = unpack(packed, folder, name=name, max_bytes=left)
    packed.unlink()
    found = [(page.path, page.file) for page in find_pages(root).pages]
    if not found:
        raise InvalidInput(
            _("“%(name)s” has no file that can be read. These kinds can: %(kinds)s")
            % {"name": name, "kinds": ", ".join(suffixes())}
        )
    beside = [root / one for one in _BESIDE_PAGES if (root / one).is_file()]
    beside += [one for one in root.rglob(f"*{_INCLUDED}") if one.is_file()]
    found += [(one.relative_to(root).as_posix(), one) for one in beside]
    for path, page in found:
        if page.stat().st_size > room.file_limit:
            message = _("A file may have up to %(limit)d MB. Nothing was stored.")
            raise TooLarge(
                message % {"limit": settings.UPLOAD_MAX_MB}, fields={path: _("too large")}
            )
        yield unicodedata.normalize("NFC", path), page.read_bytes()


def _store(user: User, collection: Collection, path: str, content: bytes) -> None:
    values = {
        "id": uuid7(),
        "collection": collection.pk,
        "path": path,
        "content": content,
        "size_bytes": len(content),
        "given_by": user.pk,
    }
    # By psycopg's own cursor: Django's writes the bytes as text first, several times their size in memory.
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_WRITE, values)


def _lock_room(user: User) -> None:
    """Let no other request of the user be given the same room, until the transaction ends."""
    # No key: a run that ends meanwhile may name the user in the run that follows, or each would wait for the other.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _check_room(user: User, collection: Collection) -> None:
    """Raise TooLarge where the user has no room for what was stored."""
    room = room_of(user)
    if room.used > room.limit:
        raise TooLarge(
            _("Your files may have %(limit)d MB in all. Nothing was stored; delete some first.")
            % {"limit": settings.UPLOAD_QUOTA_MB}
        )
    limit = settings.UPLOAD_MAX_FILES
    if collection.files.count() > limit:
        raise TooLarge(
            _("A collection may have up to %(limit)d files. Nothing was stored.") % {"limit": limit}
        )


def _read(user: User, collection: Collection) -> Run:
    """Ask for a run that reads the files as they are now."""
    if not collection.source:
        collection.source = _source_of(collection)
        collection.save(update_fields=["source", "updated_at"])
    return request_another_run(collection, trigger=Run.Trigger.UPLOAD, user=user)


def _empty(collection: Collection) -> None:
    """Leave a collection as it was before its first file: there is nothing to read."""
    cancel_runs(collection)
    Collection.objects.filter(pk=collection.pk).update(
        source="",
        state=Collection.State.EMPTY,
        error="",
        documents_done=0,
        documents_total=0,
        ingested_at=None,
    )
