"""`site:https://host/path/`: a site without a list of its pages; links below the path are followed."""

from __future__ import annotations

from mundap.errors import SourceError
from mundap.library.crawling.scoping import page_at
from mundap.library.crawling.starting import start
from mundap.library.crawling.web import Web
from mundap.library.sources.listed import Listed, Scope

SCHEME = "site"


def list_pages(address: str, web: Web) -> Listed:
    """Return the start page, and the scope within which a run finds the others."""
    begin = start(address, web, must_be_there=True)
    scope = Scope(
        begin.base_url, only=begin.only, is_followed=True, is_sphinx=begin.head.is_by_sphinx
    )
    page = page_at(begin.url, scope)
    if page is None:
        raise SourceError(f"{begin.url} is no page below {begin.base_url}{begin.only}.")
    return Listed((page,), scope, title=begin.site_name, language=begin.head.language)
