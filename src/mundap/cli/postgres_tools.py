"""PostgreSQL's own programs for a database (pg_dump, pg_restore, psql), in a version that can, and how they connect.

Those that come with Mundap were built without TLS. Where the connection is encrypted they are started with the libpq
that psycopg brings put before their own: what Mundap itself connects by.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from mundap.embedded.postgres import program
from mundap.errors import ConfigurationError, EmbeddedError

_NAMES = ("pg_dump", "pg_restore", "psql")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs in a folder, and the database that they are for. No password is in a command line."""

    folder: Path
    database: str
    password: str
    libpq: Path | None  # in place of their own

    def command(self, name: str, *options: str) -> list[str]:
        """Return the command line of one of the programs, which connects unless it is pg_restore."""
        address = () if name == "pg_restore" else ("--dbname", self.database, "--no-password")
        return [str(self.folder / name), *address, *options]

    @property
    def environment(self) -> Mapping[str, str]:
        """The programs' environment: nothing of ours but the password."""
        kept = {name: os.environ[name] for name in ("HOME", "SSL_CERT_FILE") if name in os.environ}
        password = {"PGPASSWORD": self.password} if self.password else {}
        named = {"PGAPPNAME": "mundap backup", "PGTZ": "UTC"}
        libpq = {"LD_PRELOAD": str(self.libpq)} if self.libpq else {}
        return {"PATH": os.defpath, "LC_ALL": "C", **kept, **named, **libpq, **password}


def find_tools(url: str) -> Tools:
    """Return the programs for the database at this address, as new as its server. Raises ConfigurationError."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            version = connection.info.server_version // 10_000
            is_encrypted = bool(connection.pgconn.ssl_in_use)
    except psycopg.OperationalError as exc:
        raise ConfigurationError(f"The database cannot be reached: {str(exc).strip()}.") from exc
    folder, libpq = _choose(version, is_encrypted=is_encrypted)
    options = conninfo_to_dict(url)
    password = str(options.pop("password", None) or "")
    return Tools(folder, make_conninfo("", **options), password, libpq)


def _choose(version: int, *, is_encrypted: bool) -> tuple[Path, Path | None]:
    """Return the folder of programs for a server of this major version, and what to put before their libpq."""
    libpq = _libpq_with_tls() if is_encrypted else None
    own = _own_folder() if libpq or not is_encrypted else None
    for folder in (own, _system_folder()):
        if folder and _major_version(folder) >= version:
            return folder, libpq if folder == own else None
    encrypted = (
        ", and the connection is encrypted, which Mundap's own cannot" if is_encrypted else ""
    )
    raise ConfigurationError(
        f"There is no pg_dump for PostgreSQL {version} here{encrypted}. Install its client programs "
        f"(Debian: postgresql-client-{version}) and put them into PATH."
    )


def _libpq_with_tls() -> Path | None:
    """Return the libpq in psycopg's wheel, where the system's loader can be told to prefer it."""
    spec = importlib.util.find_spec("psycopg_binary")
    if sys.platform != "linux" or spec is None or spec.origin is None:
        return None
    libraries = Path(spec.origin).parents[1] / "psycopg_binary.libs"
    found = next(libraries.glob("libpq-*.so*"), None)
    # The loader takes a list of names, and nothing in it can be quoted.
    return found if found and not re.search(r"[\s:]", str(found)) else None


def _own_folder() -> Path | None:
    try:
        return program("pg_dump", None).parent
    except EmbeddedError:
        return None


def _system_folder() -> Path | None:
    found = shutil.which("pg_dump")
    # Debian's in /usr/bin chooses another version for each server; what it leads to is asked for its version.
    folder = Path(found).parent if found else None
    return folder if folder and all((folder / name).exists() for name in _NAMES) else None


def _major_version(folder: Path) -> int:
    done = subprocess.run(
        [str(folder / "pg_dump"), "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"(\d+)(?:\.\d+)?", done.stdout)
    return int(found[1]) if found and not done.returncode else 0
