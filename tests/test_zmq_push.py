"""zmq_push: what a real receiver on loopback gets, and what is said when there is none."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.auth

from pipeline.packet import Format, Packet, same_events
from pipeline.transport import Message, ZmqInbox
from pipeline.wire import decode
from sinks.zmq_push import ZmqPush, ZmqPushConfig
from sources.zmq_receive import ZmqReceiveConfig
from tests.servers import Puller, wait_until

FORMAT = Format("spikes", (4,))


def packet(number: int) -> Packet:
    return Packet(number * 10, number * 10 + 10, np.array([number * 10 + 3]), np.array([number % 4], np.uint32))


def pusher(endpoint: str, seq: int | None = None, **options: object) -> ZmqPush:
    config = ZmqPushConfig.model_validate({"endpoint": endpoint, "linger_s": 5, **options})
    return config.prepare(FORMAT, "cam")(None if seq is None else {"seq": np.array(seq)})  # type: ignore[return-value]


@pytest.mark.parametrize("codec", [0, 1, 2])
def test_a_receiver_gets_the_format_every_packet_and_the_end(tmp_path: Path, codec: int) -> None:
    messages: list[Any] = []
    with zmq.Context() as context, context.socket(zmq.PULL) as inbox:
        inbox.setsockopt(zmq.RCVTIMEO, 10_000)
        inbox.bind(f"ipc://{tmp_path}/in")
        sink = pusher(f"ipc://{tmp_path}/in", codec=codec, linger_s=0.2)
        for number in range(3):
            sink.write(packet(number))
        sink.close()
        while not messages or messages[-1][0].kind != "end":
            messages.append(decode(inbox.recv_multipart()))
    kinds = [(envelope.kind, envelope.seq) for envelope, _ in messages]
    assert kinds == [("format", -1), ("data", 0), ("data", 1), ("data", 2), ("end", 2)]
    assert messages[0][0].format == FORMAT
    assert all(same_events(got, packet(number)) for number, (_, got) in enumerate(messages[1:-1]))


def test_a_slow_receiver_holds_the_sink_up_and_loses_nothing(tmp_path: Path) -> None:
    got: list[int] = []
    inbox = ZmqInbox(f"ipc://{tmp_path}/in", "cam", FORMAT, high_water=1, patience_ms=5_000)
    sink = pusher(f"ipc://{tmp_path}/in", high_water=1)
    held_up = threading.Event()

    def push() -> None:
        for number in range(5_000):
            sink.write(packet(number))
        sink.close()
        held_up.set()

    sender = threading.Thread(target=push)
    sender.start()
    while (message := inbox.receive()) != "end":
        assert not held_up.is_set(), "the sink was done before its receiver"
        if isinstance(message, Message):
            got.append(message.packet.begin_us // 10)
    inbox.close()
    sender.join()
    assert got == list(range(5_000))


def test_the_sink_may_bind_and_the_receiver_connect() -> None:
    sink = pusher("tcp://127.0.0.1:*", bind=True, linger_s=0.2)
    with zmq.Context() as context, context.socket(zmq.PULL) as inbox:
        inbox.setsockopt(zmq.RCVTIMEO, 10_000)
        inbox.connect(sink.endpoint)
        sink.write(packet(0))
        sink.close()
        kinds = [decode(inbox.recv_multipart())[0].kind for _ in range(3)]
    assert kinds == ["format", "data", "end"]


def test_a_resumed_run_goes_on_with_the_seq_of_its_checkpoint(tmp_path: Path) -> None:
    puller = Puller(f"ipc://{tmp_path}/in")
    with closing(pusher(f"ipc://{tmp_path}/in", 6)) as sink:
        sink.write(packet(7))
        assert int(sink.snapshot()["seq"]) == 7
    puller.close()
    assert list(puller.packets) == [7]


def test_a_receiver_that_never_comes_is_one_clear_error(tmp_path: Path) -> None:
    with closing(pusher(f"ipc://{tmp_path}/in", connect_timeout_s=0.2)) as sink, \
            pytest.raises(ValueError, match=r"no receiver came within 0\.2 s: start it"):
        sink.write(packet(0))


def test_a_receiver_that_takes_nothing_is_an_error_after_a_while(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as inbox:
        inbox.set_hwm(1)
        inbox.bind(f"ipc://{tmp_path}/in")
        with closing(pusher(f"ipc://{tmp_path}/in", stall_s=0.2, high_water=1)) as sink, \
                pytest.raises(ValueError, match=r"took nothing for 0\.2 s"):
            for number in range(1_000_000):
                sink.write(packet(number))


def test_a_receiver_that_hangs_up_before_the_end_ends_the_run(tmp_path: Path) -> None:
    with closing(pusher(f"ipc://{tmp_path}/in")) as sink:
        with zmq.Context() as context, context.socket(zmq.PULL) as inbox:
            inbox.bind(f"ipc://{tmp_path}/in")
            sink.write(packet(0))
        wait_until(lambda: _gone(sink), "the sink saw it")
        with pytest.raises(ValueError, match="hung up after packet 0"):
            sink.write(packet(1))


def _gone(sink: ZmqPush) -> bool:
    sink._see_events(0)
    return sink._gone


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [("tcp://192.0.2.7:5557", "insecure: true"), ("nonsense", "endpoint must be"), ("udp://x:1", "endpoint must be")],
)
def test_an_endpoint_that_will_not_do_is_refused(endpoint: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ZmqPushConfig(endpoint=endpoint).check(FORMAT)


def test_an_endpoint_that_is_taken_is_one_clear_error(tmp_path: Path) -> None:
    with closing(pusher("tcp://127.0.0.1:*", bind=True)) as first, pytest.raises(ValueError, match=r"cannot use .*another"):
        pusher(first.endpoint, bind=True)


def test_another_pipeline_receives_the_stream_packet_for_packet(tmp_path: Path) -> None:
    got: list[Packet] = []
    receiver: Any = ZmqReceiveConfig(bind=f"ipc://{tmp_path}/in", pattern="pull", shape=(4,)).prepare()(None)

    def receive() -> None:
        with closing(receiver):
            got.extend(found for found in receiver.packets() if found.n)

    reader = threading.Thread(target=receive)
    reader.start()
    with closing(pusher(f"ipc://{tmp_path}/in")) as sink:
        for number in range(50):
            sink.write(packet(number))
    reader.join()
    assert [found.t_us.tolist() for found in got] == [[number * 10 + 3] for number in range(50)]


def test_an_encrypted_stream_arrives_and_a_receiver_with_another_key_gets_nothing(tmp_path: Path) -> None:
    public, secret = zmq.auth.create_certificates(tmp_path, "receiver")
    other, _ = zmq.auth.create_certificates(tmp_path, "other")
    receiving = ZmqReceiveConfig(bind="tcp://127.0.0.1:*", pattern="pull", shape=(4,), curve_certificate=Path(secret))
    receiver: Any = receiving.prepare()(None)
    with closing(receiver) as inbox:
        stream = inbox.packets()
        endpoint = inbox.endpoint
        with closing(pusher(endpoint, curve_server_key=Path(other), connect_timeout_s=0.3)) as sink, \
                pytest.raises(ValueError, match="no receiver came"):
            sink.write(packet(0))
        with closing(pusher(endpoint, curve_server_key=Path(public), linger_s=0.2)) as sink:
            sink.write(packet(0))
        assert same_events(next(found for found in stream if found.n), packet(0))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the keys of a server, a friend and a stranger, and one of those who are let in: the friend."""
    for name in ("server", "friend", "stranger"):
        zmq.auth.create_certificates(tmp_path, name)
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "friend.key").write_bytes((tmp_path / "friend.key").read_bytes())
    return tmp_path


