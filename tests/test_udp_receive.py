"""udp_receive: the layouts byte by byte, and what a real sender on loopback makes of it."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager

import numpy as np
import pytest

from pipeline.stage import SourceStage
from pipeline.transport import MemoryLink
from sources.udp_receive import Decoder, UdpReceiveConfig

W, H = 640, 480
EVENTS = [(1_000_000, 5, 7, 1), (1_000_003, 639, 479, 0), (1_000_003, 0, 0, 1)]  # t us, x, y, on
UNITS = [(on * H + y) * W + x for _, x, y, on in EVENTS]


def written(layout: str, events=EVENTS) -> bytes:
    """An independent writer of the four layouts, one event at a time."""
    made = b""
    for t, x, y, on in events:
        if layout == "t64_x16_y16_on8":
            made += struct.pack("<QHHB", t, x, y, on)
        elif layout == "t32_x16_y15_on1":
            made += struct.pack("<IHH", t % 2**32, x, y << 1 | on)
        elif layout == "aestream":
            made += struct.pack("<I", (x | 0x8000) << 16 | y | (0x8000 if on else 0))
        else:
            made += struct.pack("<II", x << 16 | y | (0x8000 if on else 0), t % 2**32)
    return made


LAYOUTS = ("t64_x16_y16_on8", "t32_x16_y15_on1", "aestream", "aestream_t32")
TIMED = tuple(layout for layout in LAYOUTS if layout != "aestream")


@contextmanager
def listening(**options):
    """A source on a free port of this machine, and a socket that sends to it."""
    source = UdpReceiveConfig(**{"port": 0, "width": W, "height": H, "heartbeat_ms": 10, **options}).prepare()(None)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", source.port))
            yield source, sender
    finally:
        source.close()


def until_events(source, n):
    """The packets up to the one with which n events are there."""
    packets, count = [], 0
    for packet in source.packets():
        packets.append(packet)
        count += packet.n + packet.lost
        if count >= n:
            return packets


# --- the layouts ---


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_decoded_byte_by_byte(layout):
    t_us, unit, lost = Decoder(layout, W, H).decode([written(layout)])
    assert (unit.tolist(), lost) == (UNITS, 0)
    assert (None if t_us is None else t_us.tolist()) == (None if layout == "aestream" else [t for t, *_ in EVENTS])


@pytest.mark.parametrize("layout", ["t32_x16_y15_on1", "aestream_t32"])
def test_times_of_32_bits_go_on_after_they_wrap(layout):
    times = [2**32 - 2, 2**32 - 1, 2**32, 2**32 + 5, 2**33 + 1]
    decoder = Decoder(layout, W, H)
    got = [decoder.decode([written(layout, [(t, 0, 0, 0)])]).t_us.tolist()[0] for t in times[:4]]
    assert got == times[:4]
    assert decoder.decode([written(layout, [(2**32 + 4, 0, 0, 0)])]).t_us.tolist() == [2**32 + 4]  # a little out of order


@pytest.mark.parametrize("layout", LAYOUTS)
def test_events_outside_of_the_sensor_are_left_out_and_counted(layout):
    decoder = Decoder(layout, 6, 8)
    _, unit, lost = decoder.decode([written(layout)])
    assert (unit.size, lost, decoder.outside) == (2, 1, 1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_datagrams_that_do_not_fit_the_layout_are_left_out_and_counted(layout):
    decoder = Decoder(layout, W, H)
    _, unit, _ = decoder.decode([written(layout)[:-1], b"", written(layout)])
    assert (unit.tolist(), decoder.malformed) == (UNITS, 2)


def test_aestream_with_times_is_not_taken_for_one_without():
    decoder = Decoder("aestream", W, H)
    assert decoder.decode([written("aestream_t32")]).unit.size == 0
    assert decoder.malformed == 1


def test_any_bytes_are_decoded_without_an_error():
    rng = np.random.default_rng(0)
    for layout in LAYOUTS:
        decoder = Decoder(layout, W, H)
        for size in range(200):
            t_us, unit, _ = decoder.decode([rng.bytes(size)])
            assert t_us is None or t_us.size == unit.size
            assert not unit.size or unit.max() < 2 * H * W


# --- a sender ---


@pytest.mark.parametrize("layout", TIMED)
def test_a_senders_events_come_out_with_its_time_between_them(layout):
    with listening(layout=layout) as (source, sender):
        sender.send(written(layout))
        packets = until_events(source, 3)
    t_us = np.concatenate([p.t_us for p in packets])
    assert np.concatenate([p.unit for p in packets]).tolist() == UNITS
    assert (t_us - t_us[0]).tolist() == [0, 3, 3]
    assert packets[0].begin_us == 0
    assert [p.begin_us for p in packets[1:]] == [p.end_us for p in packets[:-1]]


def test_events_without_times_get_that_of_their_arrival():
    with listening(layout="aestream") as (source, sender):
        sender.send(written("aestream"))
        packets = until_events(source, 3)
    assert np.concatenate([p.unit for p in packets]).tolist() == UNITS
    assert len({*np.concatenate([p.t_us for p in packets]).tolist()}) == 1


def test_the_report_says_what_came_and_what_was_wrong_with_it():
    with listening() as (source, sender):
        sender.send(b"half")
        sender.send(written("t64_x16_y16_on8", [*EVENTS, (1_000_009, W, 0, 0)]))
        until_events(source, 4)
        report = source.report()
    assert (report["datagrams"], report["datagrams_malformed"], report["events_outside"], report["received"]) == (2, 1, 1, 3)
    assert report["received"] == report["sent"] + report["discarded"] + report["queued"]


def test_what_the_full_buffer_dropped_is_counted():
    """Nothing is read until all was sent, into a buffer too small for it: the next datagram tells how many are missing."""
    with listening(buffer_mb=0.001) as (source, sender):
        datagram = written("t64_x16_y16_on8", [(1, 0, 0, 0)] * 93)
        for _ in range(200):
            sender.send(datagram)
        stream = source.packets()
        got = []
        while source.report()["received"] == 0:
            got.append(next(stream))
        sender.send(datagram)
        while sum(p.n + p.lost for p in got) < 201 * 93:
            got.append(next(stream))
        report = source.report()
    assert report["datagrams_overflowed"] > 0
    assert report["datagrams"] + report["datagrams_overflowed"] == 201


def test_silence_passes_time():
    with listening(lateness_ms=1) as (source, _):
        stream = source.packets()
        packets = [next(stream) for _ in range(5)]
    assert packets[-1].end_us > 0
    assert all(p.n == 0 and p.episode == 0 for p in packets)


def test_a_stage_that_hears_nothing_can_be_stopped_and_ends_the_episode():
    config = UdpReceiveConfig(port=0, width=W, height=H, heartbeat_ms=1)
    link, asked = MemoryLink(), iter([False, True])
    stage = SourceStage("source", config, link, wait=lambda _: next(asked), barrier_due=lambda: -1,
                        save=lambda number, state: None)
    assert [stage.step(), stage.step()] == [True, False]
    stage.close()
    assert [link.receive().packet.last for _ in range(2)] == [False, True]


def test_silence_that_is_too_long_is_an_error():
    with listening(idle_timeout_s=0.05) as (source, _), pytest.raises(ValueError, match=r"nothing came to port \d+ for 0.05 s"):
        list(source.packets())


def test_a_resumed_source_goes_on_where_the_stream_was():
    with listening() as (source, sender):
        sender.send(written("t64_x16_y16_on8"))
        end_us = until_events(source, 3)[-1].end_us
        state = source.snapshot()
    again = UdpReceiveConfig(port=0, width=W, height=H).prepare()(state)
    assert next(again.packets()).begin_us == end_us
    again.close()


# --- options ---


@pytest.mark.parametrize(("options", "says"), [
    ({"host": "0.0.0.0"}, "anyone who can reach 0.0.0.0 could send"),
    ({"host": "camera"}, "host must be an address of this machine, as 127.0.0.1, got 'camera'"),
    ({"max_rate_hz": 5}, "rate_cap and max_rate_hz go together"),
])
def test_options_that_cannot_work_are_an_error(options, says):
    with pytest.raises(ValueError, match=says):
        UdpReceiveConfig(port=1, width=2, height=2, **options).check()


def test_a_port_that_is_taken_is_an_error():
    with listening() as (source, _), pytest.raises(OSError, match=f"cannot listen at 127.0.0.1 port {source.port}: Address"):
        UdpReceiveConfig(port=source.port, width=2, height=2).prepare()(None)


def test_closing_twice_is_harmless():
    with listening() as (source, _):
        source.close()
