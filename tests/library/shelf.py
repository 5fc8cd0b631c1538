"""Sources that the tests make: archives, package indexes, folders of small pages."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

DATA = Path(__file__).parent / "data"


def make_tar(file: Path, members: dict[str, str | bytes]) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file


def make_zip(file: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def make_index(folder: Path, name: str, version: str, members: dict[str, str | bytes]) -> Path:
    """Make a package index with one source distribution, and return its folder for a file: address."""
    project = folder / "simple" / name
    project.mkdir(parents=True, exist_ok=True)
    file = make_tar(
        project / f"{name}-{version}.tar.gz",
        {f"{name}-{version}/{path}": content for path, content in members.items()},
    )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (project / "index.html").write_text(
        f'<a href="{file.name}#sha256={digest}">{file.name}</a>', encoding="utf-8"
    )
    return folder / "simple"


def write_pages(folder: Path, pages: dict[str, str]) -> Path:
    for path, text in pages.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder
