"""All routes of the site, and their addresses filled with what belongs to somebody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, get_resolver

_SLOT = re.compile(r"<(?:\w+:)?(\w+)>")
_GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    """`pattern` is as the URLconf writes it, `template` has `{name}` where something is filled in."""

    pattern: str
    template: str
    names: tuple[str, ...]
    view: Callable[..., Any]

    @property
    def is_admin(self) -> bool:
        return self.pattern.startswith("admin/")

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith(("api/", "v1/"))

    def filled(self, values: Mapping[str, object]) -> str:
        """Return the address. Raises KeyError for a name that nobody has thought of yet."""
        return "/" + self.template.format(**{name: values[name] for name in self.names})


def all_routes() -> list[Route]:
    """Return every route but Django's static files, each once."""
    return [*{route.pattern: route for route in _below(get_resolver(), "")}.values()]


def _below(resolver: Any, prefix: str) -> Iterator[Route]:
    for each in resolver.url_patterns:
        pattern = prefix + str(each.pattern)
        if isinstance(each, URLPattern):
            yield _route(pattern, each.callback)
        else:
            yield from _below(each, pattern)


def _route(pattern: str, view: Callable[..., Any]) -> Route:
    template = _SLOT.sub(r"{\1}", _GROUP.sub(r"<\1>", pattern))
    template = re.sub(r"[\^$]|\\Z", "", template)
    return Route(pattern, template, tuple(re.findall(r"{(\w+)}", template)), view)
