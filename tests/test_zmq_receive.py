"""zmq_receive: what comes out of it when a real sender on loopback plays by the rules, and when it does not."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import zmq
import zmq.auth

from pipeline import wire
from pipeline.packet import NO_VALUES, Format, Packet, same_events
from pipeline.runner import run
from pipeline.stage import SourceStage
from pipeline.transport import MemoryLink
from sinks.zmq_publish import ZmqPublishConfig
from sinks.zmq_push import ZmqPushConfig
from sources import zmq_receive
from sources.zmq_receive import Stitcher, ZmqReceiveConfig
from spikeline import load

FORMAT = Format("spikes", (4,))
RUN = [Packet(5, 10, np.array([5, 6]), np.array([0, 3], np.uint32), episode=4, label=2), Packet(10, 20, episode=4, label=2),
       Packet(20, 30, np.array([29]), np.array([1], np.uint32), episode=4, label=2, last=True)]


@contextmanager
def received_from(sink, **options):
    """A subscriber whose subscription has reached the publisher."""
    source = ZmqReceiveConfig(connect=sink.endpoint, shape=(4,), **options).prepare()(None)
    try:
        assert sink.socket.poll(10_000)
        yield source
    finally:
        source.close()


@contextmanager
def published(**options):
    sink = ZmqPublishConfig(bind="tcp://127.0.0.1:*", **options).prepare(FORMAT, "cam")(None)
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def pushed(messages, **options):
    """A pull source, bound, after a PUSH socket has sent it these messages."""
    source = ZmqReceiveConfig(bind="tcp://127.0.0.1:*", pattern="pull", shape=(4,), **options).prepare()(None)
    try:
        with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
            socket.connect(source.endpoint)
            for frames in messages:
                socket.send_multipart(frames)
            yield source
    finally:
        source.close()


def data(packet, seq, name="cam"):
    return wire.encode(packet, topic=name.encode(), stream_id=wire.stream_id(name), seq=seq, origin_ns=0)


def end(seq):
    return wire.encode_end(topic=b"cam", stream_id=wire.stream_id("cam"), seq=seq)


def format_of(format, seq=-1):
    return wire.encode_format(format, topic=b"cam", stream_id=wire.stream_id("cam"), seq=seq)


def with_events(source):
    """The packets but for the heartbeats, which come when they may."""
    return [p for p in source.packets() if p is not None and (p.n or p.end_us > p.begin_us or p.last or p.lost)]


def as_sent(got, sent):
    return all(same_events(a, b) and (a.episode, a.last, a.label, a.lost) == (b.episode, b.last, b.label, b.lost)
               for a, b in zip(got, sent, strict=True))


# --- what is sent arrives ---


@pytest.mark.parametrize("options", [{}, {"codec": 2}, {"crc": True}], ids=str)
def test_it_is_the_other_end_of_zmq_publish(options):
    with published(**options) as sink, received_from(sink) as source:
        for packet in RUN:
            sink.write(packet)
        sink.close()
        assert as_sent(with_events(source), RUN)
        counts = {"received": 3, "sent": 3, "discarded": 0, "queued": 0}
        assert source.report() == counts | {"endpoint": sink.endpoint, "packets_missed": 0, "restarts": 0}


def test_pull_takes_what_a_push_socket_sends():
    with pushed([format_of(FORMAT), *[data(p, seq) for seq, p in enumerate(RUN)], end(2)]) as source:
        assert as_sent(with_events(source), RUN)


def test_it_is_the_other_end_of_zmq_push():
    source = ZmqReceiveConfig(bind="tcp://127.0.0.1:*", pattern="pull", shape=(4,)).prepare()(None)
    sink = ZmqPushConfig(endpoint=source.endpoint).prepare(FORMAT, "cam")(None)

    def push() -> None:
        for packet in RUN:
            sink.write(packet)
        sink.close()

    pushing = threading.Thread(target=push)
    pushing.start()
    try:
        assert as_sent(with_events(source), RUN)
        pushing.join(20)
        assert not pushing.is_alive()  # the receiver hung up, so that the sink knows that all was read
    finally:
        source.close()


def test_an_episode_that_the_sender_leaves_open_is_ended():
    with pushed([data(RUN[0], 0), end(0)]) as source:
        *_, closing = source.packets()
    assert (closing.begin_us, closing.end_us, closing.n, closing.last, closing.episode, closing.label) == (10, 10, 0, True, 4, 2)


def test_a_graded_stream_keeps_its_values():
    loud = Packet(0, 5, np.array([1]), np.array([0], np.uint32), np.array([0.5], np.float32), last=True)
    with pushed([data(loud, 0), end(0)], kind="graded") as source:
        assert as_sent(with_events(source), [loud])


def test_two_pipelines_one_publishes_and_one_receives(tmp_path):
    endpoint, go = f"ipc://{tmp_path}/link", tmp_path / "go"
    events = [[1000 * k, k % 4] for k in range(50)]
    packet = {"begin_us": 0, "end_us": 60_000, "t_us": [t for t, _ in events], "unit": [u for _, u in events], "last": True}
    items = [{"pause": {"until": str(go)}}, packet]
    sender = {"source": {"type": "memory", "format": {"kind": "spikes", "shape": [4]}, "items": items},
              "sinks": [{"type": "zmq_publish", "bind": endpoint}]}
    receiver = {"source": {"type": "zmq_receive", "connect": endpoint, "shape": [4]},
                "operators": [{"type": "refractory", "period_ms": 5}],
                "sinks": [{"type": "record", "path": str(tmp_path / "got.spkl")}]}
    for name, document in (("sender", sender), ("receiver", receiver)):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(document))

    def start_when_heard(reports):
        if reports["source"]["packets_out"]:
            go.touch()

    publishing = threading.Thread(target=run, args=(load(tmp_path / "sender.yaml"),), kwargs={"inline": True})
    publishing.start()
    summary = run(load(tmp_path / "receiver.yaml"), inline=True, on_update=start_when_heard)
    publishing.join()
    assert summary["stages"][0]["events_out"] == 50
    assert summary["episodes"] == 1


# --- silence, and who does not play by the rules ---


def test_silence_hands_out_empty_packets_and_none_between_episodes():
    with pushed([data(RUN[0], 0)], heartbeat_ms=1) as source:
        stream = source.packets()
        first = next(packet for packet in stream if packet is not None)
        beat = next(stream)
        assert (first.n, beat.begin_us, beat.end_us, beat.n, beat.episode, beat.label) == (2, 10, 10, 0, 4, 2)
    with pushed([data(RUN[2], 0)], heartbeat_ms=1) as source:
        stream = source.packets()
        assert next(packet for packet in stream if packet is not None).last
        assert next(stream) is None


def test_a_stage_that_waits_for_a_sender_can_be_stopped():
    config = ZmqReceiveConfig(bind="tcp://127.0.0.1:*", pattern="pull", shape=(4,), heartbeat_ms=1)
    asked = iter([False, False, True])
    stage = SourceStage("source", config, MemoryLink(), wait=lambda _: next(asked), barrier_due=lambda: -1,
                        save=lambda number, state: None)
    assert [stage.step(), stage.step(), stage.step()] == [True, True, False]
    stage.close()


def test_a_sender_that_vanishes_is_one_clear_error():
    with pushed([data(RUN[0], 0)], idle_timeout_s=0.05) as source, \
            pytest.raises(ValueError, match=r"nothing came from tcp://127.0.0.1:\d+ for 0.05 s; is the sender running\?"):
        list(source.packets())


@pytest.mark.parametrize(("messages", "says"), [
    ([format_of(Format("spikes", (5,)))], r"the sender's shape is \(5,\), the options say \(4,\)"),
    ([format_of(Format("graded", (4,)))], "the sender's kind is graded, the options say spikes"),
    ([data(Packet(0, 9, np.array([1]), np.array([4], np.uint32)), 0)], "unit 4 lies outside of spikes of shape 4"),
    ([data(RUN[0], 0), data(RUN[2], 2)], "packet 2 came where 1 was due"),
    ([data(RUN[0], 0), end(5)], "packet 6 came where 1 was due"),
    ([data(RUN[0], 0), data(RUN[1], 1, "other")], "a message of another stream came under 'other'"),
    ([[b"cam", b"SPKX"]], "this is not a spikeline stream"),
], ids=["shape", "kind", "unit", "gap", "tail", "two streams", "bytes"])
def test_a_sender_that_breaks_a_promise_is_an_error(messages, says):
    with pushed(messages) as source, pytest.raises(ValueError, match=says):
        list(source.packets())


# --- gaps that a publisher may leave ---


def stitched(messages, state=None):
    stitcher = Stitcher(FORMAT, strict=False, state=state)
    return stitcher, [packet for frames in messages for packet in stitcher.take(frames)]


def test_a_gap_thins_the_interval_and_counts_the_packets_missed():
    stitcher, got = stitched([data(RUN[0], 7), data(RUN[2], 9)])
    assert [(p.begin_us, p.end_us, p.n, p.lost) for p in got] == [(5, 10, 2, 0), (10, 30, 1, 1)]
    assert stitcher.missed == 1


def test_a_missed_end_of_an_episode_ends_it():
    following = Packet(0, 9, episode=5)
    _, got = stitched([data(RUN[0], 0), data(following, 3)])
    assert [(p.episode, p.begin_us, p.end_us, p.last, p.lost) for p in got] == [
        (4, 5, 10, False, 0), (4, 10, 10, True, 2), (5, 0, 9, False, 0)]


def test_a_loss_at_the_tail_shows_in_the_end():
    stitcher, got = stitched([data(RUN[0], 0), end(2)])
    assert (got[-1].last, got[-1].lost, stitcher.missed, stitcher.ended) == (True, 2, 2, True)


def test_a_publisher_that_begins_anew_ends_the_episode():
    stitcher, got = stitched([data(RUN[0], 5), format_of(FORMAT, -1), data(RUN[0], 0)])
    assert [(p.begin_us, p.end_us, p.last) for p in got] == [(5, 10, False), (10, 10, True), (5, 10, False)]
    assert (stitcher.restarts, stitcher.missed) == (1, 0)


def test_a_publisher_that_dies_and_comes_back_is_found_again(monkeypatch):
    monkeypatch.setattr(zmq_receive, "LEAST_PAUSE_MS", 10)
    got, endpoint = [], "tcp://127.0.0.1:*"
    for turn in range(2):
        with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
            publisher.bind(endpoint)
            if turn == 0:
                endpoint = publisher.getsockopt_string(zmq.LAST_ENDPOINT)
                source = ZmqReceiveConfig(connect=endpoint, shape=(4,), heartbeat_ms=10).prepare()(None)
                stream = source.packets()
            assert publisher.poll(10_000)  # the subscription
            publisher.recv()
            publisher.send_multipart(data(RUN[0], 0))
            while sum(p.n for p in got if p is not None) < 2 * (turn + 1):
                got.append(next(stream))
    source.close()
    assert source.report()["restarts"] == 1
    assert [p.last for p in got if p is not None and (p.n or p.last)] == [False, True, False]


def test_a_resumed_source_bridges_what_went_by_meanwhile():
    with pushed([data(RUN[0], 0), end(0)]) as source:
        next(packet for packet in source.packets() if packet is not None)
        state = source.snapshot()
    stitcher, got = stitched([data(RUN[2], 4)], state)
    assert [(p.begin_us, p.end_us, p.n, p.lost) for p in got] == [(10, 30, 1, 3)]
    assert stitcher.missed == 3


def test_an_overloaded_source_keeps_the_newest_and_counts_the_rest():
    packets = [Packet(k, k + 1, np.array([k]), np.array([0], np.uint32), last=k == 99) for k in range(100)]
    messages = [*[data(p, seq) for seq, p in enumerate(packets)], end(99)]
    with pushed(messages, on_overload="latest") as source:
        stream = source.packets()
        source._receiver._thread.join(10)  # all is received before the first packet is drawn
        got = [p for p in stream if p is not None and p.begin_us < p.end_us]
        assert [(p.begin_us, p.end_us, p.n, p.lost, p.last) for p in got] == [(0, 100, 1, 99, True)]
        assert source.report() | {"endpoint": ""} == {"received": 100, "sent": 1, "discarded": 99, "queued": 0, "endpoint": "",
                                                       "packets_missed": 0, "restarts": 0}


# --- options ---


@pytest.mark.parametrize(("options", "says"), [
    ({}, "give connect or bind, and not both"),
    ({"connect": "ipc://a", "bind": "ipc://b"}, "give connect or bind, and not both"),
    ({"bind": "ipc://b"}, "pattern sub connects to its publisher"),
    ({"connect": "127.0.0.1:5"}, "an endpoint is tcp://address:port or ipc://path, got '127.0.0.1:5'"),
    ({"connect": "tcp://10.0.0.7:5556"}, "in plain text over the network"),
    ({"connect": "ipc://a", "curve_certificate": "me.key_secret"}, "encryption needs curve_server_key here"),
    ({"connect": "ipc://a", "on_overload": "rate_cap"}, "rate_cap and max_rate_hz go together"),
    ({"connect": "ipc://a", "kind": "decisions", "on_overload": "rate_cap", "max_rate_hz": 1}, "would tear decisions apart"),
])
def test_options_that_cannot_work_are_an_error(options, says):
    with pytest.raises(ValueError, match=says):
        ZmqReceiveConfig(shape=(4,), **options).check()


def test_plain_text_off_this_machine_needs_to_be_asked_for():
    ZmqReceiveConfig(shape=(4,), connect="tcp://10.0.0.7:5556", insecure=True).check()
    ZmqReceiveConfig(shape=(4,), connect="tcp://10.0.0.7:5556", curve_server_key="server.key").check()


def test_check_says_the_stream_without_a_sender():
    config = ZmqReceiveConfig(connect="ipc://nobody", kind="decisions", shape=(2,), names=("left", "right"), exit_at=0.5)
    assert config.check() == Format("decisions", (2,), names=("left", "right"), exit_at=0.5)


def test_an_encrypted_stream_is_read_with_the_publishers_key(tmp_path):
    zmq.auth.create_certificates(tmp_path, "server")
    with published(curve_certificate=tmp_path / "server.key_secret") as sink, \
            received_from(sink, curve_server_key=tmp_path / "server.key") as source:
        sink.write(replace(RUN[0], last=True))
        sink.close()
        assert as_sent(with_events(source), [replace(RUN[0], last=True)])


def test_an_endpoint_that_is_taken_is_an_error():
    with pushed([]) as source, pytest.raises(OSError, match=f"cannot open {source.endpoint}: Address already in use"):
        ZmqReceiveConfig(bind=source.endpoint, pattern="pull", shape=(4,)).prepare()(None)


def test_closing_twice_is_harmless():
    with pushed([]) as source:
        source.close()


def test_values_of_silence_fit_a_graded_stream():
    with pushed([data(Packet(0, 5, value=NO_VALUES), 0)], kind="graded", heartbeat_ms=1) as source:
        stream = source.packets()
        packet = next(p for p in stream if p is not None)
        packet.check(source.format)
        next(stream).check(source.format)
