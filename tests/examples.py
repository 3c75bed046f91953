"""Examples of every component, small and seeded: what the contract suite runs its checks on.

A component of the catalog that has no row here fails the suite. Options in which `{folder}` stands get a folder's path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import component
from pipeline.model_file import save_model
from pipeline.packet import Format, Packet
from pipeline.packet_log import PacketLogWriter
from spikeline.catalog import make_catalog
from tests import contract, contract_sinks, contract_sources, seen_files, servers
from tests.contract import OperatorCase
from tests.contract_sinks import SinkCase
from tests.contract_sources import SourceCase
from tests.example_model import DVS, NAMES, model
from tests.packets import recording, recut
from tests.writers_samples import few_frames, few_gestures, few_images, few_utterances
from tests.writers_sound import few_sounds

CATALOG = make_catalog(custom=False)
SOUND = Format("graded", (12,), rate_hz=16_000.0)
VOICE = Format("graded", (1,), rate_hz=24_000.0)
HIDDEN = Format("spikes", (12,), tick_us=1000)
ANY_TIME = Format("spikes", (12,))
DECISIONS = Format("decisions", (3,), names=NAMES)
EXITING = Format("decisions", (3,), names=NAMES, exit_at=0.6)
MODEL = "{folder}/model.safetensors"
REPLAYED = {"packet_ms": 3.7}, {"packet_ms": 50.0}, {"max_events": 7}, {"packet_ms": 0.5, "max_events": 1}


@dataclass(frozen=True)
class OperatorExample:
    """Options with their type, the stream that the operator gets, and one that it must refuse (None: it takes any).

    `excluded`, here and below: checks that cannot hold for this component, each with the reason.
    """

    options: dict[str, Any]
    upstream: Format = DVS
    misfit: Format | None = DECISIONS
    excluded: dict[Callable[..., None], str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceExample:
    """Options; others under which the same events must come, in other packets; and what to put into the folder first."""

    options: dict[str, Any]
    recut: tuple[dict[str, Any], ...] = REPLAYED
    files: Callable[[Path], None] = lambda folder: None
    excluded: dict[Callable[..., None], str] = field(default_factory=dict)


@dataclass(frozen=True)
class SinkExample:
    """Options, the stream, one that the sink must refuse (None: it takes any), and where its work is to be seen."""

    options: dict[str, Any]
    upstream: Format = DECISIONS
    misfit: Format | None = DVS
    seen: Callable[[Path], Any] = lambda folder: None
    excluded: dict[Callable[..., None], str] = field(default_factory=dict)


def content_of(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).read_bytes() if (folder / name).exists() else None


def write_nmnist(path: Path, seed: int = 1) -> None:
    """A recording in the format of N-MNIST: x, y, then polarity and time as 1 + 23 bits, most significant first."""
    events = recording(Format("spikes", (2, 34, 34)), seed, begin_us=3_000)
    polarity, y, x = np.unravel_index(events.unit, (2, 34, 34))
    path.parent.mkdir(parents=True, exist_ok=True)
    word = polarity << 23 | events.t_us
    path.write_bytes(np.stack([x, y, word >> 16, word >> 8 & 255, word & 255], axis=1).astype(np.uint8).tobytes())


def one_digit(folder: Path) -> None:
    write_nmnist(folder / "1.bin")


def four_digits(folder: Path) -> None:
    """Two classes of two samples."""
    for seed, name in enumerate(("3/a.bin", "3/b.bin", "7/c.bin", "7/d.bin")):
        write_nmnist(folder / name, seed)


def recorded_packets(folder: Path) -> None:
    """Two recordings: one whose process died in an episode, and one in three parts."""
    for path, packets in (("run.spkl", decision_packets()[:5]), *part_files(decision_packets())):
        log = PacketLogWriter(folder / path, DECISIONS, "cam")
        for packet in recut_short(packets):
            log.write(packet)
        log.close()
    with open(folder / "run.spkl", "ab") as file:
        file.write(b"half")


def part_files(packets: tuple[Packet, ...]) -> Iterator[tuple[str, tuple[Packet, ...]]]:
    for number in range(3):
        yield f"parts-{number:05d}.spkl", packets[2 * number : 2 * number + 2]


def recut_short(packets: Iterable[Packet]) -> Iterator[Packet]:
    """Packets of at most 10 ms."""
    for packet in packets:
        yield from recut(packet, list(range(packet.begin_us + 10_000, packet.end_us, 10_000)))


HOLDS_ALL = {contract.check_finish_gives_all: "it holds the whole episode: what it gives depends on where that ends"}

OPERATORS = [
    OperatorExample({"type": "arbiter_lines", "window_ms": 3, "share": 0.5, "lines": "both"}),
    OperatorExample({"type": "background_activity", "window_ms": 2}),
    OperatorExample({"type": "background_activity", "window_ms": 0.5, "min_neighbours": 2, "polarities": "apart"}),
    OperatorExample({"type": "background_activity", "window_ms": 1}, ANY_TIME),
    OperatorExample({"type": "bernoulli", "tick_ms": 0.7, "scale": 0.3, "seed": 5}, SOUND, misfit=DVS),
    OperatorExample({"type": "cochlea", "channels": 70, "seed": 3}, VOICE, misfit=SOUND),
    OperatorExample({"type": "cochlea", "channels": 70, "emphasis_hz": 1000, "inhibition": 20}, VOICE, misfit=SOUND),
    OperatorExample({"type": "cochlea", "mode": "exact", "channels": 70, "level": "none", "loudness": 0.5}, VOICE, misfit=DVS),
    OperatorExample({"type": "cochlea", "channels": 70, "level": "file", "window": "hann", "loudness": 3}, VOICE, misfit=DVS,
                    excluded={contract.check_finish_gives_all: "the level of an episode is known at its end alone"}),
    OperatorExample({"type": "conv_lif", "model": MODEL, "layer": "conv"}, misfit=ANY_TIME),
    OperatorExample({"type": "conv_lif", "model": MODEL, "layer": "conv_max"}, misfit=SOUND),
    OperatorExample({"type": "conv_lif", "model": MODEL, "layer": "conv_event_mode"}),
    OperatorExample({"type": "conv_lif", "model": MODEL, "layer": "conv_depthwise"}, Format("graded", (2, 8, 8)), misfit=HIDDEN),
    OperatorExample({"type": "crop_pool", "to": [2, 3, 5]}),
    OperatorExample({"type": "crop_pool", "crop": [2, 1, 4, 6], "to": [2, 3, 2]}),
    OperatorExample({"type": "crop_pool", "to": [4]}, SOUND),
    OperatorExample({"type": "crop_pool", "crop": [2, 0, 6, 1], "to": [1, 1, 3]}, SOUND),
    OperatorExample({"type": "cuba_lif", "model": MODEL, "layer": "cuba"}, misfit=ANY_TIME),
    OperatorExample({"type": "cuba_lif", "model": MODEL, "layer": "cuba_driven"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "cuba_lif", "model": MODEL, "layer": "cuba_event_mode"}),
    OperatorExample({"type": "cuba_lif", "model": MODEL, "layer": "cuba_from_sound"}, SOUND, misfit=DVS),
    OperatorExample({"type": "adaptive_lif", "model": MODEL, "layer": "adaptive"}, misfit=ANY_TIME),
    OperatorExample({"type": "adaptive_lif", "model": MODEL, "layer": "symplectic"}, SOUND, misfit=DVS),
    OperatorExample({"type": "resonate", "model": MODEL, "layer": "resonating"}, misfit=ANY_TIME),
    OperatorExample({"type": "resonate", "model": MODEL, "layer": "resonating_driven"}, SOUND, misfit=DVS),
    OperatorExample({"type": "srm", "model": MODEL, "layer": "srm"}, misfit=ANY_TIME),
    OperatorExample({"type": "srm", "model": MODEL, "layer": "srm_driven"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "delay", "delay_ms": 5}),
    OperatorExample({"type": "delay", "delay_ms": 0}, SOUND),
    OperatorExample({"type": "delay", "delays_ms": [0, 3, 70, 0.5, 1, 2, 3, 4, 5, 6, 7, 8]}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "delay", "model": MODEL, "layer": "delay"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "delay", "model": MODEL, "layer": "any_delay"}, ANY_TIME, misfit=DVS),
    OperatorExample({"type": "delay", "model": MODEL, "layer": "long_delay"}, SOUND, misfit=DVS),
    OperatorExample({"type": "delay_taps", "taps_ms": [0, 3, 40]}),
    OperatorExample({"type": "delay_taps", "taps_ms": [5, 0.3]}, SOUND),
    OperatorExample({"type": "delay_motion", "model": MODEL, "layer": "moving"}, misfit=ANY_TIME),
    OperatorExample({"type": "delay_motion", "model": MODEL, "layer": "moving_sound"}, SOUND, misfit=DVS),
    OperatorExample({"type": "ei_lif", "model": MODEL, "layer": "balanced"}, misfit=ANY_TIME),
    OperatorExample({"type": "ei_lif", "model": MODEL, "layer": "balanced_driven"}, SOUND, misfit=DVS),
    OperatorExample({"type": "flicker", "min_hz": 50, "max_hz": 1000, "cycles": 1, "area": 2}),
    OperatorExample({"type": "flatten"}),
    OperatorExample({"type": "hold", "tick_ms": 0.7}, SOUND, misfit=DVS),
    OperatorExample({"type": "hot_pixels", "window_ms": 10, "max_rate_hz": 250, "over_neighbours": 1.2, "mask": [[3, 4]]}),
    OperatorExample({"type": "hot_pixels", "window_ms": 4, "max_rate_hz": 500, "over_neighbours": 0}, HIDDEN),
    OperatorExample({"type": "latency", "window_ms": 7}, SOUND, misfit=DVS),
    OperatorExample({"type": "latency", "law": "logarithmic", "threshold": 0.2, "tau_ms": 3}, SOUND, misfit=DVS),
    OperatorExample({"type": "lif", "model": MODEL, "layer": "hidden"}, misfit=ANY_TIME),
    OperatorExample({"type": "lif", "model": MODEL, "layer": "hidden_to_zero"}, misfit=SOUND),
    OperatorExample({"type": "lif", "model": MODEL, "layer": "event_mode"}),
    OperatorExample({"type": "lif", "model": MODEL, "layer": "driven"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "lif", "model": MODEL, "layer": "from_sound"}, SOUND, misfit=DVS),
    OperatorExample({"type": "linear_attention", "model": MODEL, "layer": "attention"}, misfit=ANY_TIME),
    OperatorExample({"type": "linear_attention", "model": MODEL, "layer": "attention_sound"}, SOUND, misfit=DVS),
    OperatorExample({"type": "mps_lif", "model": MODEL, "layer": "smoothed"}, misfit=ANY_TIME),
    OperatorExample({"type": "mps_lif", "model": MODEL, "layer": "smoothed_sound"}, SOUND, misfit=DVS),
    OperatorExample({"type": "mel_spikes", "channels": 9, "window_ms": 9, "hop_ms": 2}, VOICE, misfit=SOUND),
    OperatorExample({"type": "mel_spikes", "channels": 5, "level": "agc", "release_ms": 20}, VOICE, misfit=DVS),
    OperatorExample({"type": "orient", "how": "rotate_90"}, misfit=ANY_TIME),
    OperatorExample({"type": "orient", "how": "flip_vertical"}, Format("graded", (3, 4, 5))),
    OperatorExample({"type": "poisson", "tick_ms": 1, "max_rate_hz": 2500, "scale": 0.5}, SOUND, misfit=DVS),
    OperatorExample({"type": "polarity", "keep": "merge"}, misfit=SOUND),
    OperatorExample({"type": "polarity", "keep": "off"}),
    OperatorExample({"type": "probe", "how": "relocate", "share": 0.5}, misfit=SOUND, excluded=HOLDS_ALL),
    OperatorExample({"type": "probe", "how": "jitter", "sigma_ms": 3, "seed": 1}, HIDDEN, excluded=HOLDS_ALL),
    OperatorExample({"type": "probe", "how": "unit_jitter", "sigma_ms": 5}, HIDDEN, excluded=HOLDS_ALL),
    OperatorExample({"type": "probe", "how": "delete", "share": 0.3}, HIDDEN, excluded=HOLDS_ALL),
    OperatorExample({"type": "probe", "how": "reverse"}, excluded=HOLDS_ALL),
    OperatorExample({"type": "random_lif", "model": MODEL, "layer": "random"}),
    OperatorExample({"type": "random_lif", "model": MODEL, "layer": "random_driven"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "pool", "how": "max", "size": 2, "stride": 1}, misfit=SOUND),
    OperatorExample({"type": "pool", "how": "average", "size": [2, 4]}, Format("graded", (2, 8, 8))),
    OperatorExample({"type": "pool", "model": MODEL, "layer": "pool"}, misfit=HIDDEN),
    OperatorExample({"type": "time_bins", "bin_ms": 7.3, "bins": 4}),
    OperatorExample({"type": "time_bins", "model": MODEL, "layer": "bins"}, Format("graded", (12,))),
    OperatorExample({"type": "quantised_conv_lif", "model": MODEL, "layer": "conv_one_bit"}, misfit=SOUND),
    OperatorExample({"type": "quantised_lif", "model": MODEL, "layer": "one_bit"}, misfit=SOUND),
    OperatorExample({"type": "quantised_lif", "model": MODEL, "layer": "four_bits"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "quantised_lif", "model": MODEL, "layer": "one_bit_events"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "rate_limit", "max_rate_hz": 3000, "burst": 5}),
    OperatorExample({"type": "rate_limit", "max_rate_hz": 0.5, "burst": 30}, SOUND),
    OperatorExample({"type": "readout", "model": MODEL, "layer": "count"}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "readout", "model": MODEL, "layer": "count", "every_ms": 7, "exit_at": 0.8}, ANY_TIME),
    OperatorExample({"type": "readout", "model": MODEL, "layer": "identity", "every_ms": 3, "window_ms": 9}, HIDDEN),
    OperatorExample({"type": "readout", "model": MODEL, "layer": "membrane", "every_ms": 0.7, "temperature": 2}, ANY_TIME),
    OperatorExample({"type": "readout", "model": MODEL, "layer": "membrane", "every_ms": 5, "window_ms": 20}, SOUND),
    OperatorExample(
        {"type": "readout", "model": MODEL, "layer": "membrane", "every_ms": 2, "exit_at": 0.5, "rearm": True}, HIDDEN
    ),
    OperatorExample({"type": "readout", "model": MODEL, "layer": "max_membrane", "every_ms": 5, "window_ms": 20}, SOUND),
    OperatorExample({"type": "readout", "model": MODEL, "layer": "softmax_sum", "every_ms": 10, "exit_at": 0.99}, HIDDEN),
    OperatorExample({"type": "recurrent_lif", "model": MODEL, "layer": "recurrent"}, misfit=ANY_TIME),
    OperatorExample({"type": "recurrent_lif", "model": MODEL, "layer": "recurrent_driven"}, SOUND, misfit=DVS),
    OperatorExample({"type": "refractory", "period_ms": 5}),
    OperatorExample({"type": "refractory", "period_ms": 2}, HIDDEN, misfit=SOUND),
    OperatorExample({"type": "residual", "body": [{"type": "refractory", "period_ms": 5}, {"type": "delay", "delay_ms": 2.5}]}),
    OperatorExample({"type": "residual", "body": [{"type": "lif", "model": MODEL, "layer": "driven"}]}, HIDDEN, misfit=DVS),
    OperatorExample({"type": "send_on_delta", "delta": 1, "hysteresis": 0.5, "refractory_ms": 1}, SOUND, misfit=DVS),
    OperatorExample({"type": "square_root", "tick_ms": 5}),
    OperatorExample({"type": "square_root", "tick_ms": 3}, HIDDEN, misfit=SOUND),
    OperatorExample({"type": "stcf", "window_ms": 4, "support": 2, "radius": 2}, misfit=SOUND),
    OperatorExample({"type": "stcf", "window_ms": 4, "support": 1, "polarities": "apart"}, HIDDEN),
    OperatorExample({"type": "synaptic_delay", "model": MODEL, "layer": "synaptic"}, misfit=ANY_TIME),
    OperatorExample({"type": "synaptic_delay", "model": MODEL, "layer": "dendritic"}, SOUND, misfit=DVS),
    OperatorExample({"type": "time_surface", "every_ms": 5, "tau_ms": 3, "least": 0.05}, misfit=SOUND),
    OperatorExample({"type": "two_compartment", "model": MODEL, "layer": "compartments"}, misfit=ANY_TIME),
    OperatorExample({"type": "two_compartment", "model": MODEL, "layer": "compartments_sound"}, SOUND, misfit=DVS),
    OperatorExample({"type": "undistort", "camera": [7, 7, 3.5, 3.5], "distortion": [-0.4, 0, 0.01, 0, 0]}, misfit=HIDDEN),
    OperatorExample({"type": "voxel", "window_ms": 7, "bins": 3}, misfit=SOUND),
    OperatorExample({"type": "voxel"}, HIDDEN),
]

ITEMS = [
    {"begin_us": 0, "end_us": 50_000, "t_us": [7, 9], "unit": [1, 0], "label": 1},
    {"begin_us": 50_000, "end_us": 50_000, "label": 1},
    {"begin_us": 50_000, "end_us": 60_000, "t_us": [50_000], "unit": [7], "label": 1, "last": True, "lost": 3},
    {"begin_us": 4, "end_us": 9, "t_us": [4], "unit": [2], "episode": 1, "label": 0, "last": True},
]
SCENE = {"type": "dvs_scene", "width": 8, "height": 8, "episode_ms": [30.0, 40.0], "noise_hz": 50.0, "hot_fraction": 0.02}

NEEDS_A_SENDER = "it waits for a sender that no example has; its own tests play one"
LIVE: dict[Callable[..., None], str] = dict.fromkeys(contract_sources.SOURCE_CHECKS, NEEDS_A_SENDER)

SOURCES = [
    SourceExample({"type": "dvs_dataset", "path": "{folder}", "shuffle": True, "seed": 3}, files=four_digits),
    SourceExample(
        {"type": "dvs_dataset", "path": "{folder}", "classes": ["7", "3"], "limit": 3, "end_ms": 50, "anchor": "first_event"},
        files=four_digits,
    ),
    SourceExample({"type": "labelled_intervals", "path": "{folder}"}, files=few_gestures),
    SourceExample({"type": "labelled_intervals", "path": "{folder}", "listed_in": "{folder}/trials_to_train.txt", "end_ms": 4,
                   "shuffle": True, "classes": ["clap", "wave", "roll"]}, files=few_gestures),
    SourceExample({"type": "dvs_file", "path": "{folder}/1.bin", "loop": 2}, files=one_digit),
    SourceExample({"type": "dvs_file", "path": "{folder}/1.bin", "from_s": 0.01, "to_s": 0.04}, files=one_digit),
    SourceExample({"type": "dvs_file", "path": "{folder}/1.bin", "on_disorder": {"sort_within_ms": 5}}, files=one_digit),
    SourceExample({**SCENE, "episodes": 3}),
    SourceExample({"type": "shd", "path": "{folder}/SHD/shd_test.h5"}, files=few_utterances),
    SourceExample({"type": "shd", "path": "{folder}/SHD/shd_test.h5", "anchor": "first_spike", "offset_ms": 3,
                   "speakers": [5, 1]}, files=few_utterances),
    SourceExample({"type": "shd", "path": "{folder}/SHD/shd_test.h5", "shuffle": True, "limit": 3, "end_ms": 40},
                  files=few_utterances),
    SourceExample({"type": "sound_dataset", "path": "{folder}/flat", "rate_hz": 12_000, "lead_ms": 3, "shuffle": True},
                  files=few_sounds),
    SourceExample({"type": "sound_dataset", "path": "{folder}/nested", "files": "*.wav", "exclude": ["b*"], "tail_ms": 7},
                  files=few_sounds),
    SourceExample({"type": "sound_file", "path": "{folder}/flat/0_ann_1.wav", "loop": 2}, files=few_sounds),
    SourceExample({"type": "sound_file", "path": "{folder}/nested/one/a.wav", "rate_hz": 9_000, "from_s": 0.004, "to_s": 0.05},
                  files=few_sounds),
    SourceExample({"type": "images", "path": "{folder}/few-images-idx3-ubyte.gz", "presentation_ms": 9.5, "threshold": 0.3,
                   "shuffle": True}, files=few_images),
    SourceExample({"type": "tonic", "dataset": "SHD", "save_to": "{folder}", "options": {"train": False}}, files=few_utterances),
    SourceExample({**SCENE, "episodes": 2, "first_episode": 5, "seed": 4, "camera_seed": 1}),
    SourceExample({"type": "timing_task", "task": "isi", "samples": 3}),
    SourceExample({"type": "timing_task", "task": "cross_channel_isi", "max_interval_ms": 300, "samples": 4, "shuffle": True}),
    SourceExample({"type": "timing_task", "task": "coincidence", "overlap": 0.3, "samples": 2, "duration_ms": 200}),
    SourceExample({"type": "memory", "shape": [9], "events": [[0, 3], [900, 1], [900, 0], [9_000, 8]], "end_ms": 9.5}),
    SourceExample({"type": "memory", "shape": [12], "events": [[5, 3, 0.5], [5, 1, -2.0]]}),
    SourceExample({"type": "memory", "shape": [2, 4], "items": ITEMS}, recut=(),
                  excluded={contract_sources.check_packets_respect_their_length: "items are handed out as they are given"}),
    SourceExample({"type": "recorded", "path": "{folder}/run.spkl"}, recut=(), files=recorded_packets),
    SourceExample({"type": "recorded", "path": "{folder}/parts.spkl", "from_s": 0.012}, recut=(), files=recorded_packets),
    SourceExample({"type": "zmq_receive", "bind": "ipc://{folder}/in", "pattern": "pull", "shape": [4]}, recut=(), excluded=LIVE),
    SourceExample({"type": "microphone"}, recut=(), excluded=LIVE),
    SourceExample({"type": "udp_receive", "port": 0, "width": 8, "height": 8}, recut=(), excluded=LIVE),
    SourceExample({"type": "dv_receive", "path": "{folder}/events", "width": 8, "height": 8}, recut=(), excluded=LIVE),
    SourceExample({"type": "inivation_camera", "width": 8, "height": 8}, recut=(), excluded=LIVE),
    SourceExample({"type": "prophesee_camera", "width": 8, "height": 8}, recut=(), excluded=LIVE),
    SourceExample({"type": "webcam", "width": 8, "height": 8}, recut=(), excluded=LIVE),
    SourceExample({"type": "video", "path": "{folder}/few.avi", "width": 8, "height": 6, "frame_hz": 200}, files=few_frames),
    SourceExample({"type": "merge", "sources": [{**SCENE, "episodes": 2}, {**SCENE, "episodes": 3, "camera_seed": 7}]}),
]

RECORDS_SILENCE = {contract_sinks.check_sink_takes_empty_packets: "time that passes is recorded too: each is a packet"}
SINKS = [
    SinkExample({"type": "print"}),
    SinkExample({"type": "print", "final_only": True}, EXITING),
    SinkExample({"type": "print", "least_confidence": 0.4, "changes": True}),
    SinkExample({"type": "json_lines", "path": "{folder}/decisions.jsonl"}, seen=content_of("decisions.jsonl")),
    SinkExample({"type": "csv", "path": "{folder}/decisions.csv"}, misfit=None, seen=content_of("decisions.csv")),
    SinkExample({"type": "parquet", "path": "{folder}/d.parquet"}, misfit=None, seen=seen_files.parquet("d.parquet")),
    SinkExample({"type": "arrow", "path": "{folder}/d.arrow"}, EXITING, misfit=None, seen=seen_files.arrow("d.arrow")),
    SinkExample({"type": "hdf5", "path": "{folder}/d.h5"}, misfit=None, seen=seen_files.hdf5("d.h5")),
    SinkExample({"type": "sqlite", "path": "{folder}/d.sqlite"}, seen=seen_files.sqlite("d.sqlite")),
    SinkExample({"type": "record", "path": "{folder}/run.spkl", "parquet": True}, misfit=None,
                seen=seen_files.recording("run.spkl"), excluded=RECORDS_SILENCE),
    SinkExample({"type": "record", "path": "{folder}/run.spkl", "rotate_s": 0.01}, misfit=None,
                seen=seen_files.recording("run.spkl"), excluded=RECORDS_SILENCE),
    SinkExample({"type": "score"}),
    SinkExample({"type": "score", "report_json": "{folder}/score.json"}, EXITING, seen=content_of("score.json")),
    SinkExample({"type": "zmq_publish", "bind": "ipc://{folder}/out"}, misfit=None,
                excluded={contract_sinks.check_sink_takes_empty_packets: "time that passes is published too: each is a packet"}),
    SinkExample({"type": "zmq_push", "endpoint": "{puller}"}, misfit=None, seen=servers.pulled,
                excluded={contract_sinks.check_sink_takes_empty_packets: "time that passes is pushed too: each is a packet"}),
    SinkExample({"type": "udp", "port": 9}, misfit=HIDDEN),
    SinkExample({"type": "mqtt", "port": "{mqtt_port}", "topic": "test/{folder_name}"}, seen=servers.mqtt_messages),
    SinkExample({"type": "postgres", "port": "{postgres_port}", "user": "tester"}, EXITING, seen=servers.postgres_rows),
    SinkExample({"type": "webhook", "url": "http://127.0.0.1:{http_port}/{folder_name}"}, seen=servers.posted),
]


def operator_case(example: OperatorExample, folder: Path) -> OperatorCase:
    write_model(folder)
    rebuild: Callable[..., Any] = partial(component, "operator", catalog=CATALOG)
    episodes = recording(example.upstream, 1), recording(example.upstream, 2)
    return OperatorCase(rebuild(in_folder(example.options, folder)), example.upstream, *episodes, example.misfit, rebuild)


def source_case(example: SourceExample, folder: Path) -> SourceCase:
    example.files(folder)
    rebuild: Callable[..., Any] = partial(component, "source", catalog=CATALOG)
    return SourceCase(rebuild(in_folder(example.options, folder)), example.recut, rebuild)


def sink_case(example: SinkExample, folder: Path) -> SinkCase:
    rebuild: Callable[..., Any] = partial(component, "sink", catalog=CATALOG)
    config = rebuild(in_folder(example.options, folder))
    return SinkCase(config, folder, example.upstream, decision_packets(), example.misfit, example.seen, rebuild)


def in_folder(options: Any, folder: Path) -> Any:
    """The options with `{folder}` and the addresses of receivers filled in, at any depth."""
    if isinstance(options, dict):
        return {key: in_folder(value, folder) for key, value in options.items()}
    if isinstance(options, list):
        return [in_folder(value, folder) for value in options]
    return servers.fill(options, folder) if isinstance(options, str) else options


def write_model(folder: Path) -> None:
    save_model(folder / "model.safetensors", model())


def decision_packets() -> tuple[Packet, ...]:
    """Two labelled episodes of decisions, of 30 ms each, with packets of none, one and several decisions."""
    rng = np.random.default_rng(3)
    packets = []
    for episode in range(2):
        for begin_us, end_us, moments in ((0, 5_000, []), (5_000, 12_000, [7_999]), (12_000, 30_000, [15_999, 23_999, 29_999])):
            scores = rng.dirichlet(np.ones(3), len(moments)).astype(np.float32).ravel()
            t_us, unit = np.repeat(np.array(moments, np.int64), 3), np.tile(np.arange(3, dtype=np.uint32), len(moments))
            packets.append(Packet(begin_us, end_us, t_us, unit, scores, episode, last=end_us == 30_000, label=episode))
    return tuple(packets)
