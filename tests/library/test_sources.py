"""Sources are found, unpacked and described; what is wrong with one is said."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import socket
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import pytest

from mundap.errors import SourceError
from mundap.library import reading
from mundap.library.sources import archives, open_source
from tests.library.shelf import DATA, make_index, make_tar, make_zip, write_pages
from tests.serving import Quiet, in_thread


def paths(name: str) -> list[str]:
    with open_source(name) as source:
        return [page.path for page in source.pages]


def refusal(name: str) -> str:
    with pytest.raises(SourceError) as refused, open_source(name):
        pass
    return refused.value.message


@pytest.fixture
def pip_settings(tmp_path: Path, monkeypatch) -> None:
    """pip's settings are the test's own: whoever runs it may have an index of theirs."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


class TestFolders:
    def test_a_sphinx_project_follows_its_conf_without_running_it(self):
        with open_source(f"dir:{DATA / 'sphinx'}") as source:
            found = {page.path: page.format_name for page in source.pages}
            assert found == {
                "guide/drinks.md": "markdown",
                "guide/kettle.txt": "restructuredtext",
                "index.txt": "restructuredtext",
            }
            assert (source.about.title, source.about.version) == ("Teapot", "2.1")

    def test_built_pages_come_without_what_surrounds_them(self):
        with open_source(f"dir:{DATA / 'built'}") as source:
            assert [page.path for page in source.pages] == ["index.html"]
            assert (source.about.title, source.about.version) == ("Teapot", "2.1")
            assert (
                source.address("guide/tea time.html")
                == "https://teapot.example/en/guide/tea%20time.html"
            )

    def test_pages_in_folders_of_their_own_are_published_without_index(self):
        with open_source(f"dir:{DATA / 'site'}", base_url="https://tea.example/docs") as source:
            assert source.about.title == "Tea shop"
            assert [source.address(page.path) for page in source.pages] == [
                "https://tea.example/docs/guide/",
                "https://tea.example/docs/",
            ]

    def test_any_folder_is_read_by_suffix(self, tmp_path):
        write_pages(
            tmp_path,
            {"a.md": "# A", "b/c.rst": "C\n=\n", ".git/d.md": "no", "node_modules/e.md": "no",
             "robots.txt": "no", "f.py": "no", "g.txt": "G"},
        )  # fmt: skip
        assert paths(f"dir:{tmp_path}") == ["a.md", "b/c.rst", "g.txt"]

    @pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8 always")
    def test_a_name_that_is_not_utf8_is_shown_by_its_bytes(self, tmp_path):
        write_pages(tmp_path, {"a.md": "# A", os.fsdecode(b"\xc4\xb3.md"): "# B"})
        write_pages(tmp_path, {os.fsdecode(b"\xbd\xc3.md"): "# C"})
        assert paths(f"dir:{tmp_path}") == ["\\xbd\\xc3.md", "a.md", "ĳ.md"]

    def test_a_part_is_named_after_the_hash_sign(self, tmp_path):
        write_pages(tmp_path, {"docs/a.md": "# A", "b.md": "# B"})
        assert paths(f"dir:{tmp_path}#docs") == ["a.md"]
        assert "leads out of" in refusal(f"dir:{tmp_path}/docs#../..")
        assert "no folder 'nowhere'" in refusal(f"dir:{tmp_path}#nowhere")

    def test_a_single_file_is_a_source_of_one_page(self, tmp_path):
        write_pages(tmp_path, {"a.md": "# A", "b.md": "# B"})
        assert paths(f"dir:{tmp_path}/a.md") == ["a.md"]

    def test_links_that_lead_out_are_not_followed(self, tmp_path):
        write_pages(tmp_path, {"in/a.md": "# A", "out/b.md": "# B"})
        (tmp_path / "in" / "linked.md").symlink_to(tmp_path / "out" / "b.md")
        (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
        assert paths(f"dir:{tmp_path / 'in'}") == ["a.md"]

    def test_django_is_known(self, tmp_path):
        write_pages(
            tmp_path,
            {"conf.py": 'project = "Django"\nversion = "5.2"\nsource_suffix = {".txt": "restructuredtext"}',
             "topics/cache.txt": "Cache\n=====\n", "index.txt": "Docs\n====\n", "topics/index.txt": "T\n=\n"},
        )  # fmt: skip
        with open_source(f"dir:{tmp_path}") as source:
            assert [source.address(page.path) for page in source.pages] == [
                "https://docs.djangoproject.com/en/5.2/",
                "https://docs.djangoproject.com/en/5.2/topics/cache/",
                "https://docs.djangoproject.com/en/5.2/topics/",
            ]
            assert (source.about.slug, source.about.licence) == ("django", "BSD-3-Clause")
        other = "https://docs.djangoproject.com/en/5.1"
        with open_source(f"dir:{tmp_path}", base_url=other) as source:
            assert source.address("topics/cache.txt") == f"{other}/topics/cache/"
        with open_source(f"dir:{tmp_path}", base_url="https://mirror.example/") as source:
            assert source.address("topics/cache.txt") == "https://mirror.example/topics/cache.html"

    def test_conf_is_never_run(self, tmp_path):
        write_pages(
            tmp_path,
            {"conf.py": f'open({str(tmp_path / "ran")!r}, "w")\nsource_suffix = [".md", ".rst"]\n'
                        'exclude_patterns = ["**/secret*", "old"]\nrelease = __import__("os").name',
             "a.md": "# A", "b/secret.rst": "x", "old/c.md": "x", "d.rst": "D\n=\n"},
        )  # fmt: skip
        assert paths(f"dir:{tmp_path}") == ["a.md", "d.rst"]
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("conf", ["this is not python (", "", "source_suffix = 3", "\x00"])
    def test_a_conf_that_says_nothing_means_the_defaults(self, tmp_path, conf):
        write_pages(tmp_path, {"conf.py": conf, "a.rst": "A\n=\n", "b.txt": "b"})
        assert paths(f"dir:{tmp_path}") == ["a.rst"]


class TestRefusals:
    def test_unknown_kinds(self):
        assert "begins with one of: dir:" in refusal("ftp://somewhere/docs")
        assert "does not name a source" in refusal("")
        assert "does not name a source" in refusal("dir:")

    def test_what_is_not_there(self, tmp_path):
        assert "There is no folder or file" in refusal(f"dir:{tmp_path / 'nowhere'}")

    @pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8 always")
    def test_what_is_not_named_in_utf8(self, tmp_path):
        folder = tmp_path / os.fsdecode(b"\xbd\xc3")
        write_pages(folder, {"a.md": "# A"})
        assert "is not UTF-8 text. Rename" in refusal(f"dir:{folder}")

    def test_an_empty_folder(self, tmp_path):
        assert "no pages that can be read" in refusal(f"dir:{tmp_path}")

    def test_what_is_no_archive(self, tmp_path):
        (tmp_path / "picture.bin").write_bytes(b"\x89PNG" * 100)
        assert "is not an archive" in refusal(f"dir:{tmp_path / 'picture.bin'}")


class TestArchives:
    @pytest.mark.parametrize("make", [make_tar, make_zip])
    def test_pages_in_an_archive(self, tmp_path, make):
        file = make(tmp_path / "tea.archive", {"tea/a.md": "# A", "tea/docs/b.md": "# B"})
        assert paths(f"dir:{file}") == ["a.md", "docs/b.md"]
        assert paths(f"dir:{file}#tea/docs") == ["b.md"]
        assert "has no folder 'none'" in refusal(f"dir:{file}#none")

    @pytest.mark.parametrize("make", [make_tar, make_zip])
    @pytest.mark.parametrize(
        "member", ["../out.md", "a/../../out.md", "/out.md", "C:/out.md", "..\\out.md"]
    )
    def test_members_that_climb_out(self, tmp_path, make, member):
        file = make(tmp_path / "bad", {"a.md": "# A", member: "# Out"})
        assert "climbs out of its folder" in refusal(f"dir:{file}")
        assert not list(tmp_path.parent.rglob("out.md"))

    @pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd", "x/../../../y"])
    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
    def test_links_out_of_a_tar(self, tmp_path, target, kind):
        file = tmp_path / "bad.tar"
        with tarfile.open(file, "w") as archive:
            info = tarfile.TarInfo("tea/link.md")
            info.type, info.linkname = kind, target
            archive.addfile(info)
        assert re.search("leads out|climbs out", refusal(f"dir:{file}"))

    def test_links_out_of_a_zip(self, tmp_path):
        file = tmp_path / "bad.zip"
        with zipfile.ZipFile(file, "w") as archive:
            info = zipfile.ZipInfo("link.md")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "../../etc/passwd")
        assert "leads out" in refusal(f"dir:{file}")

    def test_devices(self, tmp_path):
        file = tmp_path / "bad.tar"
        with tarfile.open(file, "w") as archive:
            info = tarfile.TarInfo("null.md")
            info.type = tarfile.CHRTYPE
            archive.addfile(info)
        assert "neither file nor folder" in refusal(f"dir:{file}")

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
    @pytest.mark.parametrize("make", [make_tar, make_zip])
    def test_archives_that_break_in_the_middle(self, tmp_path, make, share):
        file = make(tmp_path / "tea", {f"{n}.md": os.urandom(5000) for n in range(20)})
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
        assert "not a whole archive" in refusal(f"dir:{file}")

    def test_damaged_members(self, tmp_path):
        file = make_zip(tmp_path / "tea.zip", {"a.md": "# A " * 1000})
        data = bytearray(file.read_bytes())
        data[200:220] = b"x" * 20
        file.write_bytes(data)
        assert "not a whole archive" in refusal(f"dir:{file}")

    def test_absurd_sizes(self, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "MAX_BYTES", 1500)
        monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
        two = {"a.md": "x" * 900, "b.md": "x" * 900}
        assert "unpacks to more than" in refusal(f"dir:{make_zip(tmp_path / 'b', two)}")
        many = {f"{n}.md": "x" for n in range(9)}
        assert "more than 5 files" in refusal(f"dir:{make_tar(tmp_path / 'c', many)}")

    @pytest.mark.parametrize("make", [make_tar, make_zip])
    def test_a_file_that_is_too_large_does_not_stop_the_others(self, tmp_path, monkeypatch, make):
        monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
        file = make(tmp_path / "tea", {"a.md": "x" * 5_000_000, "b.md": "# B"})
        with open_source(f"dir:{file}") as source:
            sizes = {page.path: page.file.stat().st_size for page in source.pages}
        assert sizes == {"a.md": 1001, "b.md": 3}

    def test_what_is_cut_is_too_large_to_be_read(self):
        assert max(reading.MAX_FILE_BYTES, reading.MAX_TEXT_BYTES) <= archives.MAX_MEMBER_BYTES

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    def test_headers_that_are_no_headers(self, tmp_path, kind):
        """A few kilobytes of which tarfile would take a header of 100 MB into memory, before anything is checked."""
        file = tmp_path / "bomb.tar.gz"
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 100_000_000
        with gzip.open(file, "wb", compresslevel=1) as out:
            out.write(info.tobuf(tarfile.GNU_FORMAT))
            for _ in range(100):
                out.write(bytes(1_000_000))
        assert "a header that is too large" in refusal(f"dir:{file}")

    def test_a_packed_tar_without_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "MAX_STREAM_BYTES", 1_000_000)
        file = make_tar(
            tmp_path / "tea.tar.gz", {"other/x.bin": bytes(2_000_000), "docs/a.md": "# A"}
        )
        assert "unpacks to more than" in refusal(f"dir:{file}#docs")

    def test_a_link_that_is_a_bomb(self, tmp_path):
        file = tmp_path / "bad.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            info = zipfile.ZipInfo("link.md")
            info.external_attr = 0o120777 << 16
            archive.writestr(
                info, "a/" * 2_000 + "../" * 2_100 + "x" * 5_000_000, zipfile.ZIP_DEFLATED
            )
            archive.writestr("a.md", "# A")
        assert paths(f"dir:{file}") == ["a.md"], "no more of it is read than a path can have"

    @pytest.mark.parametrize("make", [make_tar, make_zip])
    @pytest.mark.parametrize(
        "names", [("a", "a/b.md"), ("a/b.md", "a"), ("x" * 300 + ".md", "a.md")]
    )
    def test_names_that_cannot_be_used(self, tmp_path, make, names):
        file = make(tmp_path / "bad", dict.fromkeys(names, "# A"))
        assert "whose name cannot be used here" in refusal(f"dir:{file}")

    @pytest.mark.parametrize("make", [make_tar, make_zip])
    def test_archives_in_archives_are_left_packed(self, tmp_path, make):
        inner = make(tmp_path / "inner", {"b.md": "# B"}).read_bytes()
        file = make(tmp_path / "outer", {"a.md": "# A", "inner.zip": inner, "inner.tar.gz": inner})
        assert paths(f"dir:{file}") == ["a.md"]

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
    def test_every_packing(self, tmp_path, pack):
        plain = gzip.decompress(make_tar(tmp_path / "tea", {"a.md": "# A"}).read_bytes())
        (tmp_path / "tea").write_bytes(pack(plain))
        assert paths(f"dir:{tmp_path / 'tea'}") == ["a.md"]

    def test_an_empty_archive(self, tmp_path):
        assert "is empty" in refusal(f"dir:{make_tar(tmp_path / 'empty.tar.gz', {})}")

    def test_an_encrypted_archive(self, tmp_path):
        file = make_zip(tmp_path / "locked.zip", {"a.md": "# A"})
        data = bytearray(file.read_bytes())
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(mark) + offset] |= 1
        file.write_bytes(data)
        assert "cannot be unpacked" in refusal(f"dir:{file}")


