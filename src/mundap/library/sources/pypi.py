"""`pypi:django==5.2.19#docs`: a folder of a package's source distribution, found through pip's own configuration.

The distribution is unpacked and nothing of it is run; `pip download` would run its setup.
"""

from __future__ import annotations

import ast
import hashlib
import logging
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version
from unearth import Package, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.errors import UnpackError
from unearth.fetchers import Fetcher
from unearth.fetchers.sync import PyPIClient

from mundap.config import env
from mundap.errors import SourceError
from mundap.library.sources.archives import unpack
from mundap.library.sources.fetched import Fetched

SCHEME = "pypi"
MAX_DOWNLOAD_BYTES = 300_000_000
CONNECT_SECONDS = 10.0
_OPTIONS = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert",
    "proxy", "timeout", "default-timeout",
)  # fmt: skip

logger = logging.getLogger(__name__)


def fetch(address: str, folder: Path) -> Fetched:
    """Download the newest distribution that fits and unpack the folder named after `#`."""
    wanted, _, part = address.partition("#")
    try:
        requirement = Requirement(wanted.strip())
    except InvalidRequirement as exc:
        raise SourceError(
            f"{wanted!r} does not name a package. Write for example pypi:django==5.2.19#docs"
        ) from exc
    if requirement.url:
        raise SourceError(f"{wanted!r} has an address; a package's name and version are enough.")
    settings = PipSettings.read()
    with _client(settings) as client:
        package = _find(requirement, settings, client)
        file = _download(package, folder, client)
    root = unpack(file, folder, name=file.name, under=part.strip("/"), strip_top=True)
    file.unlink()
    return Fetched(root, project=package.name, version=package.version or "")


@dataclass(frozen=True, slots=True)
class PipSettings:
    """The part of pip's configuration that says where packages are and how to reach them."""

    index_urls: tuple[str, ...]
    find_links: tuple[str, ...]
    trusted_hosts: tuple[str, ...]
    cert: str
    client_cert: str
    proxy: str
    timeout_seconds: float

    @classmethod
    def read(cls) -> PipSettings:
        """Return what `pip config list` and the PIP_* variables say; a variable beats a file."""
        found = _pip_config()
        use_index = found.get("no-index", "").lower() not in {"1", "true", "yes", "on"}
        indexes = [
            found.get("index-url") or _default_index(),
            *found.get("extra-index-url", "").split(),
        ]
        return cls(
            index_urls=tuple(indexes) if use_index else (),
            find_links=tuple(found.get("find-links", "").split()),
            trusted_hosts=tuple(found.get("trusted-host", "").split()),
            cert=found.get("cert", ""),
            client_cert=found.get("client-cert", ""),
            proxy=found.get("proxy", ""),
            timeout_seconds=_seconds(found.get("timeout") or found.get("default-timeout", "")),
        )


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 60.0


def _default_index() -> str:
    """Return the index that is asked when none is configured."""
    return str(PackageFinder().sources[0]["url"])


def _pip_config() -> dict[str, str]:
    """Return pip's settings by option, as `pip download` would have them."""
    sections: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
    listed = _listed_by_pip()
    for line in listed.splitlines():
        name, separator, value = line.partition("=")
        section, _, option = name.strip().rpartition(".")
        if separator and section in sections:
            sections[section][option] = _literal(value)
    if not listed:  # an environment without pip has its variables still
        for option in _OPTIONS:
            if value := env.text("PIP_" + option.upper().replace("-", "_")):
                sections[":env:"][option] = value
    return sections["global"] | sections["download"] | sections[":env:"]


def _listed_by_pip() -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _literal(text: str) -> str:
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()
    return str(value)


def _client(settings: PipSettings) -> PyPIClient:
    verify: ssl.SSLContext | bool = True
    if settings.cert:
        try:
            verify = ssl.create_default_context(cafile=settings.cert)
        except (OSError, ssl.SSLError) as exc:
            raise SourceError(
                f"pip's setting `cert` names a file that cannot be used: {settings.cert}"
            ) from exc
    timeout = httpx2.Timeout(settings.timeout_seconds, connect=CONNECT_SECONDS)
    options: dict[str, Any] = {"proxy": settings.proxy} if settings.proxy else {}
    return PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=verify,
        cert=settings.client_cert or None,
        timeout=timeout,
        follow_redirects=True,
        auth=MultiDomainBasicAuth(index_urls=list(settings.index_urls)),
        **options,
    )


def _find(requirement: Requirement, settings: PipSettings, client: PyPIClient) -> Package:
    """Return the best source distribution over all configured places."""
    found: list[Package] = []
    failures: list[str] = []
    for options in _places(settings):
        finder = PackageFinder(
            cast("Fetcher", client),
            no_binary=[requirement.name],
            trusted_hosts=settings.trusted_hosts,
            ignore_compatibility=True,
            **options,
        )
        try:
            best = finder.find_best_match(requirement).best
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as exc:
            failures.append(f"{type(exc).__name__}: {exc}")
            continue
        if best is not None:
            found.append(best)
    if found:
        return max(found, key=lambda package: Version(package.version or "0"))
    raise _not_found(requirement, failures)


def _places(settings: PipSettings) -> Iterator[dict[str, Any]]:
    """Yield each place alone, so that one that is out of reach does not hide the others."""
    for url in settings.index_urls:
        yield {"index_urls": [url]}
    for url in settings.find_links:
        yield {"find_links": [url]}


def _not_found(requirement: Requirement, failures: list[str]) -> SourceError:
    if failures:
        return SourceError(
            f"The package index could not be reached to find {str(requirement)!r} ({failures[0]}). "
            "Check the network and pip's settings (`pip config list`), then repeat the command."
        )
    return SourceError(
        f"No source distribution fits {str(requirement)!r}. Check the name and version; "
        f"`pip index versions {requirement.name}` lists what there is."
    )


def _download(package: Package, folder: Path, client: PyPIClient) -> Path:
    """Return the downloaded file after comparing its hash with the index's."""
    file = folder / package.link.filename
    digests = {name: hashlib.new(name) for name in _hashes(package)}
    size_bytes = 0
    try:
        with client.stream("GET", package.link.normalized) as response, file.open("wb") as out:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                size_bytes += len(chunk)
                if size_bytes > MAX_DOWNLOAD_BYTES:
                    raise SourceError(f"{file.name} is larger than {MAX_DOWNLOAD_BYTES:,} bytes.")
                out.write(chunk)
                for digest in digests.values():
                    digest.update(chunk)
    except (httpx2.HTTPError, UnpackError) as exc:
        raise SourceError(
            f"{file.name} could not be downloaded ({type(exc).__name__}: {exc}). "
            "Check the network, then repeat the command."
        ) from exc
    for name, expected in _hashes(package).items():
        if digests[name].hexdigest() not in expected:
            raise SourceError(
                f"{file.name} is not the file that the index promises ({name} differs). "
                "Repeat the command; if it stays so, do not trust this index."
            )
    return file


def _hashes(package: Package) -> dict[str, list[str]]:
    """Return the index's hashes of the file, of the kinds that this machine can compute."""
    known = package.link.hash_option or {}
    return {name: values for name, values in known.items() if name in hashlib.algorithms_available}
