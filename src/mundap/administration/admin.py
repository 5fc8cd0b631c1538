"""What Django's admin finds by itself: all that we describe there."""

from __future__ import annotations

from mundap.administration import (
    allowances,
    audit_log,
    conversations,
    evaluations,
    groups,
    people,
    shelf,
)

__all__ = ["allowances", "audit_log", "conversations", "evaluations", "groups", "people", "shelf"]
