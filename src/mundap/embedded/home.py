"""The home folder: where it is, its secrets, and the rule that all below it is private.

Layout: `secrets/` · `log/` (one file a part) · `run/` (locks, sockets) · `postgres/` (the data).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

import platformdirs

from mundap.errors import EmbeddedError

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
# Root's home folder may be walked through, not listed: PostgreSQL runs as another user and its
# data lie below. Everything else in it stays private by its own mode.
_ROOTS_HOME = 0o711


def home_path() -> Path:
    """Return where the home folder is, made or not: `MUNDAP_HOME`, else the user's data folder."""
    given = os.environ.get("MUNDAP_HOME") or platformdirs.user_data_dir("mundap", appauthor=False)
    try:
        return Path(given).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as exc:
        raise EmbeddedError(f"MUNDAP_HOME={given!r} cannot be used as a folder: {exc}") from exc


def home_folder() -> Path:
    """Return the home folder, made when it is missing. Raises EmbeddedError if that fails."""
    home = home_path()
    make_home(home)
    return home


def make_home(home: Path) -> None:
    """Make the home folder and the folders that every part uses; existing ones stay as they are."""
    try:
        if not home.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                home.mkdir()
                home.chmod(_ROOTS_HOME if os.geteuid() == 0 else PRIVATE_FOLDER)
        for name in ("secrets", "log", "run"):
            (home / name).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as exc:
        raise EmbeddedError(
            f"The home folder {home} cannot be written: {exc.strerror or exc}. "
            "Set MUNDAP_HOME to a folder of your own on a disk with room."
        ) from exc


def load_or_make_secret(home: Path, name: str) -> str:
    """Return the home's secret of this name, made at first use and kept with mode 0600.

    Processes that ask for it at the same time get the same one.
    """
    path = home / "secrets" / name
    try:
        if not path.exists():
            make_home(home)
            _write_once(path, secrets.token_urlsafe(48))
        if stat.S_IMODE(path.stat().st_mode) != PRIVATE_FILE:
            path.chmod(PRIVATE_FILE)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise EmbeddedError(
            f"The secret in {path} cannot be read or written: {exc}. "
            "Run Mundap as the user whose home folder it is, or set MUNDAP_HOME to another."
        ) from exc
    if not secret:
        raise EmbeddedError(f"The secret in {path} is empty; delete the file to get a new one.")
    return secret


def _write_once(path: Path, text: str) -> None:
    """Write a new private file in one step; the first of several writers wins."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
