"""The containers and the files beside them: nothing runs unbounded, as root or with a secret that everybody knows."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mundap.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
MAKE_SECRETS = ROOT / "deploy" / "make-secrets.sh"
SECRETS = (
    "SECRET_KEY",
    "MUNDAP_TOKEN_KEY",
    "MUNDAP_CACHE_KEY",
    "MUNDAP_EMBEDDING_API_KEY",
    "POSTGRES_PASSWORD",
    "DATABASE_URL",
)


def test_every_part_is_there() -> None:
    expected = {"proxy", "web", "worker", "migrate", "embeddings", "redis", "postgres"}
    assert expected <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert set(service["deploy"]["resources"]["limits"]) >= {"memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "container_name" not in service  # with one there can be no second


def test_only_the_proxy_can_be_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    networks = yaml.safe_load(COMPOSE)["networks"]
    assert networks["inside"]["internal"] is True
    for name in ("postgres", "redis", "embeddings"):
        assert SERVICES[name]["networks"] == ["inside"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_has_no_default_and_says_how_to_make_it(name: str) -> None:
    uses = re.findall(rf"\$\{{{name}(\S\S)([^}}]*)", COMPOSE)
    assert uses
    for sign, message in uses:
        assert sign == ":?"
        assert "sh deploy/make-secrets.sh" in message


def test_running_answers_may_end_before_a_web_process_is_killed() -> None:
    assert SERVICES["web"]["stop_grace_period"] == "1m${MUNDAP_SHUTDOWN_SECONDS:-30}s"


def test_the_addresses_are_those_of_the_containers() -> None:
    environment = SERVICES["web"]["environment"]
    assert environment["REDIS_URL"] == "${REDIS_URL:-redis://redis:6379/1}"
    assert environment["MUNDAP_TRUSTED_PROXIES"] == "1"


@pytest.mark.parametrize(
    "unit", sorted((ROOT / "deploy" / "systemd").glob("*.service")), ids=lambda unit: unit.stem
)
def test_a_unit_runs_a_role_without_root(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=/srv/mundap/\.venv/bin/mundap (\S+)", text, re.MULTILINE)
    assert command
    assert command[1] in COMMANDS
    assert {"User=mundap", "Restart=always", "CapabilityBoundingSet="} <= set(text.splitlines())


def test_the_image_runs_as_nobody_in_particular_and_keeps_the_hashes() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    assert len(stages) == 3
    assert "--require-hashes -r requirements.txt" in stages[1]
    users = re.findall(r"^USER (\S+)", stages[-1], re.MULTILINE)
    assert users[-1].split(":")[0].isdigit()
    assert users[-1] != "0:0"
    assert "HEALTHCHECK" in stages[-1]


def test_secrets_are_made_once(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("SECRET_KEY=my-own\nMUNDAP_DOMAIN=ask.example.org", encoding="utf-8")
    for _again in range(2):
        subprocess.run(["sh", str(MAKE_SECRETS), str(env)], check=True, capture_output=True)
        lines = dict(line.split("=", 1) for line in env.read_text(encoding="utf-8").splitlines())
        assert lines["SECRET_KEY"] == "my-own"
        assert lines["MUNDAP_DOMAIN"] == "ask.example.org"
        url = f"postgresql://mundap:{lines['POSTGRES_PASSWORD']}@postgres:5432/mundap"
        assert lines["DATABASE_URL"] == url
        made = [lines[name] for name in SECRETS[1:-1]]
        assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made)
        assert len(set(made)) == len(made)
        assert len(lines) == len(env.read_text(encoding="utf-8").splitlines())


def test_a_new_file_of_secrets_is_private(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    subprocess.run(["sh", str(MAKE_SECRETS), str(env)], check=True, capture_output=True)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
