"""A shelf with one small page of official documentation and one team reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from mundap.library.ingestion import ShelfMark, ingest_source
from mundap.library.models import Collection
from mundap.retrieval.indexing import index_lexical
from mundap.retrieval.vectors import embed_missing

KETTLES = """# Kettles

## Descaling

To descale a kettle with `descale_kettle()`:

- Set `acid` to citric acid.
- Set `minutes` to twenty.

```python
descale_kettle(acid="citric", minutes=20)
```

Rinse it three times afterwards. Never use bleach, because it damages the steel.

## Boiling

The function `boil()` heats the water to one hundred degrees. It stops by itself.

## Warranty

The warranty lasts for five years and covers the heating element.
"""


def shelve(folder: Path, text: str, mark: ShelfMark) -> Collection:
    folder.mkdir()
    (folder / "page.md").write_text(text, encoding="utf-8")
    collection, _ = ingest_source(f"dir:{folder}", mark)
    index_lexical(collection)
    embed_missing(collection)
    return collection


@pytest.fixture
def kettles(transactional_db: None, tmp_path: Path) -> Collection:
    """Official documentation about kettles, searchable by words and by meaning."""
    return shelve(tmp_path / "kettles", KETTLES, ShelfMark(slug="kettles", title="Kettles"))


@pytest.fixture
def reference(transactional_db: None, tmp_path: Path) -> Collection:
    """The same as a team's reference."""
    mark = ShelfMark(slug="team", title="Team kettles", category="TEAM")
    return shelve(tmp_path / "team", KETTLES, mark)