def test_a_sink_that_binds_encrypts_and_lets_in_known_receivers_alone(keys: Path) -> None:
    sending = {"bind": True, "curve_certificate": keys / "server.key_secret", "curve_clients": keys / "clients"}
    receiving = {"pattern": "pull", "shape": (4,), "curve_server_key": keys / "server.key"}
    with closing(pusher("tcp://127.0.0.1:*", **sending, connect_timeout_s=0.3)) as sink:
        stranger: Any = ZmqReceiveConfig.model_validate(
            {"connect": sink.endpoint, "curve_certificate": keys / "stranger.key_secret", **receiving}).prepare()(None)
        with closing(stranger):
            stranger.packets()
            with pytest.raises(ValueError, match="no receiver came"):
                sink.write(packet(0))
    sink = pusher("tcp://127.0.0.1:*", **sending)
    friend: Any = ZmqReceiveConfig.model_validate(
        {"connect": sink.endpoint, "curve_certificate": keys / "friend.key_secret", **receiving}).prepare()(None)
    with closing(friend):
        stream = friend.packets()
        with closing(sink):
            sink.write(packet(0))
        assert same_events(next(found for found in stream if found is not None and found.n), packet(0))


def test_a_receiver_that_binds_lets_in_known_senders_alone(keys: Path) -> None:
    receiver: Any = ZmqReceiveConfig.model_validate(
        {"bind": "tcp://127.0.0.1:*", "pattern": "pull", "shape": (4,), "curve_certificate": keys / "server.key_secret",
         "curve_clients": keys / "clients"}).prepare()(None)
    with closing(receiver):
        stream = receiver.packets()
        sending = {"curve_server_key": keys / "server.key", "linger_s": 0.2}
        with closing(pusher(receiver.endpoint, **sending, curve_certificate=keys / "stranger.key_secret",
                            connect_timeout_s=0.3)) as sink, pytest.raises(ValueError, match="no receiver came"):
            sink.write(packet(0))
        with closing(pusher(receiver.endpoint, **sending, curve_certificate=keys / "friend.key_secret")) as sink:
            sink.write(packet(0))
        assert same_events(next(found for found in stream if found is not None and found.n), packet(0))


def test_who_does_not_encrypt_gets_nothing_from_a_sink_that_does(keys: Path) -> None:
    with closing(pusher("tcp://127.0.0.1:*", bind=True, curve_certificate=keys / "server.key_secret",
                        connect_timeout_s=0.3)) as sink:
        plain: Any = ZmqReceiveConfig.model_validate({"connect": sink.endpoint, "pattern": "pull", "shape": (4,)}).prepare()(None)
        with closing(plain), pytest.raises(ValueError, match="no receiver came"):
            plain.packets()
            sink.write(packet(0))


@pytest.mark.parametrize(("options", "says"), [
    ({"bind": True}, "set curve_certificate, or say insecure: true"),
    ({}, "set curve_server_key, or say insecure: true"),
    ({"bind": True, "curve_server_key": "a.key"}, "to bind, give curve_certificate"),
    ({"curve_clients": "clients"}, "to connect, give curve_server_key"),
    ({"curve_certificate": "me.key_secret"}, "encryption needs curve_server_key here"),
    ({"bind": True, "curve_clients": "clients"}, "encryption needs curve_certificate here"),
])
def test_options_of_encryption_fit_the_end_that_the_sink_is(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ZmqPushConfig.model_validate({"endpoint": "tcp://192.0.2.7:5557", **options}).check(FORMAT)
