"""Whether neighbours fit, what stage runs what, and what a digest depends on."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import PipelineConfig, StagesConfig
from pipeline.config_errors import ConfigErrors
from pipeline.contract import OperatorConfig
from pipeline.graph import Graph, build, load, stage_plan
from pipeline.layer_spec import LIFSpec
from pipeline.model_file import Model, save_model
from pipeline.packet import Format
from tests.fake_catalog import CATALOG, CameraConfig, FileConfig, LayerConfig, StackConfig, WindowConfig


def graph(
    *operators: OperatorConfig,
    source: CameraConfig | None = None,
    sinks: int = 1,
    processes: bool | str = True,
    path: str = "out",
) -> Graph:
    return build(
        PipelineConfig(
            name="p",
            source=source or CameraConfig(),
            operators=operators,
            sinks=tuple(FileConfig(path=Path(f"{path}{number}")) for number in range(sinks)),
            stages=StagesConfig(processes=processes),  # type: ignore[arg-type]
        )
    )


def test_every_node_knows_what_it_receives_and_what_it_gives() -> None:
    made = graph(WindowConfig(), LayerConfig(layer="a"))
    camera, layer = Format("spikes", (2, 8, 8)), Format("spikes", (10,), 1000)
    assert made.source_format == camera
    assert [(node.upstream, node.format) for node in made.operators] == [(camera, camera), (camera, layer)]
    assert made.format == layer


def test_without_operators_the_sinks_receive_what_the_source_gives() -> None:
    assert graph().format == Format("spikes", (2, 8, 8))


def test_nodes_have_names_of_their_own() -> None:
    made = graph(WindowConfig(), WindowConfig(), LayerConfig(layer="a"), sinks=2)
    assert [node.name for node in made.operators] == ["window", "window_2", "layer"]
    assert [node.name for node in made.sinks] == ["file", "file_2"]


def test_what_does_not_fit_is_told_by_its_place() -> None:
    with pytest.raises(ConfigErrors) as caught:
        graph(WindowConfig(), LayerConfig(layer="a"), LayerConfig(layer="b"))
    assert str(caught.value) == "operators[2] (layer): the layer has 128 inputs, got spikes of shape 10 on a 1 ms tick"


def test_two_sinks_may_not_write_one_file() -> None:
    pipeline = PipelineConfig(name="p", source=CameraConfig(), sinks=(FileConfig(path=Path("a")), FileConfig(path=Path("./a"))))
    with pytest.raises(ConfigErrors, match=r"^sinks\[1\] \(file\) writes a, and so does sinks\[0\]$"):
        build(pipeline)


def test_what_does_not_fit_in_a_file_is_told_with_its_line_beside_all_else(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        """\
source: {type: camera, height: 40, width: 40}
operators:
  - {type: window}
  - {type: layer, layer: a}
  - {type: layer, layer: b, model: missing.safetensors}
  - {type: windw}
sinks:
  - {type: file, path: a}
  - {type: file, path: a}
"""
    )
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "x.yaml", CATALOG)
    assert [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()] == [
        "x.yaml:4: operators[1] (layer): the layer has 128 inputs, got spikes of shape 2x40x40",
        f"x.yaml:5: operators[2] (layer): {tmp_path}/missing.safetensors: no such model file; "
        "train one with `spikeline train` or correct the path",
        "x.yaml:6: operators[3]: there is no operator 'windw' (did you mean 'window'?)",
        f"x.yaml:9: sinks[1] (file) writes {tmp_path}/a, and so does sinks[0]",
    ]


def test_a_source_that_fails_is_told_and_what_follows_is_not_blamed(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "source: {type: camera, path: none.raw}\noperators: [{type: layer, layer: a}]\nsinks: [{type: file, path: a}]\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "x.yaml", CATALOG)
    assert str(caught.value) == f"{tmp_path}/x.yaml:1: source (camera): {tmp_path}/none.raw: no such file"


def test_a_sink_is_checked_against_what_it_receives() -> None:
    with pytest.raises(ConfigErrors, match=r"^sinks\[0\] \(file\): takes 1000 units at most, got spikes of shape 2x40x40$"):
        graph(source=CameraConfig(height=40, width=40))


def test_stages_are_source_operators_and_sinks() -> None:
    made = graph(WindowConfig(), LayerConfig(layer="a"), sinks=2)
    first, middle, end = stage_plan(made)
    assert (first.name, first.kind, first.source, first.upstream, first.format) == (
        "source", "source", made.source, None, made.source_format,
    )  # fmt: skip
    assert (middle.name, middle.operators, middle.upstream, middle.format) == (
        "operators", made.operators, made.source_format, made.format,
    )  # fmt: skip
    assert (end.name, end.sinks, end.upstream, end.format) == ("sinks", made.sinks, made.format, None)


def test_each_operator_can_be_a_stage() -> None:
    plans = stage_plan(graph(WindowConfig(), WindowConfig(), LayerConfig(layer="a"), processes="each"))
    assert [plan.name for plan in plans] == ["source", "window", "window_2", "layer", "sinks"]
    assert all(left.format == right.upstream for left, right in pairwise(plans))


@pytest.mark.parametrize("processes", [True, "each"])
def test_without_operators_there_are_two_stages(processes: bool | str) -> None:
    assert [plan.name for plan in stage_plan(graph(processes=processes))] == ["source", "sinks"]


def test_a_graph_travels_to_another_process_whole() -> None:
    made = graph(WindowConfig(), LayerConfig(layer="a"))
    assert pickle.loads(pickle.dumps(made)) == made


def test_the_digest_depends_on_what_decides_the_results() -> None:
    digest = graph(WindowConfig()).digest
    assert digest == graph(WindowConfig()).digest
    others = [
        graph(WindowConfig(window_ms=6)),
        graph(WindowConfig(), WindowConfig()),
        graph(WindowConfig(), source=CameraConfig(packet_ms=5)),
        graph(WindowConfig(), path="elsewhere"),
        graph(),
    ]
    assert len({digest, *(other.digest for other in others)}) == 1 + len(others)


def test_the_digest_does_not_depend_on_how_it_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = graph(WindowConfig()).digest
    assert graph(WindowConfig(), processes="each").digest == digest
    assert graph(WindowConfig(), source=CameraConfig(pace="realtime")).digest == digest
    absolute = str(Path.cwd() / "out")
    monkeypatch.chdir(tmp_path)
    assert graph(WindowConfig(), path=absolute).digest == digest


def test_the_digest_leaves_the_pace_of_a_source_inside_a_source_out() -> None:
    def stacked(pace: str) -> str:
        parts = (CameraConfig(height=2, width=2), CameraConfig(height=2, width=2, pace=pace))  # type: ignore[arg-type]
        return build(PipelineConfig(name="p", source=StackConfig(sources=parts), sinks=(FileConfig(path=Path("a")),))).digest

    assert stacked("fast") == stacked("realtime")


def test_the_digest_depends_on_the_content_of_the_models(tmp_path: Path) -> None:
    def with_weight(weight: float) -> str:
        spec = LIFSpec(np.full((128, 10), weight, np.float32), np.float32(10), np.float32(1), 1000)
        save_model(tmp_path / "m.safetensors", Model(Format("spikes", (2, 8, 8)), {"a": spec}))
        return graph(LayerConfig(layer="a", model=tmp_path / "m.safetensors")).digest

    assert with_weight(1.0) == with_weight(1.0)
    assert with_weight(1.0) != with_weight(2.0)
