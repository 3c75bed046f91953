"""The catalog: every component by its type, in explicit tables. The only place that knows them all."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from operators.adaptive_lif import AdaptiveLIFConfig
from operators.arbiter_lines import ArbiterLinesConfig
from operators.background_activity import BackgroundActivityConfig
from operators.bernoulli import BernoulliConfig
from operators.cochlea import CochleaConfig
from operators.conv_lif import ConvLIFConfig
from operators.crop_pool import CropPoolConfig
from operators.cuba_lif import CubaLIFConfig
from operators.delay import DelayConfig
from operators.delay_motion import DelayMotionConfig
from operators.delay_taps import DelayTapsConfig
from operators.ei_lif import EILIFConfig
from operators.flatten import FlattenConfig
from operators.flicker import FlickerConfig
from operators.hold import HoldConfig
from operators.hot_pixels import HotPixelsConfig
from operators.latency import LatencyConfig
from operators.lif import LIFConfig
from operators.linear_attention import LinearAttentionConfig
from operators.mel_spikes import MelSpikesConfig
from operators.mps_lif import MPSLIFConfig
from operators.orient import OrientConfig
from operators.poisson import PoissonConfig
from operators.polarity import PolarityConfig
from operators.pool import PoolConfig
from operators.probe import ProbeConfig
from operators.quantised_conv_lif import QuantisedConvLIFConfig
from operators.quantised_lif import QuantisedLIFConfig
from operators.random_lif import RandomLIFConfig
from operators.rate_limit import RateLimitConfig
from operators.readout import ReadoutConfig
from operators.recurrent_lif import RecurrentLIFConfig
from operators.refractory import RefractoryConfig
from operators.residual import ResidualConfig
from operators.resonate import ResonateConfig
from operators.send_on_delta import SendOnDeltaConfig
from operators.square_root import SquareRootConfig
from operators.srm import SRMConfig
from operators.stcf import StcfConfig
from operators.synaptic_delay import SynapticDelayConfig
from operators.time_bins import TimeBinsConfig
from operators.time_surface import TimeSurfaceConfig
from operators.two_compartment import TwoCompartmentConfig
from operators.undistort import UndistortConfig
from operators.voxel import VoxelConfig
from pipeline.config import KINDS, Catalog
from pipeline.contract import Config, OperatorConfig, SinkConfig, SourceConfig
from sinks.arrow import ArrowConfig
from sinks.csv import CsvConfig
from sinks.hdf5 import Hdf5Config
from sinks.json_lines import JsonLinesConfig
from sinks.mqtt import MqttConfig
from sinks.parquet import ParquetConfig
from sinks.postgres import PostgresConfig
from sinks.print import PrintConfig
from sinks.record import RecordConfig
from sinks.score import ScoreConfig
from sinks.sqlite import SqliteConfig
from sinks.udp import UdpConfig
from sinks.webhook import WebhookConfig
from sinks.zmq_publish import ZmqPublishConfig
from sinks.zmq_push import ZmqPushConfig
from sources.dv_receive import DvReceiveConfig
from sources.dvs_dataset import DvsDatasetConfig
from sources.dvs_file import DvsFileConfig
from sources.dvs_scene import DvsSceneConfig
from sources.images import ImagesConfig
from sources.inivation_camera import InivationCameraConfig
from sources.labelled_intervals import LabelledIntervalsConfig
from sources.memory import MemoryConfig
from sources.merge import MergeConfig
from sources.microphone import MicrophoneConfig
from sources.prophesee_camera import PropheseeCameraConfig
from sources.recorded import RecordedConfig
from sources.shd import ShdConfig
from sources.sound_dataset import SoundDatasetConfig
from sources.sound_file import SoundFileConfig
from sources.timing_task import TimingTaskConfig
from sources.tonic import TonicConfig
from sources.udp_receive import UdpReceiveConfig
from sources.video import VideoConfig
from sources.webcam import WebcamConfig
from sources.zmq_receive import ZmqReceiveConfig

SOURCES: dict[str, type[SourceConfig]] = {
    "dvs_file": DvsFileConfig,
    "dvs_dataset": DvsDatasetConfig,
    "dvs_scene": DvsSceneConfig,
    "labelled_intervals": LabelledIntervalsConfig,
    "shd": ShdConfig,
    "sound_dataset": SoundDatasetConfig,
    "sound_file": SoundFileConfig,
    "images": ImagesConfig,
    "timing_task": TimingTaskConfig,
    "tonic": TonicConfig,
    "recorded": RecordedConfig,
    "memory": MemoryConfig,
    "merge": MergeConfig,
    "zmq_receive": ZmqReceiveConfig,
    "udp_receive": UdpReceiveConfig,
    "microphone": MicrophoneConfig,
    "dv_receive": DvReceiveConfig,
    "inivation_camera": InivationCameraConfig,
    "prophesee_camera": PropheseeCameraConfig,
    "video": VideoConfig,
    "webcam": WebcamConfig,
}

OPERATORS: dict[str, type[OperatorConfig]] = {
    "background_activity": BackgroundActivityConfig,
    "refractory": RefractoryConfig,
    "square_root": SquareRootConfig,
    "hold": HoldConfig,
    "hot_pixels": HotPixelsConfig,
    "crop_pool": CropPoolConfig,
    "polarity": PolarityConfig,
    "stcf": StcfConfig,
    "arbiter_lines": ArbiterLinesConfig,
    "flicker": FlickerConfig,
    "quantised_conv_lif": QuantisedConvLIFConfig,
    "quantised_lif": QuantisedLIFConfig,
    "rate_limit": RateLimitConfig,
    "orient": OrientConfig,
    "undistort": UndistortConfig,
    "cochlea": CochleaConfig,
    "mel_spikes": MelSpikesConfig,
    "delay_taps": DelayTapsConfig,
    "poisson": PoissonConfig,
    "bernoulli": BernoulliConfig,
    "latency": LatencyConfig,
    "send_on_delta": SendOnDeltaConfig,
    "time_bins": TimeBinsConfig,
    "time_surface": TimeSurfaceConfig,
    "voxel": VoxelConfig,
    "lif": LIFConfig,
    "synaptic_delay": SynapticDelayConfig,
    "recurrent_lif": RecurrentLIFConfig,
    "mps_lif": MPSLIFConfig,
    "cuba_lif": CubaLIFConfig,
    "conv_lif": ConvLIFConfig,
    "random_lif": RandomLIFConfig,
    "srm": SRMConfig,
    "adaptive_lif": AdaptiveLIFConfig,
    "resonate": ResonateConfig,
    "pool": PoolConfig,
    "flatten": FlattenConfig,
    "two_compartment": TwoCompartmentConfig,
    "ei_lif": EILIFConfig,
    "linear_attention": LinearAttentionConfig,
    "delay_motion": DelayMotionConfig,
    "delay": DelayConfig,
    "readout": ReadoutConfig,
    "residual": ResidualConfig,
    "probe": ProbeConfig,
}

SINKS: dict[str, type[SinkConfig]] = {
    "print": PrintConfig,
    "json_lines": JsonLinesConfig,
    "csv": CsvConfig,
    "parquet": ParquetConfig,
    "arrow": ArrowConfig,
    "hdf5": Hdf5Config,
    "sqlite": SqliteConfig,
    "record": RecordConfig,
    "score": ScoreConfig,
    "zmq_publish": ZmqPublishConfig,
    "zmq_push": ZmqPushConfig,
    "udp": UdpConfig,
    "mqtt": MqttConfig,
    "postgres": PostgresConfig,
    "webhook": WebhookConfig,
}


def make_catalog(*, custom: bool = True) -> Catalog:
    """The house's components and, unless `custom` is false, those that installed packages offer by entry points
    `spikeline.sources`, `spikeline.operators` and `spikeline.sinks`. ValueError when one of these cannot be had."""
    if not custom:
        return Catalog(SOURCES, OPERATORS, SINKS)
    tables = [_with_entry_points(kind, table) for kind, table in (("source", SOURCES), ("operator", OPERATORS), ("sink", SINKS))]
    return Catalog(*cast(Any, tables))


def _with_entry_points(kind: str, table: Mapping[str, type[Config]]) -> Mapping[str, type[Config]]:
    found = entry_points(group=f"spikeline.{kind}s")
    for point in found:
        if point.name in table:
            raise ValueError(f"{_named(point)} has the name of a component of spikeline; its package must rename it")
    return {**table, **{point.name: _load(point, kind) for point in found}} if found else table


def _load(point: EntryPoint, kind: str) -> type[Config]:
    base = KINDS[kind]
    try:
        cls = point.load()
    except Exception as error:  # whatever another's package raises while it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{_named(point)} cannot be loaded ({reason}); remove its package or use --no-custom") from None
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise ValueError(f"{_named(point)} is no {base.__name__}; remove its package or use --no-custom")
    return cls


def _named(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "an unknown package"
    return f"entry point {point.name!r} ({point.value}) of {package}"
