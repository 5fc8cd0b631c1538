"""A real nginx with the configuration that is shipped, `deploy/nginx.conf`, before processes of this machine."""

from __future__ import annotations

import datetime
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PROGRAM = "/usr/sbin/nginx"
_SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
_AROUND = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/mundap.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running one: where it listens, whose certificate to trust, its process and its log."""

    url: str
    certificate: Path
    pid: int
    log: Path

    def upstreams(self) -> list[str]:
        """Return which process answered each request so far, as `127.0.0.1:8001`."""
        return re.findall(r" (127\.0\.0\.1:\d+) \d{3} ", self.log.read_text())


@contextmanager
def nginx(folder: Path, ports: Sequence[int]) -> Iterator[Nginx]:
    """Run it in this folder before processes at these ports; as many as the shipped file has."""
    certificate, key = make_certificate(folder)
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        plain, encrypted = first.getsockname()[1], second.getsockname()[1]
    shipped = _SHIPPED.read_text()
    listed = re.findall(r"server 127\.0\.0\.1:\d+", shipped)
    assert len(listed) == len(ports), f"{_SHIPPED.name} has {len(listed)} processes"
    for old, port in zip(listed, ports, strict=True):
        shipped = shipped.replace(old, f"server 127.0.0.1:{port}")
    log = folder / "access.log"
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen [::]:80;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{encrypted} ssl http2;",
        "listen [::]:443 ssl http2;": "",
        "/etc/letsencrypt/live/ask.example.org/fullchain.pem": str(certificate),
        "/etc/letsencrypt/live/ask.example.org/privkey.pem": str(key),
        "/var/log/nginx/mundap.log": str(log),
    }.items():
        assert old in shipped, f"{_SHIPPED.name} has no {old!r}"
        shipped = shipped.replace(old, new)
    (folder / "mundap.conf").write_text(shipped)
    # Its workers would be nobody's, who may not enter this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, user=user))
    process = subprocess.Popen(
        [
            PROGRAM,
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            str(folder / "error.log"),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        _wait_until_listening(process, encrypted)
        yield Nginx(f"https://127.0.0.1:{encrypted}", certificate, process.pid, log)
    finally:
        process.terminate()
        process.wait()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ask.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "fullchain.pem", folder / "privkey.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, secret


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    for _attempt in range(500):
        assert process.poll() is None, "nginx has ended"
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError("nginx does not listen")
