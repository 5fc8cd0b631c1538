"""Where pages come from: one file a kind of source.

A module of this package that has SCHEME and one of two functions is a kind; nothing else is to be done for another one.
`fetch(address, folder)` puts the source's files below a folder, or points to where they already are; finding the pages
among them, their addresses and what is known of them is the same for all kinds. `list_pages(address, web)` names pages
of the web, which are then fetched one by one (`crawling.fetching`). The first line says how such a source is named, and
what is taken.
"""

from mundap.library.sources.listed import Listed
from mundap.library.sources.opening import Description, OpenedSource, is_source_name, open_source
from mundap.library.sources.pages import SourcePage

__all__ = ["Description", "Listed", "OpenedSource", "SourcePage", "is_source_name", "open_source"]
