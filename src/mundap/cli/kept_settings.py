"""The settings that are in the environment, as a backup keeps them: without secrets."""

from __future__ import annotations

import os
import re

from mundap.cli.checks import masked

# Without which a restored installation signs everybody out, and refuses their tokens, links and second steps.
SECRETS = ("SECRET_KEY", "MUNDAP_TOKEN_KEY")
_OURS = re.compile(
    r"(MUNDAP|OPENAI|EMAIL|OTEL)_\w+|SECRET_KEY(_FALLBACKS)?|DATABASE_URL|REDIS_URL|DEFAULT_FROM_EMAIL"
)
_SECRET = re.compile(r"(^|_)(KEY|KEY_FALLBACKS|SECRET|PASSWORD|TOKEN|HEADERS)$")


def settings_without_secrets() -> str:
    """Return the lines of an .env file, in which each secret is only named."""
    lines = [
        "# The settings when the backup was made. Secrets are only named: carry them over yourself."
    ]
    for name, value in sorted(os.environ.items()):
        if not _OURS.fullmatch(name) or not value.strip():
            continue
        if _SECRET.search(name):
            lines.append(f"#{name}=")
        else:
            may_hold_one = "://" in value and ("@" in value or "?" in value)
            lines.append(f"{name}={masked(value) if may_hold_one else value}")
    return "\n".join(lines) + "\n"
