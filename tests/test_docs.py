"""The documentation says what is true: every setting and command has its line, every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mundap.cli.main import COMMANDS
from mundap.cli.runtime import SECRETS

ROOT = Path(__file__).parent.parent
_FRONT = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in _FRONT), *sorted((ROOT / "docs").rglob("*.md"))]
_READ = re.compile(r'env\.\w+\(\s*"([A-Z_]+)"')


def settings_read() -> set[str]:
    sources = [ROOT / "src/mundap/config/settings.py", ROOT / "src/mundap/cli/runtime.py"]
    return {
        name for path in sources for name in _READ.findall(path.read_text(encoding="utf-8"))
    } | set(SECRETS)


def test_every_setting_is_described() -> None:
    described = set(
        re.findall(
            r"^\| `([A-Z_]+)` \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE
        )
    )
    assert described - {"MUNDAP_HOME"} == settings_read()


def test_every_setting_is_in_the_example() -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    of_containers = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    assert named - {"MUNDAP_HOME"} == settings_read() | of_containers


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command: str) -> None:
    assert f"mundap {command}" in (ROOT / "docs/commands.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), (
                f"{page.name} links to {target}, which is not there"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in re.findall(r"`([\w./-]+/[\w-]+\.(?:py|js|css|conf|json|md))`", page.read_text()):
        places = (ROOT, ROOT / "src/mundap", ROOT / "docs", page.parent)
        assert any((place / name).exists() for place in places), f"{page.name} names {name}"


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\]\((\S+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {page.name for page in folder.glob("*.md")} - {"README.md"}
