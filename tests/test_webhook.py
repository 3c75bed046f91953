"""webhook: what a real HTTP server on loopback gets, and what is done and said when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from sinks import spool
from sinks.spool import SpooledDecisions
from sinks.webhook import WebhookConfig
from tests.servers import HttpReceiver, free_port

FORMAT = Format("decisions", (2,), names=("a", "b"))


def decision(number: int) -> Packet:
    scores = np.array([0.25, 0.75], np.float32)
    return Packet(number * 10, number * 10 + 10, np.full(2, number * 10 + 9), np.array([0, 1], np.uint32), scores)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    monkeypatch.setattr(spool, "SHORTEST_PAUSE_S", 0.005)
    with HttpReceiver() as found:
        yield found


def hook(server: HttpReceiver, path: str = "/d", **options: Any) -> SpooledDecisions:
    config = WebhookConfig(url=f"http://127.0.0.1:{server.port}{path}", **{"patience_s": 20.0, **options})
    return config.prepare(FORMAT, "cam")(None)  # type: ignore[return-value]


def test_decisions_are_posted_in_order_with_their_numbers(server: HttpReceiver) -> None:
    with closing(hook(server)) as sink:
        for number in range(250):
            sink.write(decision(number))
    assert [(item["seq"], item["t_us"]) for item in server.taken("/d")] == [(k, k * 10 + 9) for k in range(250)]
    assert max(len(batch) for _, _, batch, _ in server.requests) <= 100
    assert server.taken("/d")[0] == {"stream": "cam", "seq": 0, "episode": 0, "t_us": 9, "class": 1, "name": "b",
                                     "confidence": 0.75, "scores": [0.25, 0.75], "final": False, "label": None}


@pytest.mark.parametrize("failures", [[500, 503], [429], [0, 0], [408, 0, 502]], ids=str)
def test_a_receiver_that_fails_for_a_while_still_gets_all(server: HttpReceiver, failures: list[int]) -> None:
    server.answers = [200, *failures]
    with closing(hook(server, batch=3)) as sink:
        for number in range(20):
            sink.write(decision(number))
    assert sorted({item["seq"] for item in server.taken("/d")}) == list(range(20))
    codes = [code for *_, code in server.requests]
    assert codes[: 1 + len(failures)] == [200, *failures]


def test_a_checkpoint_waits_until_all_before_it_is_delivered(server: HttpReceiver) -> None:
    server.answers = [503] * 3
    with closing(hook(server)) as sink:
        sink.write(decision(0))
        sink.write(decision(1))
        assert int(sink.snapshot()["seq"]) == 2
        assert [item["seq"] for item in server.taken("/d")] == [0, 1]


def test_a_refusal_ends_the_run_at_once_with_a_clear_line(server: HttpReceiver) -> None:
    server.answers = [404] * 5
    sink = hook(server, "/d?token=secret", headers={"Authorization": "Bearer secret"})
    sink.write(decision(0))
    with pytest.raises(ValueError, match="answers 404") as error:
        sink.snapshot()
    sink.close()
    assert len(server.requests) == 1
    assert "secret" not in str(error.value)
    assert server.requests[0][1]["Authorization"] == "Bearer secret"


def test_a_full_spool_with_nobody_there_is_one_clear_error() -> None:
    config = WebhookConfig(url=f"http://127.0.0.1:{free_port()}/d", spool=5, patience_s=0.3)
    said = r"the spool is full \(5 decisions\) and nothing was delivered for 0\.3 s \(Connection refused\)"
    with closing(config.prepare(FORMAT, "cam")(None)) as sink, pytest.raises(ValueError, match=said):
        for number in range(6):
            sink.write(decision(number))


def test_an_end_that_cannot_be_delivered_is_an_error() -> None:
    sink = WebhookConfig(url=f"http://127.0.0.1:{free_port()}/d", patience_s=0.2).prepare(FORMAT, "cam")(None)
    sink.write(decision(0))
    with pytest.raises(ValueError, match="1 decisions wait to be delivered"):
        sink.close()
    sink.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "ftp://secret.example/"}, "url must be"),
        ({"url": "http://x:99999/secret"}, "url must be"),
        ({"url": "http://me:secret@127.0.0.1/"}, "put them into headers"),
        ({"url": "http://192.0.2.7/?secret"}, "use https"),
        ({"url": "http://127.0.0.1/", "headers": {"A": "secret\r\nB: 1"}}, "header 'A'"),
    ],
)
def test_options_that_will_not_do_are_refused_without_showing_secrets(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        WebhookConfig(**options).check(FORMAT)
    assert "secret" not in str(error.value)


def test_the_configs_text_shows_no_secret() -> None:
    assert "secret" not in repr(WebhookConfig(url="https://x/?t=secret", headers={"Authorization": "secret"}))
