"""zmq_publish: what a real observer on loopback sees."""

from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq
import zmq.auth

from pipeline.packet import Format, Packet, same_events
from pipeline.wire import decode, stream_id
from sinks.zmq_publish import ZmqPublishConfig

FORMAT = Format("spikes", (4,))
RUN = [Packet(0, 10, np.array([1, 5]), np.array([0, 3], np.uint32), episode=4, label=2), Packet(10, 20),
       Packet(20, 30, np.array([29]), np.array([1], np.uint32), last=True)]


@contextmanager
def published(state=None, format=FORMAT, **options):
    """A publisher on a free port of this machine."""
    sink = ZmqPublishConfig(**{"bind": "tcp://127.0.0.1:*", **options}).prepare(format, "cam")(state)
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def observer(sink, topic=b"cam", prepare=lambda socket: None):
    """A SUB socket whose subscription has reached the publisher."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.setsockopt(zmq.LINGER, 0)
        prepare(socket)
        socket.connect(sink.endpoint)
        socket.subscribe(topic)
        assert sink.socket.poll(10_000)
        yield socket


def received(socket) -> list:
    """All (envelope, packet) up to the end of the stream."""
    messages = []
    while not messages or messages[-1][0].kind != "end":
        messages.append(decode(socket.recv_multipart()))
    return messages


@pytest.mark.parametrize("options", [{}, {"codec": 1}, {"codec": 2}, {"crc": True}], ids=str)
def test_an_observer_gets_the_format_the_packets_and_the_end(options):
    with published(**options) as sink, observer(sink) as socket:
        for packet in RUN:
            sink.write(packet)
        sink.close()
        messages = received(socket)
    assert [(envelope.kind, envelope.seq) for envelope, _ in messages] == [
        ("format", -1), ("data", 0), ("data", 1), ("data", 2), ("end", 2)]
    assert messages[0][0].format == FORMAT
    assert {envelope.stream_id for envelope, _ in messages} == {stream_id("cam")}
    got = [packet for _, packet in messages[1:-1]]
    assert all(same_events(a, b) and a.last == b.last and a.label == b.label for a, b in zip(got, RUN, strict=True))


def test_who_subscribes_late_is_told_the_format_and_sees_in_seq_what_it_missed():
    with published() as sink:
        sink.write(RUN[0])
        sink.write(RUN[1])
        with observer(sink) as socket:
            sink.write(RUN[2])
            sink.close()
            messages = received(socket)
    assert [(envelope.kind, envelope.seq) for envelope, _ in messages] == [("format", 1), ("data", 2), ("end", 2)]


def test_the_format_is_repeated():
    with published(format_every_packets=2) as sink, observer(sink) as socket:
        for packet in RUN:
            sink.write(packet)
        sink.close()
        kinds = [envelope.kind for envelope, _ in received(socket)]
    assert kinds == ["format", "data", "data", "format", "data", "end"]


def test_an_observer_subscribes_by_topic():
    with published(topic="left eye") as sink, observer(sink, b"left eye") as socket:
        sink.write(RUN[0])
        assert socket.recv_multipart()[0] == b"left eye"


def test_a_slow_observer_loses_packets_but_not_the_end_and_never_holds_up_the_pipeline():
    n = 1 << 15
    big = Packet(0, 1, np.zeros(n, np.int64), np.zeros(n, np.uint32), np.zeros(n, np.float32))
    reads_little = {"prepare": lambda socket: socket.setsockopt(zmq.RCVHWM, 1)}
    with published(format=Format("graded", (1,)), high_water=1) as sink, observer(sink, **reads_little) as socket:
        for _ in range(200):  # 100 MB: more than all buffers on the way hold
            sink.write(big)
        numbers = []
        while socket.poll(300):
            numbers.append(decode(socket.recv_multipart())[0].seq)
        sink.close()
        end, _ = decode(socket.recv_multipart())
    assert numbers == sorted(numbers)
    assert len(numbers) < 200
    assert (end.kind, end.seq) == ("end", 199)


def test_an_observer_that_reads_nothing_does_not_keep_the_run_from_ending():
    with published(high_water=1) as sink, observer(sink, prepare=lambda socket: socket.setsockopt(zmq.RCVHWM, 1)):
        big = Packet(0, 1, np.zeros(1 << 18, np.int64), np.zeros(1 << 18, np.uint32))
        for _ in range(30):
            sink.write(big)
        sink.close()


def test_any_kind_of_stream_is_published():
    format = Format("decisions", (2,), names=("left", "right"), exit_at=0.5)
    packet = Packet(0, 5, np.array([4, 4]), np.array([0, 1], np.uint32), np.array([0.25, 0.75], np.float32), last=True)
    with published(format=format) as sink, observer(sink) as socket:
        sink.write(packet)
        sink.close()
        messages = received(socket)
    assert messages[0][0].format == format
    assert same_events(messages[1][1], packet)


def test_a_resumed_run_goes_on_with_the_next_seq():
    with published() as sink:
        sink.write(RUN[0])
        state = sink.snapshot()
        sink.write(RUN[1])
    with published(state) as sink:
        sink.write(RUN[1])
        assert sink.report() == {"endpoint": sink.endpoint, "seq": 1}


@pytest.mark.parametrize("bind", ["tcp://localhost:*", "tcp://[::1]:*", "ipc://{}/socket"])
def test_every_way_to_bind_this_machine_reaches_an_observer(bind, tmp_path):
    interfaces = Path("/proc/net/if_inet6")
    if "[::1]" in bind and not (interfaces.exists() and f"{1:032}" in interfaces.read_text()):
        pytest.skip("this system has no IPv6 loopback")
    with published(bind=bind.format(tmp_path)) as sink, observer(sink, prepare=lambda s: s.setsockopt(zmq.IPV6, 1)) as socket:
        sink.write(RUN[0])
        assert decode(socket.recv_multipart())[0].kind == "format"


def test_closing_twice_is_harmless():
    with published() as sink:
        sink.close()


@pytest.mark.parametrize("bind", ["tcp://*:5556", "tcp://0.0.0.0:5556", "tcp://192.168.1.4:5556", "tcp://[::]:5556", "tcp://eth0:1"])
def test_plain_text_to_other_machines_is_refused_unless_insecure(bind):
    with pytest.raises(ValueError, match="can be reached from other machines in plain text"):
        ZmqPublishConfig(bind=bind).check(FORMAT)
    ZmqPublishConfig(bind=bind, insecure=True).check(FORMAT)
    ZmqPublishConfig(bind=bind, curve_certificate="server.key_secret").check(FORMAT)


@pytest.mark.parametrize("bind", ["tcp://127.0.0.1:5556", "tcp://localhost:*", "tcp://[::1]:5556", "ipc:///run/cam"])
def test_this_machine_needs_no_keys(bind):
    ZmqPublishConfig(bind=bind).check(FORMAT)


@pytest.mark.parametrize("bind", ["", "5556", "tcp://127.0.0.1", "udp://127.0.0.1:5", "inproc://a", "tcp://127.0.0.1:x", "ipc://"])
def test_an_endpoint_that_is_none_is_an_error(bind):
    with pytest.raises(ValueError, match="bind must be tcp://address:port or ipc://path, got"):
        ZmqPublishConfig(bind=bind).check(FORMAT)


def test_an_endpoint_that_is_taken_is_an_error():
    with published() as first, pytest.raises(OSError, match=rf"cannot bind {first.endpoint}: Address already in use"):
        ZmqPublishConfig(bind=first.endpoint).prepare(FORMAT, "cam")(None)


def curve(certificates, own, server):
    def prepare(socket):
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(certificates / f"{own}.key_secret")
        socket.curve_serverkey, _ = zmq.auth.load_certificate(certificates / f"{server}.key")
    return prepare


@pytest.fixture
def certificates(tmp_path):
    for name in ("server", "friend", "stranger"):
        zmq.auth.create_certificates(tmp_path, name)
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "friend.key").write_bytes((tmp_path / "friend.key").read_bytes())
    return tmp_path


def test_an_observer_with_the_public_key_reads_an_encrypted_stream(certificates):
    keys = curve(certificates, "stranger", "server")
    with published(curve_certificate=certificates / "server.key_secret") as sink, observer(sink, prepare=keys) as socket:
        sink.write(RUN[0])
        sink.close()
        assert [envelope.kind for envelope, _ in received(socket)] == ["format", "data", "end"]


def test_with_curve_clients_only_they_get_in(certificates):
    options = {"curve_certificate": certificates / "server.key_secret", "curve_clients": certificates / "clients"}
    with ExitStack() as stack:
        sink = stack.enter_context(published(**options))
        context = stack.enter_context(zmq.Context())
        stranger = stack.enter_context(context.socket(zmq.SUB))
        stranger.setsockopt(zmq.LINGER, 0)
        curve(certificates, "stranger", "server")(stranger)
        monitor = stack.enter_context(stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH))
        stranger.connect(sink.endpoint)
        stranger.subscribe(b"")
        assert monitor.poll(10_000)  # the publisher has turned it away
        friend = stack.enter_context(observer(sink, prepare=curve(certificates, "friend", "server")))
        sink.write(RUN[0])
        assert decode(friend.recv_multipart())[0].kind == "format"


@pytest.mark.parametrize(("options", "says"), [
    ({"curve_certificate": "missing.key_secret"}, "curve_certificate: cannot read missing.key_secret"),
    ({"curve_clients": "clients"}, "curve_clients needs a curve_certificate"),
])
def test_keys_that_are_not_there_are_an_error(options, says):
    with pytest.raises(ValueError, match=says):
        ZmqPublishConfig(**options).prepare(FORMAT, "cam")


def test_a_public_key_file_is_no_certificate(certificates):
    with pytest.raises(ValueError, match="holds no secret key"):
        ZmqPublishConfig(curve_certificate=certificates / "server.key").prepare(FORMAT, "cam")
