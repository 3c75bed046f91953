"""dv_receive: a stream in pieces of any size, and real servers: one of our own, and dv-processing's where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager

import lz4.frame
import numpy as np
import pyarrow
import pytest

from pipeline.stage import SourceStage
from pipeline.transport import MemoryLink
from sources import dv_receive
from sources.dv_receive import DvReader, DvReceiveConfig
from tests.writers_aedat import Aedat4, unchanged

W, H = 64, 48
MAGIC_BYTES = 14  # of the file; a connection begins with the header behind it
EVENTS = [(1_700_000_000_000_000 + 7 * k, (3 * k) % W, (5 * k) % H, k % 2) for k in range(40)]
T_US = [t for t, *_ in EVENTS]
UNITS = [(on * H + y) * W + x for _, x, y, on in EVENTS]
COMPRESSIONS = {
    "none": (unchanged, 0), "lz4": (lz4.frame.compress, 1),
    "zstd": (lambda data: pyarrow.compress(data, codec="zstd", asbytes=True), 3),
}


def stream_of(events=EVENTS, compress=unchanged, compression=0, size=(W, H), others=False) -> bytes:
    """What a server sends: the header, then packets of 15 events, frames between them if `others`."""
    file = Aedat4(compress, compression, size)
    for at in range(0, len(events), 15):
        file.events(events[at : at + 15])
        if others:
            file.frame()
    return file.file(closed=False)[MAGIC_BYTES:]


def read(data: bytes, piece: int = 1 << 20) -> tuple[list[int], list[int], int]:
    reader = DvReader(W, H)
    parts = [reader.feed(data[at : at + piece]) for at in range(0, len(data), piece)]
    t_us, unit = (np.concatenate([part[column] for part in parts]).tolist() for column in (0, 1))
    return t_us, unit, sum(part[2] for part in parts)


@contextmanager
def served(data: bytes, **options):
    """A source, and a server on this machine that sends the data to whoever connects, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        options = {"reconnect": False, "heartbeat_ms": 10, **options}
        source = DvReceiveConfig(port=server.getsockname()[1], width=W, height=H, **options).prepare()(None)
        try:
            yield source
        finally:
            source.close()


# --- the stream ---


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_stream_is_read_in_pieces_of_any_size(name, piece):
    assert read(stream_of(EVENTS, *COMPRESSIONS[name]), piece) == (T_US, UNITS, 0)


def test_packets_of_other_streams_are_passed_over_and_counted():
    reader = DvReader(W, H)
    assert reader.feed(stream_of(others=True))[0].tolist() == T_US
    assert (reader.take_others(), reader.take_others()) == (3, 0)


def test_events_outside_of_the_sensor_are_left_out_and_counted():
    t_us, _, outside = read(stream_of([(5, W, 0, 1), (6, 1, 1, 1), (7, 0, H, 0)]))
    assert (t_us, outside) == ([6], 2)


@pytest.mark.parametrize(("data", "says"), [
    (stream_of(size=(10, 20)), "the server's sensor has 10 x 20 pixels, the options say 64 x 48"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a message of 1347703880 bytes: this is not a stream of dv-processing"),
    (b"\x10\0\0\0" + b"x" * 16, "begins with 'IOHE'"),
    (stream_of(compression=9), "compressed by method 9"),
], ids=["geometry", "another server", "another header", "compression"])
def test_what_is_no_such_stream_is_an_error(data, says):
    with pytest.raises(ValueError, match=says):
        read(data)


def test_a_flipped_byte_gives_a_clear_error_or_whole_events():
    whole, rng = stream_of(), np.random.default_rng(0)
    for _ in range(500):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            t_us, unit, _ = read(bytes(data))
        except ValueError:
            continue
        assert len(t_us) == len(unit) <= len(EVENTS)
        assert all(0 <= u < 2 * W * H for u in unit)


# --- a server ---


def test_a_servers_events_come_out_with_its_time_between_them():
    with served(stream_of()) as source:
        packets = list(source.packets())
    t_us = np.concatenate([p.t_us for p in packets])
    assert np.concatenate([p.unit for p in packets]).tolist() == UNITS
    assert (t_us - t_us[0]).tolist() == [7 * k for k in range(len(t_us))]
    assert [p.begin_us for p in packets] == [0, *[p.end_us for p in packets[:-1]]]
    assert packets[-1].last


def test_a_server_that_comes_later_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    source = DvReceiveConfig(port=port, width=W, height=H, heartbeat_ms=10, reconnect=False).prepare()(None)
    stream = source.packets()
    assert next(stream).n == 0  # nobody is there yet
    with socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].sendall(stream_of()), daemon=True)
        thread.start()
        assert sum(p.n for p in stream) == len(EVENTS)
    source.close()


