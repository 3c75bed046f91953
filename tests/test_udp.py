"""udp: what a receiver on loopback gets, byte for byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from sinks.udp import EVENTS_EACH, UdpConfig

CAMERA = Format("spikes", (2, 480, 640))
ON_AT_5_3, OFF_AT_639_479 = (480 + 3) * 640 + 5, 479 * 640 + 639
TWO = Packet(0, 2**33, np.array([7, 2**32 + 1]), np.array([ON_AT_5_3, OFF_AT_639_479], np.uint32))


@pytest.fixture
def inbox() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        found.settimeout(10)
        yield found


def sent(inbox: socket.socket, format: Format, packet: Packet, count: int = 1, **options: Any) -> list[bytes]:
    config = UdpConfig(port=inbox.getsockname()[1], **options)
    with closing(config.prepare(format, "cam")(None)) as sink:
        sink.write(packet)
        return [inbox.recv(65536) for _ in range(count)]


def test_faerys_long_layout_is_13_bytes_an_event(inbox: socket.socket) -> None:
    (datagram,) = sent(inbox, CAMERA, TWO)
    assert datagram == (b"\x07\0\0\0\0\0\0\0" b"\x05\0" b"\x03\0" b"\x01"
                        b"\x01\0\0\0\x01\0\0\0" b"\x7f\x02" b"\xdf\x01" b"\0")


def test_faerys_short_layout_is_8_bytes_an_event_and_its_time_wraps(inbox: socket.socket) -> None:
    (datagram,) = sent(inbox, CAMERA, TWO, layout="t32_x16_y15_on1")
    assert datagram == (b"\x07\0\0\0" b"\x05\0" b"\x07\0"
                        b"\x01\0\0\0" b"\x7f\x02" b"\xbe\x03")


def test_aestreams_word_has_x_above_polarity_and_y(inbox: socket.socket) -> None:
    (datagram,) = sent(inbox, CAMERA, TWO, layout="aestream")
    assert [hex(word) for word in np.frombuffer(datagram, "<u4")] == ["0x80058003", "0x827f01df"]


def test_aestreams_word_with_time_has_its_highest_bit_clear(inbox: socket.socket) -> None:
    (datagram,) = sent(inbox, CAMERA, TWO, layout="aestream_t32")
    assert [hex(word) for word in np.frombuffer(datagram, "<u4")] == ["0x58003", "0x7", "0x27f01df", "0x1"]


SIZES = {"t64_x16_y16_on8": 13, "t32_x16_y15_on1": 8, "aestream": 4, "aestream_t32": 8}


@pytest.mark.parametrize(("layout", "size"), SIZES.items())
def test_a_long_packet_is_cut_into_datagrams_of_whole_events(inbox: socket.socket, layout: str, size: int) -> None:
    packet = Packet(0, 400, np.arange(400), np.arange(400, dtype=np.uint32))
    count = -(-400 // EVENTS_EACH[layout])
    datagrams = sent(inbox, CAMERA, packet, count, layout=layout)
    assert sum(len(datagram) for datagram in datagrams) == 400 * size
    assert all(len(datagram) % size == 0 and len(datagram) <= 1209 for datagram in datagrams)


def test_a_decision_is_one_json_object_a_datagram(inbox: socket.socket) -> None:
    scores = np.array([0.1, 0.9, 0.75, 0.25], np.float32)
    packet = Packet(0, 10, np.array([4, 4, 9, 9]), np.array([0, 1, 0, 1], np.uint32), scores, 3, True, 1)
    first, second = sent(inbox, Format("decisions", (2,), names=("a", "b")), packet, 2)
    assert json.loads(first) == {"stream": "cam", "seq": 0, "episode": 3, "t_us": 4, "class": 1, "name": "b", "confidence": 0.9,
                                 "scores": [0.1, 0.9], "final": False, "label": 1}
    assert json.loads(second)["seq"] == 1
    assert json.loads(second)["final"] is True


def test_a_receiver_that_is_not_there_is_no_error() -> None:
    with closing(UdpConfig(port=9).prepare(CAMERA, "cam")(None)) as sink:
        for _ in range(3):
            sink.write(TWO)


@pytest.mark.parametrize(
    ("options", "format", "said"),
    [
        ({}, Format("spikes", (700,)), r"spikes of shape \(2, H, W\)"),
        ({"layout": "json"}, CAMERA, "put a readout before it"),
        ({"layout": "aestream"}, Format("spikes", (2, 4, 40_000)), "up to 32768"),
        ({"host": "192.0.2.7"}, CAMERA, "insecure: true"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_the_run(options: dict[str, Any], format: Format, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        UdpConfig(port=9, **options).check(format)
