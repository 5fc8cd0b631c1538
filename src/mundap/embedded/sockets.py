"""The folder of a server's Unix socket: private, and short enough for a socket's name."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from pathlib import Path

from mundap.embedded.home import PRIVATE_FILE, PRIVATE_FOLDER
from mundap.embedded.process import Account
from mundap.errors import EmbeddedError

# A socket's name may have 107 bytes on Linux and 103 on macOS; the longest file name in the
# folder is PostgreSQL's ".s.PGSQL.5432".
_MAX_FOLDER_BYTES = 103 - 1 - len(".s.PGSQL.5432")
# Spaces, commas, quotes and percent signs mean something to one or another of libpq, Redis
# clients, Celery's broker and PostgreSQL's own list of folders.
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


def find_socket_folder(preferred: Path, *, record: Path) -> Path:
    """Return the folder that `make_socket_folder` chose, without making anything."""
    return preferred if _is_usable(preferred) else _recorded(record) or preferred


def make_socket_folder(preferred: Path, *, record: Path, account: Account | None = None) -> Path:
    """Return a folder for a socket: the preferred one, else a private one with a short name.

    The short one is made under the temporary folder with a random name, which nobody can take
    before us, and is remembered in the file `record`, so that a server that is started again is
    found at the same place. It belongs to `account` when one is given.
    """
    if _is_usable(preferred):
        return preferred
    owner = account.uid if account else os.geteuid()
    known = _recorded(record)
    if known is not None and _is_private(known, owner=owner):
        return known
    folder = Path(tempfile.mkdtemp(prefix="mundap-", dir=_short_parent()))
    if account:
        os.chown(folder, account.uid, account.gid)
    record.touch(mode=PRIVATE_FILE)
    record.write_text(str(folder), encoding="utf-8")
    return folder


def remove_socket_folder(record: Path) -> None:
    """Remove the short folder that `record` names, with what a killed server left in it."""
    folder = _recorded(record)
    if folder is not None and _is_ours(folder):
        for leftover in folder.iterdir():
            leftover.unlink()
        folder.rmdir()
    record.unlink(missing_ok=True)


def _recorded(record: Path) -> Path | None:
    with contextlib.suppress(FileNotFoundError):
        return Path(record.read_text(encoding="utf-8").strip())
    return None


def _is_usable(folder: Path) -> bool:
    name = str(folder)
    return len(os.fsencode(name)) <= _MAX_FOLDER_BYTES and _PLAIN.fullmatch(name) is not None


def _is_private(folder: Path, *, owner: int) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_folder = stat.S_ISDIR(status.st_mode)  # and no link: lstat does not follow one
    return is_folder and status.st_uid == owner and stat.S_IMODE(status.st_mode) == PRIVATE_FOLDER


def _is_ours(folder: Path) -> bool:
    """Return whether it is a folder that `socket_folder` made for this user or for root."""
    if not folder.name.startswith("mundap-"):
        return False
    try:
        owner = folder.lstat().st_uid
    except OSError:
        return False
    return (os.geteuid() in (0, owner)) and _is_private(folder, owner=owner)


def _short_parent() -> Path:
    # Root's TMPDIR may be closed to the user that PostgreSQL runs as; /tmp is open to all.
    own = [] if os.geteuid() == 0 else [Path(tempfile.gettempdir())]
    for parent in (*own, Path("/tmp"), Path("/var/tmp")):  # noqa: S108
        if _is_usable(parent / "mundap-12345678") and os.access(parent, os.W_OK | os.X_OK):
            return parent
    raise EmbeddedError("No writable temporary folder with a short path was found for sockets.")
