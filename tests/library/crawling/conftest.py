"""A site that can be told what to answer, and a client that may ask it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mundap.library.crawling.addresses import AddressRules
from mundap.library.crawling.web import Limits, Web
from tests.library.crawling.server import Site, serving

LIMITS = Limits(pace_seconds=0.0, max_bytes=200_000)
# For servers that never answer; a busy machine takes longer than that for one that does.
HASTY = replace(LIMITS, silence_seconds=0.4, page_seconds=0.8)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as server:
        yield server


@pytest.fixture
def web(db) -> Iterator[Web]:
    """A client whose own host is this machine."""
    with Web(AddressRules(["127.0.0.1"]), delay_seconds=0, limits=LIMITS) as client:
        yield client


@pytest.fixture
def hasty(db) -> Iterator[Web]:
    """The same with little patience."""
    with Web(AddressRules(["127.0.0.1"]), delay_seconds=0, limits=HASTY) as client:
        yield client


@pytest.fixture
def own_host(settings) -> None:
    """The settings' own client may ask this machine."""
    settings.CRAWL_OWN_HOSTS = ["127.0.0.1"]
    settings.CRAWL_DELAY_SECONDS = 0
