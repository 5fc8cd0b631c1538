"""An early pytest plugin: real PostgreSQL, Valkey and embedding server in a MUNDAP_HOME of this run's own.

It is loaded before pytest-django reads the settings, because their addresses come from the environment. With several
test processes (`-n`) each has parts of its own, and the one that only hands out tests has none. With
THROUGH_PGBOUNCER=1 a PgBouncer stands before PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path
from unittest.mock import patch

import pytest

from mundap.embedded import postgres, supervisor
from tests.pgbouncer import pgbouncer

# No power cut is tested here, and each transactional test makes a hundred files anew.
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_parts = contextlib.ExitStack()


@pytest.hookimpl(wrapper=True)  # a wrapper comes before pytest-django's own hook
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Start the parts and name them in the environment; nothing of the caller's own is used."""
    for name in list(os.environ):
        if name.startswith(("MUNDAP_", "OPENAI_", "EMAIL_", "DATABASE_URL", "REDIS_URL")):
            del os.environ[name]
    os.environ["SECRET_KEY"] = "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz"
    hands_out = early_config.known_args_namespace.numprocesses
    if hands_out and "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    # A shell's background job ignores Ctrl-C, and under nohup the end of the terminal, and so would the processes
    # that tests send them to.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    home = Path(tempfile.mkdtemp(prefix="mundap-test-"))
    home.chmod(0o711)  # an ordinary user must reach the data folder when the tests run as root
    _parts.callback(supervisor.discard, home)
    try:
        with patch.dict(postgres._SETTINGS, _FORGETFUL):
            endpoints = _parts.enter_context(
                supervisor.running(home, postgres=True, valkey=True, embeddings=True)
            )
    except BaseException:
        _parts.close()
        raise
    database = endpoints.database_url or ""
    if os.environ.get("THROUGH_PGBOUNCER"):
        os.environ["MUNDAP_DIRECT_DATABASE_URL"] = database
        database = _parts.enter_context(pgbouncer(database))
    os.environ |= {
        "MUNDAP_HOME": str(home),
        "DATABASE_URL": database,
        "REDIS_URL": endpoints.redis_url or "",
        "MUNDAP_EMBEDDING_BASE_URL": endpoints.embedding_url or "",
        "MUNDAP_EMBEDDING_API_KEY": endpoints.embedding_key or "",
        "MUNDAP_THROTTLE_USER": "100000/min",
        "MUNDAP_THROTTLE_ADDRESS": "100000/min",
        "MUNDAP_THROTTLE_TURNS": "100000/min",
    }
    try:
        return (yield)
    except BaseException:
        _parts.close()
        raise


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the parts and remove their folder."""
    _parts.close()
