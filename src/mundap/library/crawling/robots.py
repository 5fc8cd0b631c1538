"""What a site's robots.txt allows (RFC 9309), kept for a day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from protego import Protego

from mundap.errors import FetchFailed
from mundap.library.crawling.addresses import Target

AGENT = "Mundap"
KEPT_SECONDS = 24 * 3600.0
# Where it could not be read, it is tried again soon.
MISSED_SECONDS = 60.0
MAX_BYTES = 500 * 1024
MAX_DELAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What one site's robots.txt says."""

    rules: Protego

    def allows(self, target: Target) -> bool:
        """Return whether the page may be asked for."""
        return bool(self.rules.can_fetch(str(target), AGENT))

    @property
    def delay_seconds(self) -> float:
        """How long the site wants to be left alone between two requests; more than some seconds are not kept."""
        return min(float(self.rules.crawl_delay(AGENT) or 0.0), MAX_DELAY_SECONDS)

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The sitemaps that it names."""
        return tuple(self.rules.sitemaps)


class RobotsCache:
    """The rules of the sites that were asked lately. `read` returns a robots.txt, or None where a site has none."""

    def __init__(self, read: Callable[[Target], bytes | None]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, SiteRules | FetchFailed]] = {}

    def of(self, target: Target) -> SiteRules:
        """Return the rules of the target's site. Raises FetchFailed where they cannot be read: then nothing may be."""
        now = time.monotonic()
        with self._lock:
            until, found = self._kept.get(target.origin, (0.0, None))
        if found is None or until <= now:
            found = self._found(Target(target.scheme, target.host, target.port, "/robots.txt"))
            seconds = KEPT_SECONDS if isinstance(found, SiteRules) else MISSED_SECONDS
            with self._lock:
                self._kept[target.origin] = (now + seconds, found)
        if isinstance(found, FetchFailed):
            raise found
        return found

    def _found(self, place: Target) -> SiteRules | FetchFailed:
        try:
            content = self._read(place) or b""
        except FetchFailed as exc:
            if not exc.was_asked or not exc.is_retryable:
                raise
            return FetchFailed(
                f"{place} cannot be read, so nothing of {place.place} is read for now: {exc.message}",
                is_retryable=True,
                retry_after_seconds=exc.retry_after_seconds or MISSED_SECONDS,
            )
        return SiteRules(Protego.parse(content[:MAX_BYTES].decode("utf-8", "replace")))
