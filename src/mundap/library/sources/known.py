"""Documentation sets that are known by name: name, licence, and where they are published."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote


class Naming(StrEnum):
    """How a page's file becomes its address below the base."""

    FILE = "file"  # topics/cache.html stays
    HTML = "html"  # topics/cache.rst → topics/cache.html
    FOLDER = "folder"  # topics/cache.txt → topics/cache/ and topics/index.txt → topics/
    NO_INDEX = "no-index"  # topics/cache/index.html → topics/cache/


@dataclass(frozen=True, slots=True)
class KnownDocs:
    """A known set. `base_url` may have {minor} (3.11) and {major} (3) of the version."""

    title: str
    slug: str
    home_page: str
    licence: str
    base_url: str
    naming: Naming


# By the project's name, as a package index, conf.py or objects.inv has it.
KNOWN = {
    "django": KnownDocs(
        "Django",
        "django",
        "https://www.djangoproject.com/",
        "BSD-3-Clause",
        "https://docs.djangoproject.com/en/{minor}/",
        Naming.FOLDER,
    ),
    "python": KnownDocs(
        "Python",
        "python",
        "https://www.python.org/",
        "PSF-2.0",
        "https://docs.python.org/{minor}/",
        Naming.HTML,
    ),
    "django-rest-framework": KnownDocs(
        "Django REST framework",
        "drf",
        "https://www.django-rest-framework.org/",
        "BSD-3-Clause",
        "https://www.django-rest-framework.org/",
        Naming.NO_INDEX,
    ),
    "celery": KnownDocs(
        "Celery",
        "celery",
        "https://docs.celeryq.dev/",
        "BSD-3-Clause",
        "https://docs.celeryq.dev/en/stable/",
        Naming.HTML,
    ),
    "flask": KnownDocs(
        "Flask",
        "flask",
        "https://flask.palletsprojects.com/",
        "BSD-3-Clause",
        "https://flask.palletsprojects.com/en/stable/",
        Naming.FOLDER,
    ),
}
_ALIASES = {"djangorestframework": "django-rest-framework"}


def find_known(project: str) -> KnownDocs | None:
    """Return what is known of a project."""
    name = re.sub(r"[\W_]+", "-", project.strip().lower())
    return KNOWN.get(_ALIASES.get(name, name))


def published_base(docs: KnownDocs, version: str) -> str:
    """Return where this version is published, or nothing if the address needs a version that is not known."""
    numbers = re.findall(r"\d+", version)
    if not numbers and "{" in docs.base_url:
        return ""
    minor = ".".join(numbers[:2])
    return docs.base_url.format(major="".join(numbers[:1]), minor=minor, version=version)


def address(base_url: str, path: str, naming: Naming) -> str:
    """Return where the page of this path is published, or nothing without a base."""
    if not base_url:
        return ""
    stem = path.rpartition(".")[0] or path
    if naming == Naming.HTML:
        path = f"{stem}.html"
    elif naming == Naming.FOLDER:
        path = "" if stem == "index" else stem.removesuffix("/index") + "/"
    elif naming == Naming.NO_INDEX and (path == "index.html" or path.endswith("/index.html")):
        path = path.removesuffix("index.html")
    return base_url.rstrip("/") + "/" + quote(path, safe="/~")
