"""The users of a run, their tokens, and what they ask about; needs Django."""

from __future__ import annotations

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.library.models import Collection
from mundap.retrieval.indexing import index_lexical
from tests.faults.clients import SHELF
from tests.pages import add_cache_page

CATEGORY = "notes"  # no official documentation: the model gets it whole, and nothing is refused
TEXT = "Use the Redis backend to keep the cache in memory on another machine, as in RedisCache."


def make_people(*names: str) -> dict[str, dict[str, str]]:
    """Return the id and a token of a new user for each name; make the shelf."""
    collection = Collection.objects.create(
        slug=SHELF,
        category=CATEGORY,
        title="Shelf",
        title_no=7,
        visibility="everyone",
        state="ready",
    )
    add_cache_page(collection, [TEXT], url="https://docs.example.org/cache/")
    index_lexical(collection)
    people = {}
    for name in names:
        user = User.objects.create_user(f"{name}@example.org")
        people[name] = {"id": str(user.pk), "token": make_token(user, name="chaos")[1]}
    return people
