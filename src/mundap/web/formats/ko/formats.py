"""Korean: morning or afternoon is said before the hour."""

from __future__ import annotations

DATETIME_FORMAT = "Y년 n월 j일 A g:i"
