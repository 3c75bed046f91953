"""mqtt, webhook and postgres over TLS, each against a real server: what is trusted, what is not, and what is said then.

The patience of 1000 s shows that what trying again cannot mend is not tried again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from sinks.mqtt import MqttConfig
from sinks.postgres import PostgresConfig
from sinks.webhook import WebhookConfig
from tests.servers import HttpReceiver, Mosquitto, PostgresServer, Subscriber, free_port
from tests.tls import Certificates, certificates

FORMAT = Format("decisions", (2,), names=("a", "b"))


def decision(number: int) -> Packet:
    scores = np.array([0.25, 0.75], np.float32)
    return Packet(number * 10, number * 10 + 10, np.full(2, number * 10 + 9), np.array([0, 1], np.uint32), scores)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of the server, at the address where it is."""
    return certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of an authority that has nothing to do with the server."""
    return certificates(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of a server by another name."""
    return certificates(tmp_path_factory.mktemp("elsewhere"), "DNS:elsewhere.test")


# --- MQTT ---


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that a server which runs as another user can read."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return tmp_path


def encrypted_broker(proof: Certificates, folder: Path, plain_port: int) -> Mosquitto:
    copies = [shutil.copy(path, folder) for path in proof]
    return Mosquitto("allow_anonymous true", f"cafile {copies[0]}", f"certfile {copies[1]}", f"keyfile {copies[2]}",
                     f"listener {plain_port} 127.0.0.1")


def test_mqtt_decisions_reach_an_encrypted_broker(ours: Certificates, shared: Path) -> None:
    plain_port = free_port()
    with encrypted_broker(ours, shared, plain_port) as broker, closing(Subscriber(plain_port)) as subscriber:
        with closing(MqttConfig(port=broker.port, tls=True, ca_file=ours.authority).prepare(FORMAT, "cam")(None)) as sink:
            for number in range(20):
                sink.write(decision(number))
        assert [item["seq"] for item in subscriber.messages("spikeline/cam/decisions")] == list(range(20))


@pytest.mark.parametrize("trusted", ["system", "others"])
def test_mqtt_refuses_a_broker_that_nobody_trusted_vouches_for(ours: Certificates, others: Certificates, shared: Path,
                                                               trusted: str) -> None:
    ca_file = others.authority if trusted == "others" else None
    with encrypted_broker(ours, shared, free_port()) as broker, \
            pytest.raises(ValueError, match=r"its certificate is not trusted \(.*\): correct it, or set ca_file"):
        MqttConfig(port=broker.port, tls=True, ca_file=ca_file, connect_timeout_s=1000).prepare(FORMAT, "cam")(None)


def test_mqtt_refuses_a_broker_by_another_name(elsewhere: Certificates, shared: Path) -> None:
    with encrypted_broker(elsewhere, shared, free_port()) as broker, pytest.raises(ValueError, match="IP address mismatch"):
        MqttConfig(port=broker.port, tls=True, ca_file=elsewhere.authority, connect_timeout_s=1000).prepare(FORMAT, "cam")(None)


def test_mqtt_a_ca_file_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ValueError, match=r"mqtt: ca_file: cannot read certificates from .*empty.pem"):
        MqttConfig(tls=True, ca_file=tmp_path / "empty.pem").prepare(FORMAT, "cam")(None)


# --- webhook ---


def posted(port: int, ca_file: Path | None) -> None:
    config = WebhookConfig(url=f"https://127.0.0.1:{port}/d", ca_file=ca_file, patience_s=1000)
    with closing(config.prepare(FORMAT, "cam")(None)) as sink:
        sink.write(decision(0))
        sink.snapshot()


def test_webhook_decisions_reach_an_encrypted_receiver(ours: Certificates) -> None:
    with HttpReceiver(ours.server_context()) as receiver:
        posted(receiver.port, ours.authority)
        assert [item["seq"] for item in receiver.taken("/d")] == [0]


@pytest.mark.parametrize("trusted", ["system", "others"])
def test_webhook_refuses_a_receiver_that_nobody_trusted_vouches_for(ours: Certificates, others: Certificates,
                                                                    trusted: str) -> None:
    with HttpReceiver(ours.server_context()) as receiver, \
            pytest.raises(ValueError, match=r"its certificate is not trusted \(.*\): correct it, or set ca_file"):
        posted(receiver.port, others.authority if trusted == "others" else None)
    assert receiver.requests == []


def test_webhook_refuses_a_receiver_by_another_name(elsewhere: Certificates) -> None:
    with HttpReceiver(elsewhere.server_context()) as receiver, pytest.raises(ValueError, match="IP address mismatch"):
        posted(receiver.port, elsewhere.authority)
    assert receiver.requests == []


# --- PostgreSQL ---


@pytest.fixture(scope="module")
def database(ours: Certificates) -> Iterator[PostgresServer]:
    with PostgresServer(proof=ours) as server:
        yield server


def postgres(server: PostgresServer, **options: object) -> PostgresConfig:
    return PostgresConfig.model_validate({"port": server.port, "user": "tester", "patience_s": 1000, **options})


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
def test_postgres_rows_go_over_an_encrypted_connection(database: PostgresServer, ours: Certificates, sslmode: str) -> None:
    ca_file = {} if sslmode == "require" else {"ca_file": ours.authority}
    with closing(postgres(database, table="t", sslmode=sslmode, **ca_file).prepare(FORMAT, sslmode)(None)) as sink:
        sink.write(decision(0))
        assert sink._connection.pgconn.ssl_in_use  # type: ignore[attr-defined]
    assert (sslmode, 0) in [row[:2] for row in database.rows("t")]


def test_postgres_refuses_a_server_that_nobody_trusted_vouches_for(database: PostgresServer, others: Certificates) -> None:
    with pytest.raises(ValueError, match="certificate verify failed"):
        postgres(database, sslmode="verify-full", ca_file=others.authority).prepare(FORMAT, "cam")(None)


def test_postgres_refuses_a_server_by_another_name(elsewhere: Certificates) -> None:
    with PostgresServer(proof=elsewhere) as server, pytest.raises(ValueError, match="does not match host name"):
        postgres(server, sslmode="verify-full", ca_file=elsewhere.authority).prepare(FORMAT, "cam")(None)
