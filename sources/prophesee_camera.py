"""A Prophesee camera in, by the package neuromorphic-drivers; packets that meet out."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from sources.camera import Batch, Camera, CameraConfig


class PropheseeCameraConfig(CameraConfig):
    """The events of a Prophesee camera at this machine (EVK3 HD, EVK4, others that neuromorphic-drivers knows; extra `cameras`).

    Out: spikes of shape (2, height, width), ON is index 1, y as sent; width and height must be the camera's (1280 x 720 of an
    EVK4). External triggers are left out, their number in the report.

    Stream time begins at 0 when the source starts; the first event is stamped with its arrival, from there the sensor's clock
    leads (`sensor_us_at_0` in the report gives its own times back). In silence the end of the stream follows the host's clock, by
    a fit of the two clocks, less `lateness_ms`; an event that arrives later is dropped and counted in `lost`. Where the driver
    had to drop what came over USB, `lost` counts one for each gap: how many events are missing nobody knows.
    Errors: no camera, or none of this serial number; another geometry; a camera that is unplugged; silence of `idle_timeout_s`;
    neuromorphic-drivers that is not installed. A run that resumes goes on with what arrives then.

    Example: {type: prophesee_camera, width: 1280, height: 720, on_overload: latest}

    Source: neuromorphic-drivers, README ("Python", "Other open options"); checked against the types of version 0.18.2.
    """

    type: Literal["prophesee_camera"] = "prophesee_camera"

    def opened(self) -> Camera:
        try:
            import neuromorphic_drivers
        except ImportError:
            raise ValueError("prophesee_camera: needs neuromorphic-drivers: pip install 'spikeline[cameras]'") from None
        which = "the first camera" if self.serial is None else f"the camera with serial number {self.serial!r}"
        try:
            device = neuromorphic_drivers.open(iterator_timeout=self.wait_s, serial=self.serial)
        except (RuntimeError, OSError) as error:
            raise ValueError(f"prophesee_camera: {which} cannot be opened ({error}): plug it in, and install the udev rules with "
                             "neuromorphic-drivers-install-udev-rules") from None
        return DriverCamera(device)


class DriverCamera:
    """An open device of neuromorphic-drivers, whose iterator gives None when nothing came for a while."""

    def __init__(self, device: Any) -> None:
        self._device = device.__enter__()
        properties = self._device.properties()
        self.size = (int(properties.width), int(properties.height))
        self._name = f"{self._device.name().value} {self._device.serial()}"
        self._triggers = 0

    def read(self, wait_s: float) -> Batch | None:
        """The time to wait was told to the device when it was opened."""
        try:
            _, packet = next(self._device)
        except (RuntimeError, OSError, StopIteration) as error:
            reason = str(error) or "no more data"
            raise ValueError(f"prophesee_camera: {self._name} is gone ({reason}): connect it again, and start anew") from None
        if packet is None:
            return None
        self._triggers += _size(packet.trigger_events)
        gaps = _size(packet.polarity_events_overflow_indices)
        if packet.polarity_events is None:
            nothing = np.empty(0, np.int64)
            return Batch(nothing, nothing, nothing, nothing, gaps) if gaps else None
        events = packet.polarity_events
        return Batch(events["t"], events["x"], events["y"], events["on"], gaps)

    def figures(self) -> dict[str, Any]:
        return {"camera": self._name, "triggers": self._triggers}

    def close(self) -> None:
        self._device.close()


def _size(column: np.ndarray | None) -> int:
    return 0 if column is None else len(column)
