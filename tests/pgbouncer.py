"""A real PgBouncer in transaction mode before the tests' PostgreSQL, with few connections, so that each goes round."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SERVER_CONNECTIONS = 5
_SETTINGS = """
[databases]
* = host={host}

[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
server_idle_timeout = 1
admin_users = mundap
logfile = {folder}/pgbouncer.log
"""


@contextmanager
def pgbouncer(database_url: str, *, address: str = "127.0.0.1") -> Iterator[str]:
    """Give the address of the database through a PgBouncer that is ended with the block."""
    parts = urlsplit(database_url)
    host = parse_qs(parts.query)["host"][0]
    folder = Path(tempfile.mkdtemp(prefix="mundap-bouncer-"))
    with socket.create_server((address, 0)) as listener:
        port = listener.getsockname()[1]
    settings = _SETTINGS.format(
        host=host, address=address, port=port, folder=folder, connections=SERVER_CONNECTIONS
    )
    (folder / "pgbouncer.ini").write_text(settings)
    (folder / "users.txt").write_text('"mundap" ""\n"postgres" ""\n')
    # Neither it nor PostgreSQL runs as root; who may pass to the socket is who PostgreSQL runs as.
    owner = Path(host).stat()
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)
    process = subprocess.Popen(
        ["pgbouncer", "-q", str(folder / "pgbouncer.ini")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **(account if os.geteuid() == 0 else {}),
    )
    try:
        _wait_until_listening(process, address, port)
        yield f"postgresql://{parts.username}@{parts.path}?host={address}&port={port}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_listening(process: subprocess.Popen[bytes], address: str, port: int) -> None:
    for _attempt in range(500):
        assert process.poll() is None, "PgBouncer has ended"
        with socket.socket() as connection:
            if connection.connect_ex((address, port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError("PgBouncer does not listen")
