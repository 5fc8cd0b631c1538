"""What can happen to the values that Redis holds: each function changes them once, past the proxies."""

from __future__ import annotations

import random
from collections.abc import Callable

from redis import Redis

Change = Callable[[Redis, random.Random], None]
BODIES = "mundap1:*:body"
EVENTS = "mundap1:*:events"
EXPIRES_SECONDS = 600


def values(client: Redis) -> dict[bytes, bytes]:
    """Return all cached bodies by key."""
    keys = [key for key in client.scan_iter(BODIES, count=1000) if client.type(key) == b"string"]
    found = {key: client.get(key) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def write(client: Redis, changed: dict[bytes, bytes]) -> None:
    """Put these values under their keys, whatever is there."""
    for key, value in changed.items():
        client.set(key, value, ex=EXPIRES_SECONDS)


def put_rubbish(client: Redis, chance: random.Random) -> None:
    """Random bytes, of a body's length or of none."""
    write(
        client, {key: chance.randbytes(chance.choice((0, 1, 90, 3000))) for key in values(client)}
    )


def truncate(client: Redis, chance: random.Random) -> None:
    """The beginning of each value."""
    write(client, {k: v[: chance.randrange(len(v) + 1)] for k, v in values(client).items()})


def flip_a_byte(client: Redis, chance: random.Random) -> None:
    """One bit changed in each value."""
    changed = {}
    for key, value in values(client).items():
        if value:
            place = chance.randrange(len(value))
            changed[key] = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
    write(client, changed)


def flip_the_head(client: Redis, chance: random.Random) -> None:
    """A change in the first bytes, where a format says what it is."""
    write(
        client,
        {
            k: v[:p] + chance.randbytes(1) + v[p + 1 :]
            for k, v in values(client).items()
            if (p := chance.randrange(24)) < len(v)
        },
    )


def enlarge(client: Redis, chance: random.Random) -> None:
    """Values of a megabyte, and one of eight."""
    found = list(values(client).items())
    chance.shuffle(found)
    sizes = [8 << 20] + [1 << 20] * 7
    write(client, {k: v + bytes(size) for (k, v), size in zip(found, sizes, strict=False)})


def swap(client: Redis, chance: random.Random) -> None:
    """Each chat's value under another chat's key: other users' among them."""
    found = values(client)
    moved = list(found.values())
    chance.shuffle(moved)
    write(client, dict(zip(found, moved, strict=True)))


def change_types(client: Redis, chance: random.Random) -> None:
    """Lists, hashes and counters in the place of values."""
    for key in values(client):
        client.delete(key)
        match chance.randrange(3):
            case 0:
                client.rpush(key, "a", "b")
            case 1:
                client.hset(key, "a", "b")
            case 2:
                client.set(key, 17, ex=EXPIRES_SECONDS)


def evict(client: Redis, chance: random.Random) -> None:
    """Half of the values gone."""
    for key in values(client):
        if chance.random() < 0.5:
            client.delete(key)


def _streams(client: Redis) -> list[bytes]:
    """Return the keys of running answers."""
    return [key for key in client.scan_iter(EVENTS, count=1000) if client.type(key) == b"stream"]


def evict_events(client: Redis, chance: random.Random) -> None:
    """Half of the running answers gone."""
    for key in _streams(client):
        if chance.random() < 0.5:
            client.delete(key)


def trim_events(client: Redis, chance: random.Random) -> None:
    """The beginning of each running answer gone."""
    for key in _streams(client):
        client.xtrim(key, maxlen=chance.randrange(3))


def swap_events(client: Redis, chance: random.Random) -> None:
    """Each answer's stream under another answer's key: other users' among them."""
    found = {key: client.dump(key) for key in _streams(client)}
    moved = list(found.values())
    chance.shuffle(moved)
    for key, value in zip(found, moved, strict=True):
        if value is not None:
            client.restore(key, EXPIRES_SECONDS * 1000, value, replace=True)


def forge_events(client: Redis, chance: random.Random) -> None:
    """An entry of rubbish, or an old one once more, behind the last of each: the true next ones are refused."""
    for key in _streams(client):
        old = client.xrange(key, count=1)
        rubbish = {"e": chance.randbytes(40), "s": chance.randbytes(16)}
        client.xadd(key, old[0][1] if old and chance.random() < 0.5 else rubbish)


def change_event_types(client: Redis, _chance: random.Random) -> None:
    """A string in the place of each stream."""
    for key in _streams(client):
        client.set(key, "a", ex=EXPIRES_SECONDS)


def empty(client: Redis, _chance: random.Random) -> None:
    """Everything gone."""
    client.flushall()


CHANGES: dict[str, Change] = {
    "rubbish": put_rubbish,
    "truncated": truncate,
    "byte flipped": flip_a_byte,
    "head flipped": flip_the_head,
    "oversized": enlarge,
    "swapped": swap,
    "wrong type": change_types,
    "evicted": evict,
    "flushed": empty,
    "events evicted": evict_events,
    "events trimmed": trim_events,
    "events swapped": swap_events,
    "events forged": forge_events,
    "events of another type": change_event_types,
}
