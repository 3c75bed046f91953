"""mqtt: against a real broker, mosquitto, started on loopback."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from sinks.mqtt import MqttConfig
from tests.servers import Mosquitto, Subscriber, by_seq, free_port

FORMAT = Format("decisions", (2,), names=("a", "b"))
TOPIC = "spikeline/cam/decisions"


def decision(number: int) -> Packet:
    scores = np.array([0.25, 0.75], np.float32)
    return Packet(number * 10, number * 10 + 10, np.full(2, number * 10 + 9), np.array([0, 1], np.uint32), scores)


def test_subscribers_get_every_decision_in_order() -> None:
    with Mosquitto() as broker, closing(Subscriber(broker.port)) as subscriber:
        with closing(MqttConfig(port=broker.port).prepare(FORMAT, "cam")(None)) as sink:
            for number in range(300):
                sink.write(decision(number))
        heard = subscriber.messages(TOPIC)
    assert [item["seq"] for item in heard] == list(range(300))
    assert heard[0] == {"stream": "cam", "seq": 0, "episode": 0, "t_us": 9, "class": 1, "name": "b", "confidence": 0.75,
                        "scores": [0.25, 0.75], "final": False, "label": None}


def test_a_broker_that_is_away_for_a_while_still_gets_all() -> None:
    with Mosquitto() as broker, closing(MqttConfig(port=broker.port).prepare(FORMAT, "cam")(None)) as sink:
        sink.write(decision(0))
        sink.snapshot()
        broker.stop()
        for number in range(1, 50):
            sink.write(decision(number))
        broker.start()
        with closing(Subscriber(broker.port)) as subscriber:
            sink.snapshot()
            heard = subscriber.messages(TOPIC)
    assert {item["seq"] for item in by_seq(heard)} | {0} == set(range(50))


def test_a_full_spool_without_a_broker_is_one_clear_error() -> None:
    with Mosquitto() as broker:
        sink = MqttConfig(port=broker.port, spool=5, patience_s=0.3).prepare(FORMAT, "cam")(None)
        sink.write(decision(0))
        sink.snapshot()
        broker.stop()
        with closing(sink), pytest.raises(ValueError, match=r"the spool is full \(5 decisions\) and nothing was delivered"):
            for number in range(1, 7):
                sink.write(decision(number))


def test_a_password_lets_in_and_a_wrong_one_is_refused_without_being_shown(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    tool = Path("/usr/bin/mosquitto_passwd")
    if not tool.exists():
        pytest.skip("no mosquitto_passwd here: apt-get install mosquitto")
    subprocess.run([tool, "-b", "-c", passwords, "me", "right"], check=True, capture_output=True)
    with Mosquitto("allow_anonymous false", f"password_file {passwords}") as broker:
        MqttConfig(port=broker.port, username="me", password="right").prepare(FORMAT, "cam")(None).close()
        with pytest.raises(ValueError, match="refuses the connection: Not authorized") as error:
            MqttConfig(port=broker.port, username="me", password="secret").prepare(FORMAT, "cam")(None)
    assert "secret" not in str(error.value)


def test_no_broker_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match=r"no broker within 0.3 s \(Connection refused\): start it"):
        MqttConfig(port=free_port(), connect_timeout_s=0.3).prepare(FORMAT, "cam")(None)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"host": "192.0.2.7"}, "set tls"), ({"topic": "a/#"}, "no #"), ({"password": "secret"}, "needs a username")],
)
def test_options_that_will_not_do_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        MqttConfig(**options).check(FORMAT)
    assert "secret" not in str(error.value)
    assert "secret" not in repr(MqttConfig(**options))