def test_a_lost_connection_is_tried_again_and_the_stream_goes_on(monkeypatch):
    monkeypatch.setattr(dv_receive, "LEAST_PAUSE_S", 0.01)
    later = [(t + 3_600_000_000, x, y, on) for t, x, y, on in EVENTS]  # of a server that was started anew, with another clock
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for events in (EVENTS, later):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(stream_of(events)[: None if events is later else -5])  # the first breaks off

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        source = DvReceiveConfig(port=server.getsockname()[1], width=W, height=H, heartbeat_ms=10, lateness_ms=1).prepare()(None)
        packets = []
        for packet in source.packets():
            packets.append(packet)
            if sum(p.n for p in packets) >= 30 + 40:
                break
        report = source.report()
        source.close()
        thread.join()
    assert np.concatenate([p.unit for p in packets]).tolist() == UNITS[:30] + UNITS
    assert [p.begin_us for p in packets] == [0, *[p.end_us for p in packets[:-1]]]
    assert packets[-1].end_us < 60_000_000  # not an hour later
    assert report["connections"] >= 2
    assert report["clock_resets"] == 1


def test_a_unix_socket_is_read(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "events"))
        server.listen()
        thread = threading.Thread(target=lambda: server.accept()[0].sendall(stream_of()), daemon=True)
        thread.start()
        source = DvReceiveConfig(path=tmp_path / "events", width=W, height=H, reconnect=False).prepare()(None)
        assert sum(p.n for p in source.packets()) == len(EVENTS)
        source.close()


def test_an_error_in_the_stream_ends_the_run_with_it():
    with served(stream_of(size=(10, 20))) as source, pytest.raises(ValueError, match="10 x 20 pixels"):
        list(source.packets())


def test_a_server_that_never_answers_is_one_clear_error(tmp_path):
    source = DvReceiveConfig(path=tmp_path / "nobody", width=W, height=H, idle_timeout_s=0.05).prepare()(None)
    with pytest.raises(ValueError, match=r"nobody answers at .*nobody for 0.05 s; is the server running\?"):
        list(source.packets())
    source.close()


def test_a_stage_that_waits_for_a_server_can_be_stopped(tmp_path):
    config = DvReceiveConfig(path=tmp_path / "nobody", width=W, height=H, heartbeat_ms=1)
    asked = iter([False, True])
    stage = SourceStage("source", config, MemoryLink(), wait=lambda _: next(asked), barrier_due=lambda: -1,
                        save=lambda number, state: None)
    assert [stage.step(), stage.step()] == [True, False]
    stage.close()


@pytest.mark.parametrize(("options", "says"), [
    ({}, "give port or path, and not both"),
    ({"port": 1, "host": "10.0.0.7"}, "10.0.0.7 is reached in plain text over a network"),
])
def test_options_that_cannot_work_are_an_error(options, says):
    with pytest.raises(ValueError, match=says):
        DvReceiveConfig(width=W, height=H, **options).check()


# --- the real peer ---

SERVER = """
import json, sys, time
import dv_processing as dv
port, compression, events = int(sys.argv[1]), sys.argv[2], json.load(sys.stdin)
stream = dv.io.Stream.EventStream(0, "events", "CAM", (64, 48))
stream.setCompression(getattr(dv.CompressionType, compression))
writer = dv.io.NetworkWriter("127.0.0.1", port, stream)
while not writer.getClientCount():
    time.sleep(0.01)
for at in range(0, len(events), 15):
    store = dv.EventStore()
    for t, x, y, on in events[at : at + 15]:
        store.push_back(t, x, y, bool(on))
    writer.writeEvents(store)
while writer.getQueuedPacketCount():
    time.sleep(0.01)
time.sleep(0.2)
"""


def python_with_dv_processing() -> str:
    """SPIKELINE_DV_PYTHON names the interpreter of an environment that holds the package: it stays out of the project's own."""
    python = os.environ.get("SPIKELINE_DV_PYTHON", shutil.which("python3") or "python3")
    probe = subprocess.run([python, "-c", "import dv_processing"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs dv-processing: `python3 -m venv dv && dv/bin/pip install dv-processing`, then "
                    "SPIKELINE_DV_PYTHON=dv/bin/python")
    return python


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "LZ4_HIGH", "ZSTD", "ZSTD_HIGH"])
def test_a_real_dv_processing_server_is_read(compression):
    python = python_with_dv_processing()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([python, "-c", SERVER, str(port), compression], stdin=subprocess.PIPE)
    server.stdin.write(json.dumps(EVENTS).encode())
    server.stdin.close()
    source = DvReceiveConfig(port=port, width=W, height=H, reconnect=False, idle_timeout_s=20).prepare()(None)
    try:
        packets = list(source.packets())
    finally:
        source.close()
        server.kill()
        server.wait()
    t_us = np.concatenate([p.t_us for p in packets])
    assert np.concatenate([p.unit for p in packets]).tolist() == UNITS
    assert (t_us - t_us[0]).tolist() == [t - T_US[0] for t in T_US]
