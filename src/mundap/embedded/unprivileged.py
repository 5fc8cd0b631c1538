"""PostgreSQL under root: as which user it runs, and from where, when that user cannot reach us.

PostgreSQL refuses to run as root. Folders of root's are never opened to others for it: where the
user cannot pass (say below /root), the data lie in a folder of their own under /var/lib/mundap,
linked from the home folder, beside a copy of the programs. See docs/decisions/embedded-servers.md.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mundap.embedded.process import Account
from mundap.errors import EmbeddedError

_NAMES = ("mundap", "postgres", "nobody")
SYSTEM_FOLDER = Path(
    "/Library/Application Support/mundap" if sys.platform == "darwin" else "/var/lib/mundap"
)


def account_for(data: Path) -> Account | None:
    """Return the user to run the server of this data folder as; None: as whoever runs us.

    Under root it is the owner of existing data, else the first that exists of mundap, postgres
    and nobody.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Account(uid=data.stat().st_uid, gid=data.stat().st_gid)
    for name in _NAMES:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(uid=user.pw_uid, gid=user.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and this system has no user named "
        f"{', '.join(_NAMES)}. Make one (useradd --system mundap) or run Mundap as another user."
    )


def can_reach(path: Path, *, account: Account | None) -> bool:
    """Return whether the user can pass into this folder or run this program."""
    if account is None:
        return True
    test = 'if [ -d "$1" ]; then cd "$1"; else test -x "$1"; fi'
    done = subprocess.run(
        ["/bin/sh", "-c", test, "sh", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd="/",
        check=False,
        **account.popen_options(),
    )
    return done.returncode == 0


def new_system_folder(home: Path, *, account: Account) -> Path:
    """Return a new folder under the system's data folder that the user can reach."""
    try:
        _make_system_folder()
        _sweep()
        folder = Path(tempfile.mkdtemp(prefix="home-", dir=SYSTEM_FOLDER))
    except OSError as exc:
        raise EmbeddedError(
            f"PostgreSQL runs as user number {account.uid}, who cannot reach {home}, and "
            f"{SYSTEM_FOLDER} cannot be written: {exc.strerror}. "
            "Set MUNDAP_HOME to a folder that this user can reach."
        ) from exc
    folder.chmod(0o711)
    (folder / "home").write_text(f"{home}\n", encoding="utf-8", errors="surrogateescape")
    if not can_reach(folder, account=account):
        shutil.rmtree(folder)
        raise EmbeddedError(
            f"PostgreSQL runs as user number {account.uid}, who can reach neither {home} "
            f"nor {SYSTEM_FOLDER}. Set MUNDAP_HOME to a folder that this user can reach."
        )
    return folder


def reachable_copy(package: Path, *, version: str, install: str) -> Path:
    """Return a copy of the wheel's PostgreSQL that everybody can run, made once for a version.

    `package` is the wheel's package folder and `install` the installation's folder inside it.
    The copy keeps the wheel's layout, for the programs find their libraries relative to it.
    """
    _make_system_folder()
    copy = SYSTEM_FOLDER / f"programs-{version}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=SYSTEM_FOLDER))
        try:
            unused = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "__pycache__")
            for folder in (f"{package.name}/{install}", f"{package.name}.libs"):
                if (package.parent / folder).exists():
                    shutil.copytree(
                        package.parent / folder, draft / folder, symlinks=True, ignore=unused
                    )
            if (package / ".dylibs").exists():
                shutil.copytree(package / ".dylibs", draft / package.name / ".dylibs")
            _let_everybody_read(draft)
            with contextlib.suppress(OSError):  # another process was first
                draft.rename(copy)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return copy / package.name / install


def list_system_folders() -> list[tuple[Path, Path]]:
    """Return (folder, its home folder) of all data kept under the system's data folder."""
    found = []
    for record in sorted(SYSTEM_FOLDER.glob("home-*/home")):
        with contextlib.suppress(OSError):
            home = record.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n")
            found.append((record.parent, Path(home)))
    return found


def _make_system_folder() -> None:
    SYSTEM_FOLDER.mkdir(parents=True, exist_ok=True)
    status = SYSTEM_FOLDER.lstat()
    if SYSTEM_FOLDER.is_symlink() or status.st_uid != 0 or status.st_mode & 0o022:
        raise EmbeddedError(
            f"{SYSTEM_FOLDER} must be root's own folder, writable by root only "
            f"(chown root {SYSTEM_FOLDER} && chmod 755 {SYSTEM_FOLDER})."
        )


def _sweep() -> None:
    """Delete the data of homes that were temporary and are gone, such as those of test runs.

    Data of any other home are never deleted: its disk may only be missing for a while.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    for folder, home in list_system_folders():
        is_gone = home.is_relative_to(temporary) and not home.exists()
        if is_gone and not (folder / "postgres" / "postmaster.pid").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _let_everybody_read(folder: Path) -> None:
    """Open the copy, whatever modes the installer's umask gave the original."""
    folder.chmod(0o755)
    for parent, folders, files in os.walk(folder):
        for name in folders:
            (Path(parent) / name).chmod(0o755)
        for name in files:
            path = Path(parent) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
