"""`mundap ingest`, as a person runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.library.shelf import DATA, make_tar, write_pages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pages(
        tmp_path / "tea",
        {"tea.md": "# Tea\n\nGreen or black.\n", "milk.md": "# Milk\n\nA little.\n"},
    )


def test_a_folder_is_put_on_the_shelf_and_brought_up_to_date(run: Run, folder: Path):
    first = run("ingest", f"dir:{folder}", "--slug", "tea", "--title", "Tea", "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["collection"] == "tea"
    assert (document["documents"], document["added"], document["passages"]) == (2, 2, 2)
    assert document["vectors"]["total"] == 2
    write_pages(folder, {"tea.md": "# Tea\n\nWhite, too.\n"})
    second = run("ingest", f"dir:{folder}", "--slug", "tea", "--wait-vectors", "--json")
    document = json.loads(second.stdout)
    assert (document["changed"], document["unchanged"]) == (1, 1)
    assert document["vectors"] == {"done": 2, "total": 2}
    assert document["title"] == "Tea"


def test_it_says_what_it_did(run: Run):
    done = run(
        "ingest", f"dir:{DATA / 'sphinx'}", "--slug", "teapot", "--category", "TEAM",
        "--title-no", "7", "--language", "ko", "--base-url", "https://teapot.example/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Teapot 2.1 is on the shelf as 'teapot': 3 pages" in done.stdout
    assert "3 new, 0 changed, 0 deleted, 0 unchanged" in done.stdout
    assert "It can be searched now." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dir:/nowhere/at/all"], "There is no folder or file"),
        (["gopher:docs"], "does not name a source"),
        (["dir:{folder}", "--slug", "no spaces"], "--slug"),
        (["dir:{folder}", "--slug", "x" * 101], "--slug"),
        (["dir:{folder}", "--title", ""], "--title"),
        (["dir:{folder}", "--title", "x\udcff"], "--title: This is not UTF-8 text."),
        (["dir:{folder}", "--category", "x" * 101], "--category"),
        (["dir:{folder}", "--title-no", "99999999999"], "--title-no"),
        (["dir:{folder}", "--language", "x" * 11], "--language"),
        (["dir:{folder}", "--base-url", "nowhere"], "--base-url"),
        (["dir:{folder}", "--base-url", "ftp://pages.example/"], "--base-url"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(run: Run, folder: Path, arguments, message):
    done = run("ingest", *[each.format(folder=folder) for each in arguments])
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_private_documents_need_somebody_who_owns_them(
    run: Run, folder: Path, new_database: Callable[[str], str]
):
    arguments = [f"dir:{folder}", "--slug", "x", "--visibility", "private"]
    done = run("ingest", *arguments, DATABASE_URL=new_database("without_admin"))
    assert done.returncode == 1
    assert "mundap create-admin" in done.stderr


def test_an_archive_that_climbs_out(run: Run, tmp_path: Path):
    file = make_tar(tmp_path / "bad.tar.gz", {"a.md": "# A", "../../b.md": "# B"})
    done = run("ingest", f"dir:{file}", "--slug", "bad")
    assert done.returncode == 1
    assert "climbs out of its folder" in done.stderr


def test_vectors_that_cannot_be_made_leave_the_words(run: Run, folder: Path):
    away = {"MUNDAP_EMBEDDING_BASE_URL": "http://127.0.0.1:9/v1", "MUNDAP_EMBEDDING_MODEL": "none"}
    done = run("ingest", f"dir:{folder}", "--slug", "wordy", "--wait-vectors", **away)
    assert done.returncode == 1
    assert "'wordy' is on the shelf and found by words" in done.stderr
    assert "Traceback" not in done.stderr


def test_pages_that_cannot_be_read_are_named(run: Run, folder: Path):
    (folder / "broken.md").write_bytes(bytes(range(256)) * 40)
    done = run("ingest", f"dir:{folder}", "--slug", "half-broken")
    assert done.returncode == 0, done.stderr
    assert "Not read: broken.md:" in done.stdout
    for name in ("tea.md", "milk.md"):
        (folder / name).unlink()
    done = run("ingest", f"dir:{folder}", "--slug", "half-broken")
    assert done.returncode == 1
    assert "1 of 1 pages could not be read: broken.md" in done.stderr
    assert "WARNING" not in done.stderr
