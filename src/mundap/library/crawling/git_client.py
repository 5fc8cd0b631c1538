"""Git's smart protocol over the crawler's own connections, so that the same addresses are refused as for pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dulwich.client import AbstractHttpGitClient
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import ObjectID
from dulwich.refs import Ref

from mundap.errors import FetchFailed, SourceError
from mundap.library.crawling.addresses import Target
from mundap.library.crawling.web import MAX_REDIRECTS, REDIRECTS, Web

MAX_SECONDS = 600.0
MAX_PACK_BYTES = 300_000_000


class WebGitClient(AbstractHttpGitClient):
    """Fetches one commit of one repository. Closed by `with`."""

    def __init__(self, web: Web, url: str) -> None:
        super().__init__(url)
        self._web = web
        self._replies = ExitStack()

    def __enter__(self) -> WebGitClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self._replies.close()

    def fetch_commit(self, name: str, file: Path) -> ObjectID:
        """Write all objects of a branch's, tag's or commit's state into a pack file, and return its id.

        Without a name it is the state that the repository shows first. Raises FetchFailed and SourceError.
        """
        wanted: list[ObjectID] = []

        def choose(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            del depth
            wanted.append(_chosen(refs, name))
            return wanted

        nothing = ObjectStoreGraphWalker([], lambda _commit: [])
        with file.open("wb") as pack:
            self.fetch_pack("", choose, nothing, pack.write, depth=1)
        return wanted[0]

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        content = data if isinstance(data, bytes) else b"".join(data or ())
        reply = _Reply(self._replies, self._web, url, headers or {}, content)
        if reply.status != 200 and raise_for_status:
            raise SourceError(
                f"The server answered {reply.status} for {url}. Check the repository's address; "
                "one that wants a password cannot be read."
            )
        return reply, reply.read


def _chosen(refs: Mapping[Ref, ObjectID], name: str) -> ObjectID:
    """Return the id of the branch, the tag or the commit of this name."""
    places = [f"refs/heads/{name}", f"refs/tags/{name}", name] if name else ["HEAD"]
    for place in places:
        if found := refs.get(Ref(place.encode())):
            return found
    if len(name) == 40 and all(char in "0123456789abcdef" for char in name):
        return ObjectID(name.encode())
    raise SourceError(
        f"The repository has no branch or tag {name!r}. A commit is named by all of its 40 characters."
        if name
        else "The repository is empty."
    )


class _Reply:
    """A server's answer as dulwich wants it: read in pieces of a given size."""

    def __init__(
        self, replies: ExitStack, web: Web, url: str, headers: Mapping[str, str], content: bytes
    ) -> None:
        self._buffer = bytearray()
        self._size_bytes = 0
        self._stack = replies.enter_context(ExitStack())
        opened, target = _opened(self._stack, web, url, headers, content)
        self._chunks = opened.chunks
        self.status = opened.status
        self.headers = opened.headers
        self.content_type = opened.headers.get("content-type")
        self.redirect_location = str(target) if str(target) != str(web.rules.target(url)) else ""

    def read(self, size: int | None = None) -> bytes:
        """Return so many bytes, fewer only at the end."""
        while size is None or len(self._buffer) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._size_bytes += len(chunk)
            if self._size_bytes > MAX_PACK_BYTES:
                raise FetchFailed(
                    f"The repository is larger than {MAX_PACK_BYTES // 1_000_000} MB."
                )
            self._buffer += chunk
        taken = bytes(self._buffer[:size])
        del self._buffer[: len(taken)]
        return taken

    def close(self) -> None:
        """End the answer, read or not."""
        self._stack.close()


def _opened(
    stack: ExitStack, web: Web, url: str, headers: Mapping[str, str], content: bytes
) -> tuple[Any, Target]:
    """Return the answer, redirects followed, and the address that gave it. Only what is asked for by GET moves."""
    sent = {**headers, "Accept-Encoding": "identity"}
    for _ in range(MAX_REDIRECTS + 1):
        target = web.rules.target(url)
        inner = stack.enter_context(ExitStack())
        opened = inner.enter_context(
            web.open(
                "POST" if content else "GET",
                target,
                headers=sent,
                content=content,
                seconds=MAX_SECONDS,
            )
        )
        location = opened.headers.get("location", "")
        if content or opened.status not in REDIRECTS or not location:
            return opened, target
        inner.close()
        url = str(web.rules.target(location, base=str(target)))
    raise FetchFailed(f"It redirects more than {MAX_REDIRECTS} times: {url}.")
