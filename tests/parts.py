"""An early pytest plugin: real PostgreSQL, Valkey and embedding server in a MUNDAP_HOME of this run's own.

It is loaded before pytest-django reads the settings, because their addresses come from the environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from mundap.embedded import supervisor

_parts = contextlib.ExitStack()


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the parts and name them in the environment; nothing of the caller's own environment is used."""
    for name in [name for name in os.environ if name.startswith(("MUNDAP_", "OPENAI_", "EMAIL_"))]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="mundap-test-"))
    home.chmod(0o711)  # an ordinary user must reach the data folder when the tests run as root
    _parts.callback(shutil.rmtree, home, ignore_errors=True)
    try:
        endpoints = _parts.enter_context(
            supervisor.running(home, postgres=True, valkey=True, embeddings=True)
        )
    except BaseException:
        _parts.close()
        raise
    os.environ |= {
        "MUNDAP_HOME": str(home),
        "DATABASE_URL": endpoints.database_url or "",
        "REDIS_URL": endpoints.redis_url or "",
        "MUNDAP_EMBEDDING_BASE_URL": endpoints.embedding_url or "",
        "MUNDAP_EMBEDDING_API_KEY": endpoints.embedding_key or "",
        "SECRET_KEY": "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
        "MUNDAP_THROTTLE_USER": "100000/min",
        "MUNDAP_THROTTLE_ADDRESS": "100000/min",
        "MUNDAP_THROTTLE_TURNS": "100000/min",
    }


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the parts and remove their folder."""
    _parts.close()
