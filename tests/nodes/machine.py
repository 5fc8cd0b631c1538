"""Another machine, as far as the network goes: a namespace of its own, with one cable to here."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """How to run something there, and the address under which it reaches this one."""

    prefix: tuple[str, ...]
    our_address: str


@contextmanager
def another_machine() -> Iterator[Machine]:
    """Give one; where the system allows no namespaces it is this one, with a warning."""
    name, cable = f"mundap-{os.getpid()}", f"md{os.getpid() % 100_000}"
    net = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
    if not _ip("netns", "add", name):
        warnings.warn("No network namespaces here: the worker runs beside us.", stacklevel=3)
        yield Machine((), "127.0.0.1")
        return
    inside = ("netns", "exec", name, "ip")
    try:
        # Loopback is down there: what listens on it here cannot be reached from there.
        steps = (
            ("link", "add", f"{cable}a", "type", "veth", "peer", "name", f"{cable}b"),
            ("link", "set", f"{cable}b", "netns", name),
            ("addr", "add", f"{net}.1/30", "dev", f"{cable}a"),
            ("link", "set", f"{cable}a", "up"),
            (*inside, "addr", "add", f"{net}.2/30", "dev", f"{cable}b"),
            (*inside, "link", "set", f"{cable}b", "up"),
        )
        for step in steps:
            assert _ip(*step), step
        yield Machine(("ip", "netns", "exec", name), f"{net}.1")
    finally:
        _ip("link", "del", f"{cable}a")
        _ip("netns", "del", name)


def _ip(*words: str) -> bool:
    program = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        return False
    done = subprocess.run([program, *words], capture_output=True, check=False)
    return done.returncode == 0
