"""inivation_camera and prophesee_camera: on stand-ins that keep to the packages' documented ways, and on the packages' own types
where these are installed (pip install 'spikeline[cameras]')."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Packet
from sources.camera import Batch, CameraConfig, CameraSource
from sources.inivation_camera import DvCamera, InivationCameraConfig
from sources.prophesee_camera import DriverCamera, PropheseeCameraConfig

W, H = 64, 48
EVENTS = [(1_700_000_000_000_000 + 7 * k, (3 * k) % W, (5 * k) % H, k % 2) for k in range(40)]
UNITS = [(on * H + y) * W + x for _, x, y, on in EVENTS]
DV_EVENT = np.dtype({"names": ["timestamp", "x", "y", "polarity"], "formats": ["<i8", "<i2", "<i2", "i1"],
                     "offsets": [0, 8, 10, 12], "itemsize": 16})  # as dv_processing.EventStore.numpy() gives them
ND_EVENT = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])  # as neuromorphic_drivers' packets hold them


class Store:
    """As dv_processing.EventStore."""

    def __init__(self, events: list[tuple[int, ...]]) -> None:
        self._events = np.array(events, DV_EVENT)

    def isEmpty(self) -> bool:
        return not self._events.size

    def numpy(self) -> np.ndarray:
        return self._events


class DvDevice:
    """As dv_processing.io.camera.CameraInputBase. It gives its batches, then nothing, and is gone after `alive` further calls."""

    def __init__(self, batches: list[list[tuple[int, ...]]], alive: int = 1 << 30, frames: int = 0) -> None:
        self._batches, self._alive, self._frames = [Store(events) for events in batches], alive, frames
        self.interval_ms = 0.0

    def getEventResolution(self) -> tuple[int, int]:
        return W, H

    def getCameraName(self) -> str:
        return "DAVIS346_00000042"

    def getNextEventBatch(self) -> Store | None:
        return self._batches.pop(0) if self._batches else None

    def getNextFrame(self) -> object | None:
        self._frames -= 1
        return object() if self._frames >= 0 else None

    def isRunning(self) -> bool:
        self._alive -= 1
        return self._alive >= 0

    def isFrameStreamAvailable(self) -> bool:
        return self._frames > 0

    def isImuStreamAvailable(self) -> bool:
        return False

    isTriggerStreamAvailable = isImuStreamAvailable

    def setTimeInterval(self, interval: Any) -> None:
        self.interval_ms = interval.total_seconds() * 1e3


@contextmanager
def dv_package(monkeypatch: pytest.MonkeyPatch, device: DvDevice | None, *serials: str) -> Iterator[list[str]]:
    """`dv_processing` with these cameras connected; yields the serial numbers that are opened."""
    opened: list[str] = []

    def open_camera(serial: str) -> DvDevice:
        opened.append(serial)
        if device is None:
            raise RuntimeError("LIBUSB_ERROR_BUSY")
        return device

    camera = SimpleNamespace(discover=lambda: [SimpleNamespace(serialNumber=serial) for serial in serials], open=open_camera)
    monkeypatch.setitem(sys.modules, "dv_processing", SimpleNamespace(io=SimpleNamespace(camera=camera)))  # type: ignore[arg-type]
    yield opened


class Driver:
    """As neuromorphic_drivers.Device opened with an iterator_timeout: pairs of a status and a packet, None after a timeout."""

    def __init__(self, packets: list[Any], error: Exception | None = None) -> None:
        self._packets, self._error = packets, error
        self.entered = self.closed = False

    def __enter__(self) -> Driver:
        self.entered = True
        return self

    def __next__(self) -> tuple[None, Any]:
        assert self.entered
        if self._packets:
            return None, self._packets.pop(0)
        if self._error is not None:
            raise self._error
        return None, None

    def properties(self) -> Any:
        return SimpleNamespace(width=np.uint16(W), height=np.uint16(H))

    def name(self) -> Any:
        return Enum("Name", {"PROPHESEE_EVK4": "Prophesee EVK4"}).PROPHESEE_EVK4  # type: ignore[attr-defined]

    def serial(self) -> str:
        return "00042"

    def close(self) -> None:
        self.closed = True


def driver_packet(events: list[tuple[int, ...]] | None, triggers: int = 0, overflows: int = 0) -> Any:
    return SimpleNamespace(
        polarity_events=None if events is None else np.array(events, ND_EVENT),
        trigger_events=np.zeros(triggers, [("t", "<u8"), ("id", "u1"), ("rising", "?")]) if triggers else None,
        polarity_events_overflow_indices=np.zeros(overflows, np.uint64) if overflows else None,
    )


def drawn(source: Any, events: int) -> list[Packet]:
    """The packets up to the one with which so many events are there or known to be lost."""
    packets: list[Packet] = []
    for packet in source.packets():
        packets.append(packet)
        if sum(p.n + p.lost for p in packets) >= events:
            break
    return packets


def columns(packets: list[Packet]) -> tuple[list[int], list[int]]:
    t_us = np.concatenate([packet.t_us for packet in packets])
    return (t_us - t_us[0]).tolist(), np.concatenate([packet.unit for packet in packets]).tolist()


# --- iniVation ---


def test_an_inivation_cameras_events_come_out_with_its_time_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    device = DvDevice([EVENTS[:15], [], EVENTS[15:]], frames=3)
    with dv_package(monkeypatch, device, "41", "42") as opened:
        source = InivationCameraConfig(width=W, height=H, serial="42", packet_ms=2.5).prepare()(None)
    packets = drawn(source, 40)
    source.close()
    assert columns(packets) == ([7 * k for k in range(40)], UNITS)
    assert (packets[0].begin_us, [p.begin_us for p in packets[1:]]) == (0, [p.end_us for p in packets[:-1]])
    assert (opened, device.interval_ms) == (["42"], 2.5)
    report = source.report()  # type: ignore[attr-defined]
    assert (report["camera"], report["other_packets"], report["received"]) == ("DAVIS346_00000042", 3, 40)
    first_us = int(np.concatenate([p.t_us for p in packets])[0])
    assert report["sensor_us_at_0"] + first_us == EVENTS[0][0]


def test_events_outside_of_the_sensor_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with dv_package(monkeypatch, DvDevice([[(5, W, 0, 1), (6, 1, 1, 1), (7, 0, -1, 0), (9, 0, 0, 0)]]), "1"):
        source = InivationCameraConfig(width=W, height=H).prepare()(None)
    packets = drawn(source, 4)
    source.close()
    assert (sum(p.n for p in packets), sum(p.lost for p in packets)) == (2, 2)
    assert source.report()["events_outside"] == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("device", "serials", "options", "says"), [
    (DvDevice([]), (), {}, "no camera is connected, or this user may not use it"),
    (DvDevice([]), ("41", "42"), {"serial": "43"}, "no camera has serial number '43'; connected: 41, 42"),
    (None, ("41",), {}, "cannot be opened: LIBUSB_ERROR_BUSY; is another program using it"),
    (DvDevice([]), ("41",), {"width": 346}, "the camera has 64 x 48 pixels, the options say 346 x 48"),
], ids=["none", "another serial", "busy", "geometry"])
def test_an_inivation_camera_that_cannot_be_had_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, device: Any, serials: Any,
                                                                   options: dict[str, Any], says: str) -> None:
    config = InivationCameraConfig(**{"width": W, "height": H, **options})
    with dv_package(monkeypatch, device, *serials), pytest.raises(ValueError, match=says):
        config.prepare()(None)


def test_an_inivation_camera_that_is_unplugged_ends_the_run_once_its_events_are_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with dv_package(monkeypatch, DvDevice([EVENTS], alive=3), "1"):
        source = InivationCameraConfig(width=W, height=H, lateness_ms=0).prepare()(None)
    seen = 0
    with pytest.raises(ValueError, match="DAVIS346_00000042 is gone: connect it again"):
        for packet in source.packets():
            assert packet is not None
            seen += packet.n
    source.close()
    assert seen == 40


# --- Prophesee ---


def driven(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, **options: Any) -> CameraSource:
    def open_device(iterator_timeout: float, serial: str | None) -> Driver:
        if driver is None:
            raise RuntimeError("device not found")
        return driver

    package = SimpleNamespace(open=open_device)
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", package)  # type: ignore[arg-type]
    return PropheseeCameraConfig(**{"width": W, "height": H, **options}).prepare()(None)  # type: ignore[return-value]


def test_a_prophesee_cameras_events_come_out_with_its_time_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver([None, driver_packet(EVENTS[:15]), driver_packet(None, triggers=2), driver_packet(EVENTS[15:], triggers=1)])
    source = driven(monkeypatch, driver)
    packets = drawn(source, 40)
    source.close()
    assert columns(packets) == ([7 * k for k in range(40)], UNITS)
    assert (source.report()["camera"], source.report()["triggers"]) == ("Prophesee EVK4 00042", 3)
    assert driver.closed


def test_what_the_driver_had_to_drop_shows_in_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    source = driven(monkeypatch, Driver([driver_packet(EVENTS, overflows=2), driver_packet(None, overflows=1)]))
    packets = drawn(source, 43)
    source.close()
    assert (sum(p.n for p in packets), sum(p.lost for p in packets), source.report()["gaps"]) == (40, 3, 3)


@pytest.mark.parametrize(("driver", "options", "says"), [
    (None, {}, r"the first camera cannot be opened \(device not found\): plug it in"),
    (None, {"serial": "7"}, "the camera with serial number '7' cannot be opened"),
    (Driver([]), {"height": 720}, "the camera has 64 x 48 pixels, the options say 64 x 720: set width and height to that"),
], ids=["none", "another serial", "geometry"])
def test_a_prophesee_camera_that_cannot_be_had_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, driver: Any,
                                                                  options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        driven(monkeypatch, driver, **options)
    assert driver is None or driver.closed


def test_a_prophesee_camera_that_is_unplugged_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    source = driven(monkeypatch, Driver([driver_packet(EVENTS)], RuntimeError("USB transfer failed")))
    with pytest.raises(ValueError, match=r"Prophesee EVK4 00042 is gone \(USB transfer failed\): connect it again"):
        list(source.packets())
    source.close()


# --- both ---

KINDS = [(InivationCameraConfig, "dv_processing", "dv-processing"),
         (PropheseeCameraConfig, "neuromorphic_drivers", "neuromorphic-drivers")]


@pytest.mark.parametrize(("kind", "module", "package"), KINDS)
def test_a_package_that_is_not_installed_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, kind: type[CameraConfig],
                                                            module: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=rf"needs {package}: pip install 'spikeline\[cameras\]'"):
        kind(width=W, height=H).prepare()(None)


def test_a_camera_that_sees_nothing_lets_time_pass_and_may_be_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dark:
        size = (W, H)

        def read(self, wait_s: float) -> Batch | None:
            return None

        def figures(self) -> dict[str, Any]:
            return {}

        def close(self) -> None:
            pass

    config = InivationCameraConfig(width=W, height=H, idle_timeout_s=0.05, heartbeat_ms=5, lateness_ms=1)
    source = CameraSource(config, config.check(), Dark(), None)
    packets = []
    with pytest.raises(ValueError, match=r"the camera sent nothing for 0.05 s; is it covered\?"):
        for packet in source.packets():
            packets.append(packet)
    source.close()
    assert packets[-1].end_us > 0  # type: ignore[union-attr]


# --- the packages' own types ---


def test_dv_processings_own_event_stores_are_read(tmp_path: Path) -> None:
    dv = pytest.importorskip("dv_processing", reason="needs dv-processing: pip install 'spikeline[cameras]'")
    writer = dv.io.MonoCameraWriter(str(tmp_path / "camera.aedat4"), dv.io.MonoCameraWriter.EventOnlyConfig("CAM", (W, H)))
    for at in range(0, 40, 15):
        store = dv.EventStore()
        for t, x, y, on in EVENTS[at : at + 15]:
            store.push_back(t, x, y, bool(on))
        writer.writeEvents(store)
    del writer
    recording = dv.io.MonoCameraRecording(str(tmp_path / "camera.aedat4"))  # an InputBase, as a camera is one
    assert isinstance(recording, dv.io.InputBase)
    assert issubclass(dv.io.camera.CameraInputBase, dv.io.InputBase)
    config = InivationCameraConfig(width=W, height=H)
    source = CameraSource(config, config.check(), DvCamera(recording), None)
    seen: list[Packet] = []
    with pytest.raises(ValueError, match="is gone"):  # it has come to its end
        for packet in source.packets():
            assert packet is not None
            seen.append(packet)
    source.close()
    t_us, units = columns(seen)
    assert (t_us, units) == ([7 * k for k in range(40)], UNITS)


def test_dv_processing_offers_what_the_adapter_asks_of_a_camera() -> None:
    dv = pytest.importorskip("dv_processing", reason="needs dv-processing: pip install 'spikeline[cameras]'")
    asked = [name for name in vars(DvDevice) if name[0] != "_" and name[0].islower()]
    assert [name for name in asked if not hasattr(dv.io.camera.CameraInputBase, name)] == []
    assert dv.EventStore().numpy().dtype == DV_EVENT
    assert hasattr(dv.io.camera.USBDevice.DeviceDescriptor, "serialNumber")


def test_neuromorphic_drivers_own_packets_and_devices_are_as_the_adapter_takes_them() -> None:
    nd = pytest.importorskip("neuromorphic_drivers", reason="needs neuromorphic-drivers: pip install 'spikeline[cameras]'")
    packet = nd.packet.Evt3Packet()
    packet.polarity_events = np.array(EVENTS, ND_EVENT)
    packet.trigger_events = packet.polarity_events_overflow_indices = packet.trigger_events_overflow_indices = None
    assert {"polarity_events", "trigger_events", "polarity_events_overflow_indices"} <= set(nd.packet.Evt3Packet.__annotations__)
    for name in ("__enter__", "__next__", "properties", "name", "serial", "close"):
        assert hasattr(nd.device.Device, name)
    assert (nd.prophesee_evk4.Properties().width, nd.prophesee_evk4.Properties().height) == (1280, 720)
    batch = DriverCamera(Driver([packet])).read(0.1)
    assert batch is not None
    assert (batch.t_us.tolist(), batch.on.tolist()) == ([t for t, *_ in EVENTS], [bool(on) for *_, on in EVENTS])
