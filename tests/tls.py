"""Certificates for servers on loopback, made for a test by the openssl program."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificates(NamedTuple):
    authority: Path  # what proves who the server is
    certificate: Path  # the server's
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def certificates(folder: Path, address: str = "IP:127.0.0.1") -> Certificates:
    """Those of a server at an address, signed by an authority of their own, valid for a day."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here: apt-get install openssl")
    folder.mkdir(parents=True, exist_ok=True)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName={address}", "-addext", "basicConstraints=CA:FALSE"]
    for arguments in (["-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
                      ["-subj", "/CN=server", "-keyout", "server.key", "-out", "server.pem", *signed]):
        subprocess.run([openssl, "req", "-x509", *new, *arguments], cwd=folder, check=True, capture_output=True)
    (folder / "server.key").chmod(0o644)  # a server may run as another user
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
