"""CURVE keys of the sinks that are ZeroMQ: files in, encrypted sockets out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import zmq


class Keys(NamedTuple):
    """What a socket needs. server: the other end's public key, or None: this end is the server, whose public key others need."""

    public: bytes
    secret: bytes
    server: bytes | None = None
    clients: Path | None = None  # of a server: the folder of those let in; None: all

    def put_on(self, socket: zmq.Socket) -> None:
        socket.curve_publickey, socket.curve_secretkey = self.public, self.secret
        if self.server is None:
            socket.curve_server = True
        else:
            socket.curve_serverkey = self.server


def server_keys(sink: str, certificate: Path, clients: Path | None) -> Keys:
    """The keys of an end that others connect to. ValueError if a file cannot be read."""
    public, secret = read_secret(sink, certificate)
    if clients is not None and not clients.is_dir():
        raise ValueError(f"{sink}: curve_clients: {clients} is no folder of public key files")
    return Keys(public, secret, clients=clients)


def client_keys(sink: str, server: Path, certificate: Path | None) -> Keys:
    """The keys of an end that connects; made for the run if it has no certificate. ValueError if a file cannot be read."""
    import zmq

    public, secret = zmq.curve_keypair() if certificate is None else read_secret(sink, certificate)
    return Keys(public, secret, server=_read(sink, "curve_server_key", server)[0])


def read_secret(sink: str, path: Path) -> tuple[bytes, bytes]:
    public, secret = _read(sink, "curve_certificate", path)
    if secret is None:
        raise ValueError(f"{sink}: curve_certificate: {path} holds no secret key; name the .key_secret file")
    return public, secret


def guard(context: zmq.Context, keys: Keys | None) -> Any:
    """A thread that lets in those whose public keys lie in the folder, to be stopped; None where all may come."""
    if keys is None or keys.clients is None:
        return None
    from zmq.auth.thread import ThreadAuthenticator

    started = ThreadAuthenticator(context)
    started.start()
    started.configure_curve(domain="*", location=str(keys.clients))
    return started


def _read(sink: str, option: str, path: Path) -> tuple[bytes, bytes | None]:
    import zmq.auth

    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{sink}: {option}: cannot read {path}: {error}") from None
