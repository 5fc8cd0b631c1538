"""Web processes as they are run behind a proxy, by `mundap web`."""

from __future__ import annotations

import sys

from tests.faults.nodes import Node

MUNDAP = (sys.executable, "-m", "mundap.cli.main")


class WebProcess(Node):
    """One that can be killed, and started again at its port."""

    def command(self) -> list[str]:
        return [*MUNDAP, "web", "--port", str(self.port)]
