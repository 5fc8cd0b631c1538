"""What belongs to a source on the web, and the path that a page has there: the one of a folder of the same site."""

from __future__ import annotations

import mimetypes
import re
from pathlib import PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from mundap.library.crawling.addresses import MAX_URL, SAFE
from mundap.library.parsing import format_of_suffix
from mundap.library.sources.listed import Scope, WebPage
from mundap.library.sources.pages import MAX_PATH_BYTES, is_page_path

_DEFAULT_PORTS = {"http": 80, "https": 443}
_TYPES = mimetypes.MimeTypes(filenames=())  # the same on every machine
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_SUFFIX = re.compile(r"\.[A-Za-z]\w+$")
# Sessions that are written into paths, as ;jsessionid=1A2B.
_PATH_PARAMETERS = re.compile(r";[^/]*")


def page_at(url: str, scope: Scope, *, depth: int = 0) -> WebPage | None:
    """Return the page of this address, or None if it is none of the scope's.

    Its address is written in one way: with the base's scheme, without fragment, and where links are followed without
    the query and without `;` parameters, in which sites keep sessions, orders and calendars without end.
    """
    rest = _below(url, scope)
    if rest is None:
        return None
    path, sign, query = rest.partition("?")
    name = _name(path)
    if name is None or not name.startswith(scope.only) or not _is_page(name, scope):
        return None
    page_path = name + sign + unquote(query)
    address = scope.base_url + path + sign + query
    is_too_long = len(page_path.encode()) > MAX_PATH_BYTES or len(address) > MAX_URL
    if is_too_long or _CONTROLS.search(page_path):
        return None
    return WebPage(address, page_path, depth)


def path_below(url: str, base_url: str) -> str | None:
    """Return the page's path below the base, or None if it lies elsewhere."""
    page = page_at(url, Scope(base_url))
    return page.path if page else None


def joined(base: str, link: str) -> str:
    """Return the address that a link on the page `base` means, or nothing where it means none."""
    try:
        return urljoin(base, link.strip())
    except ValueError:
        return ""


def folder_of(url: str) -> str:
    """Return the address of the folder that a page lies in: itself, where it has no suffix; 5.2 has none."""
    parts = urlsplit(url)
    folder, _, last = parts.path.rpartition("/")
    kept = f"{folder}/{last}" if last and not _SUFFIX.search(last) else folder
    return f"{parts.scheme}://{parts.netloc}{kept}/"


def _below(url: str, scope: Scope) -> str | None:
    """Return what stands after the base in this address, percent-encoded, with the query."""
    try:
        parts = urlsplit(urljoin(scope.base_url, url.strip()))
        # Dots in the path, as in a/../b, are worked out by joining.
        if not parts.path.startswith("//"):
            parts = parts._replace(path=urlsplit(urljoin("http://host/", parts.path)).path)
        base = urlsplit(scope.base_url)
        is_same_host = _host(parts) == _host(base)
        path, query = quote(parts.path, safe=SAFE), quote(parts.query, safe=SAFE + "?")
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc or not is_same_host:
        return None
    if scope.is_followed:
        path, query = _PATH_PARAMETERS.sub("", path), ""
    if path + "/" == base.path:
        path = base.path
    if not path.startswith(base.path):
        return None
    return path.removeprefix(base.path) + (f"?{query}" if query else "")


def _host(parts: SplitResult) -> tuple[str, int]:
    """Return the host and port; http and https on their usual ports are the same place."""
    port = parts.port or 0
    is_usual = port == _DEFAULT_PORTS.get(parts.scheme)
    return (parts.hostname or "").rstrip("."), 0 if is_usual else port


def _name(path: str) -> str | None:
    """Return the path as a file's, or None where a file could not have it."""
    if path == "" or path.endswith("/"):
        path += "index.html"
    parts = [unquote(part) for part in path.split("/")]
    if any(part in {"", ".", ".."} or "/" in part or "\ufffd" in part for part in parts):
        return None
    return "/".join(parts)


def _is_page(name: str, scope: Scope) -> bool:
    """Return whether something that can be read may be there, as far as the name says."""
    if not is_page_path(name, is_sphinx=scope.is_sphinx):
        return False
    if format_of_suffix(PurePosixPath(name).suffix) is not None:
        return True
    guessed = _TYPES.guess_type(name)[0]
    return guessed is None or guessed.endswith("html")
