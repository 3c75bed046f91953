"""The wire: what goes in comes out, and bytes that are not a message give one clear error, never a crash."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import wire
from pipeline.packet import Format, Packet, same_events
from pipeline.wire import HEADER, Envelope, WireError, decode, encode, encode_end, encode_format, encode_heartbeat, stream_id

CODECS = pytest.mark.parametrize("codec", [0, 1, 2])
VERSION_AT, CODEC_AT, KIND_AT, FLAGS_AT, N_AT = 4, 6, 7, 8, 12  # bytes of the header


def a_packet(**changes) -> Packet:
    fields = {"t_us": np.array([1000, 1000, 1007], np.int64), "unit": np.array([5, 2311, 0], np.uint32),
              "value": np.array([0.5, -1, 3], np.float32), "episode": 7, "last": True, "label": 3, "lost": 2, "barrier": 9}
    return Packet(1000, 2000, **{**fields, **changes})


def sent(packet: Packet, codec: int = 0, crc: bool = False) -> list[bytes]:
    """The frames as they come out of a socket."""
    return [bytes(frame) for frame in encode(packet, topic=b"events", stream_id=11, seq=42, origin_ns=99, codec=codec, crc=crc)]


def same_packet(a: Packet, b: Packet) -> bool:
    flags_equal = (a.episode, a.last, a.label, a.lost, a.barrier) == (b.episode, b.last, b.label, b.lost, b.barrier)
    return flags_equal and same_events(a, b)


def with_bytes(frames: list[bytes], at: int, new: bytes) -> list[bytes]:
    """The frames with some bytes of the header replaced."""
    header = frames[1][:at] + new + frames[1][at + len(new):]
    return [frames[0], header, *frames[2:]]


int64s = st.integers(-(2**63), 2**63 - 1)


@st.composite
def packets(draw) -> Packet:
    n = draw(st.integers(0, 20))
    steps = st.one_of(st.just(0), st.integers(0, 1000), st.integers(0, 2**33))
    begin = draw(st.integers(-(2**62), 2**62))
    t_us = begin + np.cumsum(draw(st.lists(steps, min_size=n, max_size=n)), dtype=np.int64)
    unit = np.array(draw(st.lists(st.integers(0, 2**32 - 1), min_size=n, max_size=n)), np.uint32)
    value = np.array(draw(st.lists(st.floats(width=32), min_size=n, max_size=n)), np.float32)
    end = (int(t_us[-1]) if n else begin) + draw(st.integers(1, 1000))
    return Packet(begin, end, t_us, unit, value if draw(st.booleans()) else None, draw(int64s), draw(st.booleans()),
                  draw(int64s), draw(st.integers(0, 2**64 - 1)), draw(int64s))


@CODECS
@given(packet=packets(), crc=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_packet_comes_out_as_it_went_in(codec, packet, crc):
    envelope, got = decode(sent(packet, codec, crc))
    assert same_packet(packet, got)
    assert envelope == Envelope("data", 11, 42, 99)


@CODECS
@given(times=st.lists(int64s, min_size=1, max_size=5), begin=int64s)
@settings(max_examples=100, deadline=None)
def test_times_of_any_order_and_size_survive_every_codec(codec, times, begin):
    packet = Packet(begin, 2**63 - 1, np.array(times), np.arange(len(times), dtype=np.uint32))
    assert same_packet(packet, decode(sent(packet, codec))[1])


def test_codec_0_frames_are_views_of_the_columns():
    packet = a_packet()
    frames = encode(packet, topic=b"", stream_id=0, seq=0, origin_ns=0)
    assert [np.shares_memory(np.asarray(frame), column) for frame, column in
            zip(frames[2:], (packet.t_us, packet.unit, packet.value), strict=True)] == [True, True, True]


@CODECS
def test_decoded_columns_are_read_only_even_from_a_writable_buffer(codec):
    _, got = decode([bytearray(frame) for frame in sent(a_packet(), codec)])
    assert not any(column.flags.writeable for column in (got.t_us, got.unit, got.value))


@CODECS
def test_misaligned_buffers_give_aligned_columns(codec):
    frames = [memoryview(b"\0" * 3 + frame)[3:] for frame in sent(a_packet(), codec)]
    _, got = decode(frames)
    assert same_packet(a_packet(), got)
    assert all(column.flags.aligned for column in (got.t_us, got.unit, got.value))


def test_an_aligned_frame_is_not_copied():
    frames = encode(a_packet(), topic=b"", stream_id=0, seq=0, origin_ns=0)
    _, got = decode(frames)
    assert np.shares_memory(got.t_us, np.asarray(frames[2]))


def test_strided_columns_are_sent_whole():
    table = np.array([[0, 9], [4, 9], [8, 9]], np.int64)
    packet = Packet(0, 10, table[:, 0], np.arange(6, dtype=np.uint32)[::2])
    assert same_packet(packet, decode(sent(packet))[1])


@CODECS
@pytest.mark.parametrize("value", [None, np.empty(0, np.float32)], ids=["spikes", "graded"])
def test_an_empty_packet_has_no_column_frames(codec, value):
    packet = Packet(5, 5, value=value, barrier=3)
    frames = sent(packet, codec)
    assert len(frames) == 2
    assert same_packet(packet, decode(frames)[1])


def test_codec_1_takes_8_bytes_an_event():
    frames = sent(a_packet(value=None), codec=1)
    assert [len(frame) for frame in frames[2:]] == [24]


def test_codec_2_is_smaller_on_regular_events():
    n = 4096
    packet = Packet(0, n * 10, np.arange(n, dtype=np.int64) * 10, np.full(n, 17, np.uint32))
    assert len(sent(packet, codec=2)[2]) < n


@pytest.mark.parametrize("codec", [1, 2])
def test_a_time_delta_beyond_32_bits_falls_back_to_codec_0(codec):
    packet = Packet(0, 2**33, np.array([0, 2**32], np.int64), np.zeros(2, np.uint32))
    frames = sent(packet, codec)
    assert frames[1][CODEC_AT] == 0
    assert same_packet(packet, decode(frames)[1])


@CODECS
@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
def test_every_truncation_of_every_frame_is_an_error(codec, crc):
    frames = sent(a_packet(), codec, crc)
    for number, frame in enumerate(frames[1:], 1):
        for length in range(len(frame)):
            with pytest.raises(WireError):
                decode([*frames[:number], frame[:length], *frames[number + 1:]])


@CODECS
@pytest.mark.parametrize("frame", [1, 2, 3])
def test_a_frame_that_is_too_long_is_an_error(codec, frame):
    frames = sent(a_packet(), codec)
    frames[frame] += b"\0\0\0\0\0\0\0\0"
    with pytest.raises(WireError):
        decode(frames)


@CODECS
@pytest.mark.parametrize("packet", [a_packet(), Packet(0, 10)], ids=["events", "empty"])
def test_every_flipped_header_byte_gives_an_error_or_a_packet_of_equal_size(codec, packet):
    frames = sent(packet, codec)
    for at in range(HEADER.size):
        for flip in (1, 2, 4, 0x80, 0xFF):
            try:
                envelope, got = decode(with_bytes(frames, at, bytes([frames[1][at] ^ flip])))
            except WireError:
                continue
            assert got.n == packet.n if envelope.kind == "data" else got is None


@CODECS
def test_with_a_crc_every_flipped_byte_is_an_error(codec):
    frames = sent(a_packet(), codec, crc=True)
    for number, frame in enumerate(frames[1:], 1):
        for at in range(len(frame)):
            damaged = frame[:at] + bytes([frame[at] ^ 0x10]) + frame[at + 1:]
            with pytest.raises(WireError):
                decode([*frames[:number], damaged, *frames[number + 1:]])


@given(frames=st.lists(st.binary(max_size=120), max_size=6))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_an_error(frames):
    with pytest.raises(WireError):
        decode(frames)


@CODECS
@given(payload=st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_random_payloads_under_a_good_header_give_an_error_or_a_packet_of_equal_size(codec, payload):
    frames = sent(a_packet(value=None), codec)
    try:
        _, got = decode([*frames[:2], payload, *frames[3:]])
    except WireError:
        return
    assert got.n == 3


def test_a_version_from_the_future_is_named_even_if_its_header_is_longer():
    frames = with_bytes(sent(a_packet()), VERSION_AT, struct.pack("<H", 2))
    frames[1] += b"more"
    with pytest.raises(WireError, match="reads wire version 1, got version 2"):
        decode(frames)


def test_another_protocol_is_named_as_such():
    with pytest.raises(WireError, match="not a spikeline stream"):
        decode([b"", b"GET / HTTP/1.1"])


def test_a_claimed_size_beyond_what_lz4_can_hold_allocates_nothing():
    frames = with_bytes(sent(a_packet(), codec=2), N_AT, struct.pack("<I", 2**32 - 1))
    with pytest.raises(WireError, match="cannot hold the 34359738360 bytes"):
        decode(frames)


@CODECS
def test_a_claimed_count_beyond_the_frames_is_an_error(codec):
    frames = with_bytes(sent(a_packet(), codec), N_AT, struct.pack("<I", 4))
    with pytest.raises(WireError, match=r"must have|should hold"):
        decode(frames)


@CODECS
def test_a_wrong_number_of_frames_is_an_error(codec):
    frames = sent(a_packet(), codec)
    for wrong in ([], frames[:1], frames[:2], frames[:-1], [*frames, b""]):
        with pytest.raises(WireError, match="frames"):
            decode(wrong)


def test_unknown_kinds_flags_and_codecs_are_errors():
    for at, new in ((KIND_AT, 4), (FLAGS_AT, 8), (CODEC_AT, 3)):
        with pytest.raises(WireError):
            decode(with_bytes(sent(a_packet()), at, bytes([new])))


def test_an_interval_that_runs_backwards_is_an_error():
    packet = Packet(1000, 2000)
    frames = with_bytes(sent(packet), 40, struct.pack("<qq", 2000, 1000))
    with pytest.raises(WireError, match="end_us must not lie before"):
        decode(frames)


def test_an_unknown_codec_cannot_be_asked_for():
    with pytest.raises(ValueError, match="codec must be 0, 1 or 2, got 7"):
        sent(a_packet(), codec=7)


def test_a_number_that_does_not_fit_the_header_is_an_error():
    with pytest.raises(WireError, match="does not fit the header"):
        sent(Packet(0, 10, lost=-1))


@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
@pytest.mark.parametrize(("kind", "make"), [("end", encode_end), ("heartbeat", encode_heartbeat)])
def test_end_and_heartbeat_carry_the_last_seq(kind, make, crc):
    frames = make(topic=b"t", stream_id=5, seq=77, crc=crc)
    assert decode(frames) == (Envelope(kind, 5, 77, 0), None)


def test_the_end_of_a_stream_without_packets_has_seq_minus_1():
    assert decode(encode_end(topic=b"t", stream_id=5, seq=-1))[0].seq == -1


@pytest.mark.parametrize("format", [
    Format("spikes", (2, 34, 34)),
    Format("graded", (16,), rate_hz=44100.5),
    Format("decisions", (2,), tick_us=1000, names=("left", "rechts ü"), exit_at=0.9),
], ids=lambda format: format.kind)
def test_a_format_message_carries_the_format(format):
    frames = encode_format(format, topic=b"t", stream_id=5, seq=3, crc=True)
    assert decode(frames) == (Envelope("format", 5, 3, 0, format), None)


@pytest.mark.parametrize("text", [
    b"", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b" " * (1 << 21), b'{"kind": "spikes"}', b'{"kind": ["spikes"], "shape": [2]}',
    b'{"kind": "spikes", "shape": [0]}', b'{"kind": "spikes", "shape": "12"}',
    b'{"kind": "odd", "shape": [2]}', b'{"kind": "spikes", "shape": [true]}', b'{"kind": "spikes", "shape": [2], "new": 1}',
    b'{"kind": "spikes", "shape": [2], "names": "ab"}', b'{"kind": "spikes", "shape": [2], "tick_us": "1"}',
    b'{"kind": "spikes", "shape": [2], "exit_at": []}',
], ids=lambda text: text[:40].decode("latin1"))
def test_a_format_that_is_not_one_is_an_error(text):
    frames = encode_format(Format("spikes", (3,)), topic=b"t", stream_id=5, seq=3)
    with pytest.raises(WireError, match=r"format"):
        decode([*frames[:2], text])


def test_stream_ids_are_stable_and_fill_64_bits():
    assert stream_id("camera") == 0xDF71266053DDD034
    assert stream_id("") != stream_id("camera")


def test_the_header_stays_as_published():
    """Another version of the header needs another version number."""
    assert (wire.VERSION, HEADER.size) == (1, 92)
    packet = Packet(1, 2, np.array([1]), np.array([6], np.uint32), None, 3, True, 4, 5, 6)
    header = sent(packet)[1]
    assert header[:16] == b"SPKL" + b"\1\0" + b"\0" + b"\0" + b"\1" + b"qI\0" + b"\1\0\0\0"
    assert struct.unpack("<QqqqqqqQq", header[16:88]) == (11, 42, 99, 1, 2, 3, 4, 5, 6)
