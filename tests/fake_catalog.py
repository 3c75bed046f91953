"""A small catalog of components that only check and never run, for the tests of configuration and graph."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SerializeAsAny

from pipeline.config import Catalog
from pipeline.contract import FilePath, OperatorConfig, ReplayConfig, SinkConfig, SourceConfig
from pipeline.packet import Format


class CameraConfig(ReplayConfig):
    """A camera of height x width pixels."""

    type: Literal["camera"] = "camera"
    height: int = Field(8, ge=1)
    width: int = Field(8, ge=1)
    path: FilePath | None = Field(None, description="a recording")

    def check(self) -> Format:
        if self.path is not None and not self.path.exists():
            raise ValueError(f"{self.path}: no such file")
        return Format("spikes", (2, self.height, self.width))


class StackConfig(SourceConfig):
    """Several sources."""

    type: Literal["stack"] = "stack"
    sources: tuple[SerializeAsAny[SourceConfig], ...] = Field(min_length=2, description="the parts")

    def check(self) -> Format:
        return Format("spikes", (len(self.sources), *self.sources[0].check().shape))


class WindowConfig(OperatorConfig):
    """Passes everything on."""

    type: Literal["window"] = "window"
    window_ms: float = Field(5.0, gt=0, description="length of the window")
    mode: Literal["keep", "drop"] | float = Field("keep", description="what to do")
    to: tuple[int, int] | None = Field(None, description="a size")
    size: Literal["all"] | tuple[int, int, int] = Field("all", description="another")

    def check(self, upstream: Format) -> Format:
        return upstream


class LayerConfig(OperatorConfig):
    """Ten neurons that take 128 inputs."""

    type: Literal["layer"] = "layer"
    model: FilePath | None = Field(None, description="trained model")
    layer: str = Field(description="name of the layer in the model")

    def check(self, upstream: Format) -> Format:
        if upstream.size != 128:
            raise ValueError(f"the layer has 128 inputs, got {upstream}")
        return Format("spikes", (10,), 1000)


class BodyConfig(OperatorConfig):
    """Holds operators."""

    type: Literal["body"] = "body"
    body: tuple[SerializeAsAny[OperatorConfig], ...] = Field(min_length=1, description="the parts")

    def check(self, upstream: Format) -> Format:
        for part in self.body:
            upstream = part.check(upstream)
        return upstream


class FileConfig(SinkConfig):
    """Writes a file."""

    type: Literal["file"] = "file"
    path: FilePath = Field(description="the file")

    def check(self, upstream: Format) -> None:
        if upstream.size > 1000:
            raise ValueError(f"takes 1000 units at most, got {upstream}")


CATALOG = Catalog(
    sources={"camera": CameraConfig, "stack": StackConfig},
    operators={"window": WindowConfig, "layer": LayerConfig, "body": BodyConfig},
    sinks={"file": FileConfig},
)
