"""What each kind of source hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source's files: all below `root`; `only` is the one page that is meant where it is a single file.

    `address` names the source for another process too, where it is not as given: a relative path made absolute.
    `project` and `version` are what the kind of source itself knows, such as a package's name; `called` is what to call
    it where nothing else does.
    """

    root: Path
    project: str = ""
    version: str = ""
    only: str = ""
    address: str = ""
    called: str = ""
