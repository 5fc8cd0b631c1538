"""`dir:/path`: a folder, an archive or a single page on this machine; `#part` is a folder inside."""

from __future__ import annotations

from pathlib import Path

from mundap.errors import SourceError
from mundap.library.parsing import format_of_suffix
from mundap.library.sources.archives import is_archive, unpack
from mundap.library.sources.fetched import Fetched

SCHEME = "dir"


def fetch(address: str, folder: Path) -> Fetched:
    """Return the folder's files where they are, or an archive's files unpacked below `folder`."""
    path, part = _split(address)
    if not path.exists():
        raise SourceError(f"There is no folder or file {str(path)!r}. Check the path after dir:")
    absolute = f"{path.resolve()}#{part}" if part else str(path.resolve())
    if path.is_dir():
        root = _inside(path.resolve(), part)
        return Fetched(root, address=absolute, called=root.name)
    if is_archive(path):
        root = unpack(path, folder, name=path.name, under=part)
        return Fetched(root, address=absolute, called=root.name)
    if format_of_suffix(path.suffix) is not None and not part:
        return Fetched(path.resolve().parent, only=path.name, address=absolute, called=path.stem)
    raise SourceError(
        f"{path.name} is not an archive. Name a folder, or a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file."
    )


def _split(address: str) -> tuple[Path, str]:
    whole = Path(address).expanduser()
    if whole.exists() or "#" not in address:
        return whole, ""
    path, _, part = address.rpartition("#")
    return Path(path).expanduser(), part.strip("/")


def _inside(root: Path, part: str) -> Path:
    folder = (root / part).resolve()
    if not folder.is_relative_to(root):
        raise SourceError(f"{part!r} leads out of {str(root)!r}.")
    if not folder.is_dir():
        raise SourceError(f"There is no folder {part!r} in {str(root)!r}.")
    return folder
