"""Receivers for the sinks that reach over a network: each a private one on loopback, which ends with its test or its process.

`fill` puts their addresses into the options of an example; what they hold is read by `mqtt_messages` and the like.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline import wire
from tests.packets import content
from tests.tls import Certificates

AT_END = ExitStack()  # what is left running until this process ends
atexit.register(AT_END.close)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < until_s, f"waited {timeout_s:g} s until {what}"
        time.sleep(0.02)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def server_user() -> str | None:
    """Whom a server runs as that refuses root; None: as oneself."""
    return None if os.geteuid() else "nobody"


# --- MQTT ---


class Mosquitto:
    """A broker on a free port. It may be stopped and started again."""

    def __init__(self, *lines: str) -> None:
        folders = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        found = shutil.which("mosquitto", path=folders)
        if found is None:
            pytest.skip("no mosquitto here: apt-get install mosquitto")
        self.binary, self.port = found, free_port()
        self.config = Path(tempfile.mkdtemp(prefix="mosquitto-")) / "broker.conf"
        text = [f"listener {self.port} 127.0.0.1", "persistence false", "max_queued_messages 0", "log_type none",
                *(lines or ["allow_anonymous true"])]
        if os.geteuid() == 0:
            text.append("user root")  # or it becomes another user, who cannot read the test's own folder
        self.config.write_text("\n".join(text) + "\n")
        self.config.parent.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen([self.binary, "-c", str(self.config)], stdout=quiet, stderr=quiet)
        wait_until(lambda: answers(self.port), "mosquitto answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
        shutil.rmtree(self.config.parent)


class Subscriber:
    """Hears every message of a broker. A message to the topic "marker" shows that it has heard all before."""

    def __init__(self, port: int, **login: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard: list[tuple[str, str]] = []
        ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(**login)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda client, data, message: self.heard.append((message.topic, message.payload.decode()))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(10)

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """The objects published under a topic, as often as they came."""
        mark = ("marker", str(len(self.heard) + time.monotonic_ns()))
        self._client.publish(*mark, qos=1)
        wait_until(lambda: mark in self.heard, "the marker came back")
        return [json.loads(text) for name, text in list(self.heard) if name == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@cache
def broker() -> tuple[int, Subscriber]:
    """The broker of this process and one who hears all of it."""
    server = AT_END.enter_context(Mosquitto())
    subscriber = Subscriber(server.port)
    AT_END.callback(subscriber.close)
    return server.port, subscriber


def mqtt_messages(folder: Path) -> Any:
    return by_seq(broker()[1].messages(f"test/{folder.name}"))


# --- PostgreSQL ---


class PostgresServer:
    """A server with a data folder of its own, on a free port; everyone on this machine may connect, unless `password` is set."""

    def __init__(self, password: str | None = None, proof: Certificates | None = None) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        on_path = shutil.which("initdb")
        if not found and on_path is None:
            pytest.skip("no PostgreSQL here: apt-get install postgresql")
        self.binaries = found[-1].parent if found else Path(str(on_path)).parent
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        user = server_user()
        if user is not None:
            shutil.chown(self.folder, user)
        secret = self.folder / "password"
        secret.write_text(password or "none")
        secret.chmod(0o644)
        self._run("initdb", "-D", "data", "-U", "tester", "-N", "-E", "UTF8", "--locale=C", "--pwfile=password",
                  f"--auth={'scram-sha-256' if password else 'trust'}")
        self._encryption = "" if proof is None else self._encrypted(proof)

    def _encrypted(self, proof: Certificates) -> str:
        """The options of a server that offers TLS. Its key must be its own."""
        for path, name in ((proof.certificate, "server.pem"), (proof.key, "server.key")):
            copy = Path(shutil.copy(path, self.folder / name))
            copy.chmod(0o600)
            user = server_user()
            if user is not None:
                shutil.chown(copy, user)
        return f" -c ssl=on -c ssl_cert_file={self.folder}/server.pem -c ssl_key_file={self.folder}/server.key"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=20"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-t", "60", "-o", options + self._encryption, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", "data", "-m", mode, "-w", "stop")

    def rows(self, table: str = "decisions") -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(host="127.0.0.1", port=self.port, user="tester", dbname="postgres") as connection:
            return connection.execute(f"SELECT * FROM {table} ORDER BY stream, seq").fetchall()  # type: ignore[call-overload]

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([str(self.binaries / program), *arguments], cwd=self.folder, user=server_user(), check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, f"{program}: {done.stderr}"


@cache
def database() -> PostgresServer:
    """The server of this process."""
    return AT_END.enter_context(PostgresServer())


def postgres_rows(folder: Path) -> Any:
    return database().rows()


# --- HTTP ---


class HttpReceiver:
    """Takes JSON batches. `answers` holds the status codes of the next answers; then it is 200. An answer of 0 hangs up."""

    def __init__(self, encryption: ssl.SSLContext | None = None) -> None:
        self.answers: list[int] = []
        self.requests: list[tuple[str, dict[str, str], list[dict[str, Any]], int]] = []  # path, headers, batch, answer
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code = receiver.answers.pop(0) if receiver.answers else 200
                receiver.requests.append((self.path, dict(self.headers), batch, code))
                if code == 0:
                    self.close_connection = True
                    return
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if encryption is not None:
            self._server.socket = encryption.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def taken(self, path: str) -> list[dict[str, Any]]:
        """The objects of the batches that were answered with 200, as often as they came."""
        return [item for where, _, batch, code in self.requests if where == path and code == 200 for item in batch]

    def __enter__(self) -> HttpReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@cache
def receiver() -> HttpReceiver:
    return AT_END.enter_context(HttpReceiver())


def posted(folder: Path) -> Any:
    return by_seq(receiver().taken(f"/{folder.name}"))


# --- ZeroMQ ---


class Puller:
    """Binds a PULL socket, reads a stream up to its end, hangs up, and waits for the next stream until it is stopped."""

    def __init__(self, endpoint: str) -> None:
        self.packets: dict[int, Any] = {}  # the content of each, by seq
        self._endpoint, self._stop = endpoint, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        import zmq

        with zmq.Context() as context:
            while not self._stop.is_set():
                with context.socket(zmq.PULL) as inbox:
                    inbox.setsockopt(zmq.LINGER, 0)
                    inbox.setsockopt(zmq.RCVTIMEO, 50)
                    inbox.bind(self._endpoint)
                    self._read(inbox)

    def _read(self, inbox: Any) -> None:
        import zmq

        while not self._stop.is_set():
            try:
                envelope, packet = wire.decode(inbox.recv_multipart())
            except zmq.Again:
                continue
            if packet is not None:
                self.packets[envelope.seq] = content(packet)
            if envelope.kind == "end":
                return

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@cache
def puller(folder: Path) -> Puller:
    found = Puller(f"ipc://{folder}/in")
    AT_END.callback(found.close)
    return found


def pulled(folder: Path) -> Any:
    return sorted(puller(folder).packets.items())


def by_seq(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One object a number, since at least once may be twice."""
    return [found for _, found in sorted({item["seq"]: item for item in objects}.items())]


def fill(text: str, folder: Path) -> str:
    """A text of an example with the addresses of receivers, which are started if need be."""
    if "{mqtt_port}" in text:
        text = text.replace("{mqtt_port}", str(broker()[0]))
    if "{postgres_port}" in text:
        text = text.replace("{postgres_port}", str(database().port))
    if "{http_port}" in text:
        text = text.replace("{http_port}", str(receiver().port))
    if "{puller}" in text:
        puller(folder)
        text = text.replace("{puller}", f"ipc://{folder}/in")
    return text.replace("{folder_name}", folder.name).replace("{folder}", str(folder))