@contextmanager
def serving(folder: Path, *, break_after: int | None = None) -> Iterator[str]:
    """Serve a package index; archives end after so many bytes, without a word."""

    class Handler(Quiet, SimpleHTTPRequestHandler):
        def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:
            is_archive = self.path.endswith(".gz")
            outputfile.write(source.read(break_after if is_archive else None))

    handler = partial(Handler, directory=str(folder))
    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.usefixtures("pip_settings")
class TestPackages:
    @pytest.fixture
    def index(self, tmp_path: Path, monkeypatch) -> Path:
        folder = make_index(
            tmp_path, "teapot", "2.1",
            {"setup.py": f"open({str(tmp_path / 'ran')!r}, 'w')", "docs/a.rst": "A\n=\n\nText.",
             "docs/conf.py": "project = 'Teapot'", "src/b.rst": "B\n="},
        )  # fmt: skip
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", folder.as_uri())
        return folder

    def test_a_source_distribution_is_read_without_building_it(self, index, tmp_path):
        with open_source("pypi:teapot==2.1#docs") as source:
            assert [page.path for page in source.pages] == ["a.rst"]
            assert (source.about.slug, source.about.version) == ("teapot", "2.1")
            root = source.root
        assert not root.exists(), "what was fetched is removed"
        assert not (tmp_path / "ran").exists(), "setup.py was run"

    def test_all_of_pips_settings_are_asked(self, index, monkeypatch, tmp_path):
        empty = tmp_path / "empty"
        empty.mkdir()
        monkeypatch.setenv("PIP_INDEX_URL", empty.as_uri())
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{empty.as_uri()} {index.as_uri()}")
        assert paths("pypi:teapot#docs") == ["a.rst"]
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL")
        assert "No source distribution fits" in refusal("pypi:teapot#docs")
        monkeypatch.setenv("PIP_FIND_LINKS", str(index / "teapot"))
        assert paths("pypi:teapot#docs") == ["a.rst"]

    def test_a_settings_file_is_read(self, index, monkeypatch, tmp_path):
        monkeypatch.delenv("PIP_INDEX_URL")
        file = tmp_path / "pip.conf"
        file.write_text(f"[global]\nindex-url = {index.as_uri()}\n", encoding="utf-8")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
        assert paths("pypi:teapot==2.1#docs") == ["a.rst"]

    def test_another_file_than_the_index_promises(self, index):
        page = index / "teapot" / "index.html"
        page.write_text(re.sub("sha256=....", "sha256=0000", page.read_text()), encoding="utf-8")
        assert "not the file that the index promises" in refusal("pypi:teapot==2.1#docs")

    def test_no_network(self, monkeypatch):
        with socket.socket() as unused:  # bound and never listened to: connections are refused
            unused.bind(("127.0.0.1", 0))
            monkeypatch.delenv("PIP_NO_INDEX")
            monkeypatch.setenv(
                "PIP_INDEX_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
            )
            message = refusal("pypi:teapot==2.1#docs")
        assert "could not be reached" in message
        assert "Check the network" in message

    def test_a_download_that_breaks_in_the_middle(self, index, monkeypatch):
        with serving(index, break_after=200) as address:
            monkeypatch.setenv("PIP_INDEX_URL", address)
            message = refusal("pypi:teapot==2.1#docs")
        assert "could not be downloaded" in message

    def test_an_index_over_http(self, index, monkeypatch):
        with serving(index) as address:
            monkeypatch.setenv("PIP_INDEX_URL", address)
            assert paths("pypi:teapot==2.1#docs") == ["a.rst"]

    def test_names_that_are_none(self):
        assert "does not name a package" in refusal("pypi:???")
        assert "name and version are enough" in refusal(
            "pypi:teapot @ https://example.org/x.tar.gz"
        )
        assert "No source distribution fits" in refusal("pypi:teapot==1#docs")

    def test_a_folder_that_the_package_does_not_have(self, index):
        assert "has no folder 'manual'" in refusal("pypi:teapot#manual")


def test_unpacking_leaves_nothing_of_a_refused_archive(tmp_path):
    file = make_tar(tmp_path / "bad.tar.gz", {"a.md": "# A", "../b.md": "# B"})
    scratch = tmp_path / "scratch"
    with pytest.raises(SourceError):
        archives.unpack(file, scratch, name="bad.tar.gz")
    assert not any(scratch.iterdir())
