"""Links: order, sequence, format and end of a stream, over memory and over real ZeroMQ sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from pipeline import wire
from pipeline.packet import Format, Packet, same_events
from pipeline.transport import LinkError, MemoryLink, Message, ZmqInbox, ZmqOutbox

FORMAT = Format("spikes", (10,))


def spikes(begin_us: int, *units: int) -> Packet:
    return Packet(begin_us, begin_us + 10, np.full(len(units), begin_us), np.array(units, np.uint32))


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/link"


@pytest.fixture
def link(endpoint: str) -> Iterator[tuple[ZmqOutbox, ZmqInbox]]:
    inbox = ZmqInbox(endpoint, "camera", FORMAT, patience_ms=5000)
    outbox = ZmqOutbox(endpoint, "camera")
    yield outbox, inbox
    outbox.close()
    inbox.close()


def test_a_memory_link_gives_packets_in_order_and_then_the_end() -> None:
    link = MemoryLink()
    link.send(spikes(0, 1), 5)
    link.send(spikes(10), 6)
    link.end()
    received = [link.receive() for _ in range(4)]
    assert [message.origin_ns for message in received if isinstance(message, Message)] == [5, 6]
    assert received[2:] == ["end", None]
    assert link.seq == 1


def test_packets_arrive_equal_with_flags_and_origin(link: tuple[ZmqOutbox, ZmqInbox]) -> None:
    outbox, inbox = link
    sent = Packet(0, 10, np.array([3, 4]), np.array([9, 0], np.uint32), None, 7, True, 3, 2, 5)
    outbox.send(sent, 123)
    message = inbox.receive()
    assert isinstance(message, Message)
    assert same_events(message.packet, sent)
    got = message.packet
    assert (got.episode, got.last, got.label, got.lost, got.barrier, message.origin_ns) == (7, True, 3, 2, 5, 123)
    assert not got.t_us.flags.writeable


def test_the_end_arrives_after_the_last_packet(link: tuple[ZmqOutbox, ZmqInbox]) -> None:
    outbox, inbox = link
    outbox.send(spikes(0), 0)
    outbox.end()
    assert isinstance(inbox.receive(), Message)
    assert inbox.receive() == "end"


def test_nothing_in_time_is_none(endpoint: str) -> None:
    inbox = ZmqInbox(endpoint, "camera", FORMAT, patience_ms=1)
    assert inbox.receive() is None
    inbox.close()


def push(endpoint: str, frames: list[wire.Frame]) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.connect(endpoint)
    socket.send_multipart(frames)
    socket.close()
    context.term()


def encoded(packet: Packet, seq: int, stream: str = "camera") -> list[wire.Frame]:
    return wire.encode(packet, topic=b"", stream_id=wire.stream_id(stream), seq=seq, origin_ns=0)


@pytest.mark.parametrize(("frames", "said"), [
    (encoded(spikes(0), seq=2), r"message 0 was due, 2 came \(2 lost\)"),
    (encoded(spikes(0), seq=0, stream="microphone"), "a message of another stream"),
    (encoded(spikes(0, 10), seq=0), "unit 10 lies outside of spikes of shape 10"),
    (encoded(Packet(0, 10, np.array([10]), np.array([1], np.uint32)), seq=0), r"leave the interval \[0, 10\)"),
    (wire.encode_end(topic=b"", stream_id=wire.stream_id("camera"), seq=4), r"message -1 was due, 4 came \(5 lost\)"),
    ([b"", b"noise"], "header"),
])
def test_what_does_not_fit_the_stream_is_a_named_error(endpoint: str, frames: list[wire.Frame], said: str) -> None:
    inbox = ZmqInbox(endpoint, "camera", FORMAT, patience_ms=5000)
    push(endpoint, frames)
    with pytest.raises((LinkError, ValueError), match=said):
        inbox.receive()
    inbox.close()


def test_a_full_link_waits_and_loses_nothing(endpoint: str) -> None:
    waited: list[float] = []
    inbox = ZmqInbox(endpoint, "camera", FORMAT, high_water=2, patience_ms=5000)
    outbox = ZmqOutbox(endpoint, "camera", high_water=2, waited=waited.append)
    big = Packet(0, 10, np.zeros(100_000, np.int64), np.zeros(100_000, np.uint32))  # more than a socket's buffer holds

    def send_all() -> None:
        for _ in range(40):
            outbox.send(big, 0)
        outbox.end()

    sender = threading.Thread(target=send_all)
    sender.start()
    time.sleep(0.2)
    assert sender.is_alive()
    received = 0
    while inbox.receive() != "end":
        received += 1
    sender.join()
    assert received == 40
    assert sum(waited) > 0
    outbox.close()
    inbox.close()


def test_a_resumed_link_goes_on_with_the_next_number(endpoint: str) -> None:
    inbox = ZmqInbox(endpoint, "camera", FORMAT, seq=4, patience_ms=5000)
    outbox = ZmqOutbox(endpoint, "camera", seq=4)
    outbox.send(spikes(0), 0)
    assert isinstance(inbox.receive(), Message)
    assert inbox.seq == outbox.seq == 5
    outbox.close()
    inbox.close()
