"""Simulated event camera: options go in, labelled episodes of address events come out, no file needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import ReplayConfig, Source, State
from pipeline.packet import Format, Packet
from sources.cut import cut
from sources.scene_motion import MOTIONS, ZOOMS, Motion, motion_of

if TYPE_CHECKING:
    from sources.scene_camera import Recording

Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class DvsSceneConfig(ReplayConfig):
    """An event camera, simulated, that looks at moving textures; the motion is the class.

    Each pixel (x, y) sees a log intensity L(t) and fires ON when L - reference >= its ON threshold, OFF when reference - L >= its
    OFF threshold; the event is stamped with the microsecond of the crossing (L is taken as straight within a step), the
    reference becomes that L, and the pixel is blind for `refractory_us`. Noise and hot pixels fire at random times besides.

    Out: spikes of shape (2, height, width), ON is index 1, y counts down, sorted by (t_us, unit). An episode begins at 0 and has
    one motion: its label is the place in Format.names of right, down_right, down, down_left, left, up_left, up, up_right (the
    image moves that way), clockwise, counter_clockwise, approach, retreat. The names are all twelve, whatever `motions` picks.
    Speed is the root mean square over the sensor in every motion, and textures and pixels are drawn alike for all, so that
    little but the order in time tells motions apart. Every motion comes once in as many episodes as there are `motions`.

    An episode depends on `seed` and its number alone: `first_episode: 7, episodes: 1` gives episode 7 by itself. Take another
    seed for test than for training. The work of simulating grows with the number of pixels, so sensors that
    must keep real time are small. Times in us, lengths in pixels, intensities in natural log units.
    Errors: a range whose greatest lies before its least, a motion given twice, or speeds that no approach could show.

    Example: {type: dvs_scene, seed: 1, episodes: 120, pace: realtime}

    Source: pixel model of Lichtsteiner, Posch and Delbruck, A 128x128 120 dB 15 us latency asynchronous temporal contrast
    vision sensor (2008), section II; events between two frames by linear interpolation as in Rebecq, Gehrig and Scaramuzza,
    ESIM: an Open Event Camera Simulator (2018), section 3; textures that are alike at every scale: Lee, Mumford and Huang,
    Occlusion Models for Natural Images (2001).
    """

    type: Literal["dvs_scene"] = "dvs_scene"
    width: int = Field(32, ge=4, le=4096, description="columns of the sensor, pixels")
    height: int = Field(32, ge=4, le=4096, description="rows of the sensor, pixels")
    episodes: int | None = Field(None, ge=1, description="number of episodes; none: endless")
    first_episode: int = Field(0, ge=0, description="number of the first episode")
    seed: int = Field(0, ge=0, description="of all that is drawn at random")
    camera_seed: int | None = Field(
        None, ge=0, description="of thresholds and hot pixels: one camera for all episodes; none: a new one for each"
    )
    motions: tuple[Literal[MOTIONS], ...] = Field(MOTIONS, min_length=1, description="the motions that occur")  # type: ignore[valid-type]
    episode_ms: Range = Field((250.0, 400.0), description="length of an episode, drawn from this range, ms")
    speed_px_s: Range = Field((40.0, 80.0), description="speed of the image, drawn from this range, pixels per second")
    textures: tuple[Literal["leaves", "clouds", "shapes"], ...] = Field(
        ("leaves", "clouds", "shapes"), min_length=1, description="what textures are drawn from"
    )
    contrast: Range = Field((0.35, 0.5), description="standard deviation of a texture's log intensity, drawn from this range")
    threshold_on: float = Field(0.25, ge=0.01, description="rise of log intensity that makes an ON event")
    threshold_off: float = Field(0.25, ge=0.01, description="fall of log intensity that makes an OFF event")
    mismatch: float = Field(0.03, ge=0, description="standard deviation of the pixels' thresholds, log intensity")
    refractory_us: int = Field(500, ge=0, description="time for which a pixel is blind after an event, us")
    noise_hz: float = Field(1.0, ge=0, description="background events of a pixel per second")
    hot_fraction: float = Field(0.002, ge=0, le=1, description="share of hot pixels")
    hot_hz: float = Field(100.0, ge=0, description="events of a hot pixel per second")
    step_us: int = Field(1000, ge=1, description="step of the simulation, us: the image should move less than a pixel in it")

    def check(self) -> Format:
        for name in ("episode_ms", "speed_px_s", "contrast"):
            least, greatest = getattr(self, name)
            if least > greatest:
                raise ValueError(f"{name} must be [least, greatest], got [{least:g}, {greatest:g}]")
        if len(set(self.motions)) < len(self.motions):
            raise ValueError(f"motions must differ, got {', '.join(self.motions)}")
        speed_px_s, length_ms = self.speed_px_s[1], self.episode_ms[1]
        log_zoom = speed_px_s * length_ms / 1e3 / (math.hypot(self.width, self.height) / math.sqrt(12))
        if log_zoom > math.log(1e6) and not set(ZOOMS).isdisjoint(self.motions):
            raise ValueError(f"at {speed_px_s:g} px/s for {length_ms:g} ms an approach would magnify more than a million times: "
                             "lower speed_px_s or episode_ms, or leave approach and retreat out of motions")
        return Format("spikes", (2, self.height, self.width), names=MOTIONS)

    def prepare(self) -> Callable[[State | None], Source]:
        from sources.scene_camera import Recording

        format = self.check()
        return lambda state: DvsScene(self, format, Recording, state)


class DvsScene:
    """The source. Its position is (episode, at_us): a resumed episode is simulated anew up to there, faster than real time."""

    def __init__(self, config: DvsSceneConfig, format: Format, record: type[Recording], state: State | None) -> None:
        self.format = format
        self._config, self._record = config, record
        self._episode = config.first_episode if state is None else int(state["episode"])
        self._at_us = 0 if state is None else int(state["at_us"])

    def packets(self) -> Iterator[Packet]:
        config = self._config
        while config.episodes is None or self._episode < config.first_episode + config.episodes:
            motion = motion_for(config, self._episode)
            recording = self._record(config, motion, self._episode)
            for packet in cut(recording.chunks(config.packet_us), 0, config.packet_us, config.max_events, end_us=motion.length_us,
                              resume_us=self._at_us, episode=self._episode, label=MOTIONS.index(motion.name)):
                self._episode, self._at_us = packet.episode + packet.last, 0 if packet.last else packet.end_us
                yield packet

    def snapshot(self) -> State:
        return {"episode": np.array(self._episode, np.int64), "at_us": np.array(self._at_us, np.int64)}

    def close(self) -> None:
        pass


def motion_for(config: DvsSceneConfig, episode: int) -> Motion:
    """The motion of an episode, drawn from a generator of its own."""
    draw = np.random.default_rng((config.seed, 1, episode))
    width, height = config.width, config.height
    length_us = max(1, round(draw.uniform(*config.episode_ms) * 1000))
    speed_px_s = draw.uniform(*config.speed_px_s)
    middle_px = (width - 1) / 2 + draw.uniform(-0.2, 0.2) * width, (height - 1) / 2 + draw.uniform(-0.2, 0.2) * height
    turned, across, down = draw.uniform(0.0, 2 * np.pi), draw.uniform(0.0, 1024.0), draw.uniform(0.0, 1024.0)
    name = motion_of(config.seed, episode, config.motions)
    return Motion(name, length_us, speed_px_s, middle_px, turned, (across, down), width, height)
