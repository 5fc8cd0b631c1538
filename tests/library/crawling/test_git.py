"""Git repositories are read over the web without checking them out; what a server makes up is refused."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from dulwich.objects import Blob, Commit, Tag, Tree
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

from mundap.errors import SourceError
from mundap.library.crawling import git_client
from mundap.library.sources import archives, git_pack, open_source
from mundap.library.sources.git_pack import check_pack
from tests.library.crawling.server import Site
from tests.serving import Quiet, in_thread

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_host")]

FILE, LINK, SUBMODULE, FOLDER = 0o100644, 0o120000, 0o160000, 0o040000


class _Handler(Quiet, WSGIRequestHandler):
    pass


class Repository:
    """A repository whose commits are made of whatever a test wants in its folders."""

    def __init__(self, folder: Path) -> None:
        self.repo = Repo.init_bare(str(folder), mkdir=True)

    def blob(self, text: str | bytes):
        return self._add(Blob.from_string(text.encode() if isinstance(text, str) else text))

    def tree(self, *entries: tuple[bytes, int, bytes]):
        tree = Tree()
        for name, mode, sha in entries:
            tree.add(name, mode, sha)
        return self._add(tree)

    def commit(self, tree, ref: str = "refs/heads/main", parents=()):
        commit = Commit()
        commit.tree, commit.parents = tree, list(parents)
        commit.author = commit.committer = b"Alice <alice@example.org>"
        commit.author_time = commit.commit_time = 1_700_000_000
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"Tea"
        self.repo.refs[ref.encode()] = self._add(commit)
        self.repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")
        return commit.id

    def tag(self, name: str, commit) -> None:
        tag = Tag()
        tag.name, tag.object, tag.message = name.encode(), (Commit, commit), b"Tea"
        tag.tagger, tag.tag_time, tag.tag_timezone = b"Alice <alice@example.org>", 1_700_000_000, 0
        self.repo.refs[b"refs/tags/" + name.encode()] = self._add(tag)

    def _add(self, thing):
        self.repo.object_store.add_object(thing)
        return thing.id


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "teapot.git")


@pytest.fixture
def url(repository: Repository) -> Iterator[str]:
    app = make_wsgi_chain(DictBackend({"/tea/teapot.git": repository.repo}))
    with in_thread(make_server("127.0.0.1", 0, app, handler_class=_Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/tea/teapot.git"


def contents(name: str) -> dict[str, str]:
    with open_source(name) as source:
        return {page.path: page.file.read_text("utf-8") for page in source.pages}


def refusal(name: str) -> str:
    with pytest.raises(SourceError) as refused, open_source(name):
        pass
    return refused.value.message


def docs(repository: Repository, text: str = "# Tea"):
    """Return a folder with pages in folders of it."""
    inner = repository.tree((b"b.md", FILE, repository.blob("# Pots")))
    pages = repository.tree((b"a.md", FILE, repository.blob(text)), (b"more", FOLDER, inner))
    return repository.tree(
        (b"README.md", FILE, repository.blob("# Teapot")), (b"docs", FOLDER, pages)
    )


class TestRepositories:
    def test_branches_tags_and_commits(self, repository: Repository, url: str):
        first = repository.commit(docs(repository, "# First"))
        repository.tag("v1.0", first)
        repository.commit(docs(repository, "# Second"), parents=[first])
        repository.commit(docs(repository, "# Stable"), "refs/heads/stable/1.x", parents=[first])
        everything = contents(f"git:{url}")
        assert everything == {
            "README.md": "# Teapot",
            "docs/a.md": "# Second",
            "docs/more/b.md": "# Pots",
        }
        assert contents(f"git:{url}#docs/more") == {"b.md": "# Pots"}
        assert contents(f"git:{url}@stable/1.x#docs")["a.md"] == "# Stable"
        assert contents(f"git:{url}@v1.0#docs")["a.md"] == "# First"
        assert (
            contents(f"git:{url}@{repository.repo.refs[b'refs/heads/main'].decode()}#/docs/")[
                "a.md"
            ]
            == "# Second"
        )
        with open_source(f"git:{url}@v1.0#docs") as source:
            assert source.name == f"git:{url}@v1.0#docs"
            assert (source.about.title, source.about.slug, source.about.version) == (
                "teapot",
                "teapot",
                "1.0",
            )

    def test_names_that_are_not_there(self, repository: Repository, url: str):
        assert "The repository is empty" in refusal(f"git:{url}")
        repository.commit(docs(repository))
        assert "no branch or tag 'other'" in refusal(f"git:{url}@other")
        assert "no folder 'other'" in refusal(f"git:{url}#other")
        assert "no folder 'README.md'" in refusal(f"git:{url}#README.md")
        assert "answered 404" in refusal(f"git:{url}x")

    def test_only_https_but_for_hosts_of_ones_own(self, url: str, settings):
        assert "begins with https://" in refusal("git:http://tea.example/teapot.git")
        assert "password" in refusal("git:https://me:secret@tea.example/teapot.git")
        assert "not an address" in refusal("git:file:///etc")
        assert "not an address" in refusal("git:ssh://tea.example/teapot.git")
        settings.CRAWL_OWN_HOSTS = []
        assert "not a public address" in refusal("git:https://127.0.0.1/teapot.git")

    def test_a_moved_repository(self, repository: Repository, url: str, site: Site):
        repository.commit(docs(repository))
        query = "/info/refs?service=git-upload-pack"
        site.redirect(f"/old.git{query}", url + query)
        assert "README.md" in contents(f"git:{site.url}old.git")
        site.redirect(f"/bad.git{query}", "http://127.0.0.2" + query)
        assert "not a public address" in refusal(f"git:{site.url}bad.git")
        site.redirect(f"/loop.git{query}", f"/loop.git{query}")
        assert "redirects more than" in refusal(f"git:{site.url}loop.git")

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b"001e# service=git-upload-pack\n0000", b"zzzz"]
    )
    @pytest.mark.parametrize("kind", ["text/html", "application/x-git-upload-pack-advertisement"])
    def test_what_is_no_repository(self, site: Site, body, kind):
        site.add("/a.git/info/refs?service=git-upload-pack", body, Content_Type=kind)
        assert refusal(f"git:{site.url}a.git")


class TestTraps:
    def test_links_and_submodules_are_left_out(self, repository: Repository, url: str):
        page = repository.blob("# Tea")
        repository.commit(repository.tree(
            (b"a.md", FILE, page),
            (b"b.md", LINK, repository.blob("../../../../etc/passwd")),
            (b"c", SUBMODULE, page),
            (b"d", LINK, repository.blob("/etc")),
        ))  # fmt: skip
        assert contents(f"git:{url}") == {"a.md": "# Tea"}

    @pytest.mark.parametrize("name", [b"..", b"../out.md", b"a/b.md", b"..\\out.md", b"."])
    def test_names_that_climb_out(self, repository: Repository, url: str, tmp_path: Path, name):
        page = repository.blob("# Out")
        mode = FOLDER if name.strip(b".") == b"" else FILE
        target = repository.tree((b"x.md", FILE, page)) if mode == FOLDER else page
        repository.commit(repository.tree((name, mode, target)))
        assert "climbs out of its folder" in refusal(f"git:{url}")

    def test_folders_in_themselves(self, repository: Repository, url: str, monkeypatch):
        """Ten folders that each hold the same ten: as many files as one likes out of a few bytes."""
        monkeypatch.setattr("mundap.library.sources.git.MAX_MEMBERS", 500)
        inner = repository.tree((b"a.md", FILE, repository.blob("# Tea")))
        for _ in range(3):
            inner = repository.tree(*[(b"%d" % number, FOLDER, inner) for number in range(10)])
        repository.commit(inner)
        assert "more than 500 files" in refusal(f"git:{url}")

    def test_folders_without_end(self, repository: Repository, url: str):
        inner = repository.tree((b"a.md", FILE, repository.blob("# Tea")))
        for _ in range(60):
            inner = repository.tree((b"a", FOLDER, inner))
        repository.commit(inner)
        assert "nested more than" in refusal(f"git:{url}")

    def test_files_that_are_too_large(self, repository: Repository, url: str, monkeypatch):
        repository.commit(repository.tree((b"a.md", FILE, repository.blob(bytes(200_000)))))
        monkeypatch.setattr("mundap.library.sources.git.MAX_BYTES", 100_000)
        assert "are more than" in refusal(f"git:{url}")
        monkeypatch.setattr(git_pack, "MAX_OBJECT_BYTES", 100_000)
        assert "a file of more than" in refusal(f"git:{url}")
        monkeypatch.setattr(git_client, "MAX_PACK_BYTES", 100)
        assert "is larger than" in refusal(f"git:{url}")


def pack(*objects: bytes, count: int | None = None) -> bytes:
    data = (
        b"PACK"
        + struct.pack(">II", 2, len(objects) if count is None else count)
        + b"".join(objects)
    )
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def entry(kind: int, size: int, packed: bytes) -> bytes:
    head, size = kind << 4 | size & 15, size >> 4
    out = bytearray()
    while size:
        out.append(head | 0x80)
        head, size = size & 0x7F, size >> 7
    return bytes(out) + bytes([head]) + packed


class TestPacks:
    """Written to a file: a real server could not be made to send them."""

    def said(self, tmp_path: Path, data: bytes) -> str:
        file = tmp_path / "a.pack"
        file.write_bytes(data)
        with pytest.raises(SourceError) as refused:
            check_pack(file)
        return refused.value.message

    def test_bombs(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(git_pack, "MAX_OBJECT_BYTES", 1_000_000)
        monkeypatch.setattr(git_pack, "MAX_BYTES", 2_500_000)
        bomb = zlib.compress(bytes(10_000_000))
        assert "a file of more than" in self.said(tmp_path, pack(entry(3, 10_000_000, bomb)))
        assert "a file of more than" in self.said(tmp_path, pack(entry(3, 5, bomb))), "and a lie"
        claimed = entry(3, 10**12, zlib.compress(b"x"))
        assert "a file of more than" in self.said(tmp_path, pack(claimed))
        difference = zlib.compress(b"\x05" + b"\xff\xff\xff\xff\x7f" + b"\x00")
        assert "a file of more than" in self.said(
            tmp_path, pack(entry(7, 7, bytes(20) + difference))
        )
        assert "a file of more than" in self.said(tmp_path, pack(entry(6, 7, b"\x10" + difference)))
        fair = entry(3, 900_000, zlib.compress(bytes(900_000)))
        assert "files are more than" in self.said(tmp_path, pack(fair, fair, fair))
        assert "files and folders" in self.said(tmp_path, pack(count=10**9))

    @pytest.mark.parametrize(
        "data", [b"", pack(count=1), pack(entry(3, 9, b"not packed")), pack(entry(3, 9, zlib.compress(bytes(9))))[:-25],
                 pack(entry(7, 1, bytes(20) + zlib.compress(b"\x05")))]
    )  # fmt: skip
    def test_broken_ones(self, tmp_path: Path, data):
        assert "sent" in self.said(tmp_path, data)


def test_archives_and_repositories_have_one_bound() -> None:
    assert archives.MAX_BYTES == git_pack.MAX_BYTES
