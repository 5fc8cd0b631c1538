"""Databases on the test run's server, and their addresses."""

from __future__ import annotations

import os

import psycopg
from django.db import connection


def database_url(name: str = "", *, user: str = "mundap") -> str:
    """Return the address of the database of this name; by default that of the tests' own."""
    _base, _mark, query = os.environ["DATABASE_URL"].partition("?")
    return f"postgresql://{user}@/{name or connection.settings_dict['NAME']}?{query}"


def new_database(name: str, template: str = "template1") -> str:
    """Make an empty database and return its address."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return database_url(name)
