"""Imports go one way, and nothing works at import time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "mundap"
# From the ground up: a package may import those before it, and itself.
ORDER = [
    "errors",
    "config",
    "llm",
    "accounts",
    "library",
    "retrieval",
    "answers",
    "chats",
    "administration",
    "web",
    "cli",
]
ALLOWED = {name: set(ORDER[: place + 1]) for place, name in enumerate(ORDER)}
ALLOWED["embedded"] = {"errors", "embedded"}
ALLOWED["cli"] |= {"embedded"}
LOOKS_UP = {"config/urls.py", "config/asgi.py"}
MODULES = sorted(
    path
    for path in SOURCE.rglob("*.py")
    if "migrations" not in path.parts and path.parent != SOURCE
)
NOT_NAMES = {"utils", "helpers", "common", "misc", "manager"}
SURFACES = ("_api", "_pages", "_urls")
OF_EVERY_APP = {"api", "apps", "models", "pages", "selectors", "serializers", "services", "shown"}
OF_EVERY_APP |= {"settings", "tasks", "urls"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("mundap.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_arrows_point_one_way(path: Path) -> None:
    inside = path.relative_to(SOURCE)
    if inside.as_posix() in LOOKS_UP:
        return
    backward = imported(path) - ALLOWED[inside.parts[0]]
    assert not backward, f"{inside} may not import {sorted(backward)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_modules_say_what_they_own(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module opens with what it owns"
    assert path.stem not in NOT_NAMES, "a file is named after what is in it"
    if path.relative_to(SOURCE).parts[0] != "cli":
        functions = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        inside = [
            child.lineno
            for function in functions
            for child in ast.walk(function)
            if isinstance(child, ast.Import | ast.ImportFrom)
        ]
        assert not inside, f"imports inside functions at lines {inside}"


@pytest.mark.parametrize("package", ["chats", "config", "library"])
def test_a_large_package_says_where_what_is(package: str) -> None:
    said = ast.get_docstring(ast.parse((SOURCE / package / "__init__.py").read_text())) or ""
    modules = {path.stem for path in (SOURCE / package).glob("[a-z]*.py")} - OF_EVERY_APP
    unsaid = {name for name in modules if f"`{name}`" not in said and not name.endswith(SURFACES)}
    assert not unsaid, f"say in mundap/{package}/__init__.py what they are for"


def test_only_one_place_reads_the_environment() -> None:
    readers = {"config/env.py", "config/asgi.py", "config/celery.py"}
    for path in MODULES:
        inside = path.relative_to(SOURCE).as_posix()
        if inside in readers or inside.startswith(("cli/", "embedded/")):
            continue
        assert "os.environ" not in path.read_text(encoding="utf-8"), (
            f"{inside} reads the environment"
        )


def test_importing_starts_nothing() -> None:
    """Every module can be imported with addresses that nobody listens at."""
    names = [
        "mundap." + path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".")
        for path in MODULES
        if path.stem != "__init__"
    ]
    program = "import importlib, sys, django; django.setup()\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *names],
        env={
            "DJANGO_SETTINGS_MODULE": "mundap.config.settings",
            "SECRET_KEY": "x",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
