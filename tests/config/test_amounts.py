"""Money, prices and time zones in the environment: right, or refused by the variable's name."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mundap.config import env
from mundap.errors import ConfigurationError


def test_prices_and_amounts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICES", "qwen3:8b=0.15/0.60, org/large = 2.5 / 10")
    assert env.prices("PRICES") == {
        "qwen3:8b": (Decimal("0.15"), Decimal("0.60")),
        "org/large": (Decimal("2.5"), Decimal(10)),
    }
    monkeypatch.setenv("AMOUNT", "12.50")
    assert (env.amount("AMOUNT"), env.amount("NOT_SET")) == (Decimal("12.5"), 0)
    assert env.time_zone("NOT_SET", "Asia/Seoul") == "Asia/Seoul"


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (env.prices, "m"),
        (env.prices, "m=1"),
        (env.prices, "=1/2"),
        (env.prices, "m=1/-2"),
        (env.prices, "m=nan/1"),
        (env.amount, "-1"),
        (env.amount, "1,5"),
        (env.amount, "inf"),
        (lambda name: env.time_zone(name, "UTC"), "Seoul"),
        (lambda name: env.time_zone(name, "UTC"), "../../etc/passwd"),
    ],
    ids=range(10),
)
def test_what_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, read, value: str) -> None:
    monkeypatch.setenv("SETTING", value)
    with pytest.raises(ConfigurationError, match="SETTING"):
        read("SETTING")
