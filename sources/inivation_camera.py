"""An iniVation camera in, by the package dv-processing; packets that meet out."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from sources.camera import Batch, Camera, CameraConfig

POLL_S = 0.0005  # the package has no call that waits


class InivationCameraConfig(CameraConfig):
    """The events of an iniVation camera (DVS128, DAVIS, DVXplorer) at this machine, by dv-processing (extra `cameras`).

    Out: spikes of shape (2, height, width), ON is index 1, y as sent; width and height must be the camera's.
    Frames, IMU samples and triggers are read and left out, their number in the report.

    Stream time begins at 0 when the source starts; the first event is stamped with its arrival, from there the sensor's clock
    leads (`sensor_us_at_0` in the report gives its own times back). In silence the end of the stream follows the host's clock, by
    a fit of the two clocks, less `lateness_ms`; an event that arrives later is dropped and counted in `lost`. What the driver
    itself drops when its buffers are full it does not tell.
    Errors: no camera, or none of this serial number; another geometry; a camera that is unplugged; silence of `idle_timeout_s`;
    dv-processing that is not installed. A run that resumes goes on with what arrives then.

    Example: {type: inivation_camera, width: 346, height: 260, on_overload: latest}

    Source: iniVation, dv-processing, "Reading data: live camera"; checked against the types of version 2.0.4.
    """

    type: Literal["inivation_camera"] = "inivation_camera"
    packet_ms: float = Field(1.0, gt=0, le=100, description="how often the camera hands its events over, ms")

    def opened(self) -> Camera:
        try:
            import dv_processing
        except ImportError:
            raise ValueError("inivation_camera: needs dv-processing: pip install 'spikeline[cameras]'") from None
        return DvCamera(_open(dv_processing, self.serial, self.packet_ms))


class DvCamera:
    """Anything that is a dv_processing.io.InputBase: a camera, and for tests a recording."""

    def __init__(self, device: Any) -> None:
        self._device, self._name = device, str(device.getCameraName())
        size = device.getEventResolution()
        if size is None:
            raise ValueError(f"inivation_camera: {self._name} gives no events")
        self.size = (int(size[0]), int(size[1]))
        others = (("Frame", "getNextFrame"), ("Imu", "getNextImuBatch"), ("Trigger", "getNextTriggerBatch"))
        self._unread = [getattr(device, read) for kind, read in others if getattr(device, f"is{kind}StreamAvailable")()]
        self._others = 0

    def read(self, wait_s: float) -> Batch | None:
        until_s = time.monotonic() + wait_s
        for other in self._unread:  # which would fill their buffers
            while other() is not None:
                self._others += 1
        while (store := self._device.getNextEventBatch()) is None or store.isEmpty():
            if not self._device.isRunning():
                raise ValueError(f"inivation_camera: {self._name} is gone: connect it again, and start anew")
            if time.monotonic() >= until_s:
                return None
            time.sleep(POLL_S)
        events = store.numpy()
        return Batch(events["timestamp"], events["x"], events["y"], events["polarity"])

    def figures(self) -> dict[str, Any]:
        return {"camera": self._name, "other_packets": self._others}

    def close(self) -> None:
        self._device = None  # the package closes what nobody holds


def _open(package: Any, serial: str | None, packet_ms: float) -> Any:
    camera = package.io.camera
    try:
        found = [str(descriptor.serialNumber) for descriptor in camera.discover()]
        if not found:
            raise ValueError("inivation_camera: no camera is connected, or this user may not use it: plug it in, and see to the "
                             "udev rules")
        if serial is not None and serial not in found:
            raise ValueError(f"inivation_camera: no camera has serial number {serial!r}; connected: {', '.join(found)}")
        device = camera.open(serial or found[0])
        device.setTimeInterval(timedelta(milliseconds=packet_ms))
    except (RuntimeError, IndexError, OSError) as error:
        raise ValueError(f"inivation_camera: the camera cannot be opened: {error}; is another program using it?") from None
    return device
