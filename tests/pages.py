"""Pages put on the shelf row by row, where a test is not about how they are read."""

from __future__ import annotations

from collections.abc import Sequence

from mundap.library.models import Collection, Document, Passage


def add_cache_page(collection: Collection, texts: Sequence[str], *, url: str) -> Document:
    """Return a page on caching with each text as a passage of its own, under `Part 0`, `Part 1` and so on."""
    document = Document.objects.create(
        collection=collection,
        path="topics/cache.txt",
        url=url,
        title="The cache",
        text="\n".join(texts),
    )
    start = 0
    for position, text in enumerate(texts):
        Passage.objects.create(
            collection=collection,
            document=document,
            position=position,
            headings=["The cache", f"Part {position}"],
            anchor=f"part-{position}",
            text=text,
            start=start,
            end=start + len(text),
            content_hash=f"{position:064}",
        )
        start += len(text) + 1
    return document
