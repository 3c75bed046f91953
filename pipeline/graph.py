"""Configs to a graph whose neighbours fit: what flows between any two, which stage runs what, and a digest for resuming."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from pipeline.config import Catalog, PipelineConfig, StagesConfig, YamlTestConfig, read_draft
from pipeline.config_errors import ConfigErrors, Place, Problem, Where, dotted, one_line
from pipeline.contract import OperatorConfig, SinkConfig, SourceConfig
from pipeline.model_file import read_card
from pipeline.packet import Format

Report = Callable[[Where, str], None]


@dataclass(frozen=True)
class Node:
    """An operator, what it receives and what it gives."""

    name: str
    config: OperatorConfig
    upstream: Format
    format: Format


@dataclass(frozen=True)
class SinkNode:
    """A sink. All of them receive the graph's `format`."""

    name: str
    config: SinkConfig


@dataclass(frozen=True)
class Graph:
    """A pipeline that is known to fit together: one chain from the source to the sinks."""

    name: str
    source: SourceConfig
    source_format: Format
    operators: tuple[Node, ...]
    sinks: tuple[SinkNode, ...]
    format: Format  # what the sinks receive
    stages: StagesConfig
    path: Path | None = None  # the YAML file
    tests: tuple[YamlTestConfig, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of all that decides the results: source, operators, sinks and the content of the models that they name.
        How it is run (stages, pace) is no part of it."""
        files: set[Path] = set()
        configs = [self.source, [node.config for node in self.operators], [node.config for node in self.sinks]]
        total = hashlib.sha256(json.dumps(_canonical(configs, files), sort_keys=True).encode())
        for path in sorted(files):
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()


@dataclass(frozen=True)
class StagePlan:
    """What one stage runs: the source, a stretch of operators, or the sinks."""

    name: str
    kind: Literal["source", "operators", "sinks"]
    upstream: Format | None  # what comes in; None of the source
    format: Format | None  # what goes out; None of the sinks
    source: SourceConfig | None = None
    operators: tuple[Node, ...] = ()
    sinks: tuple[SinkNode, ...] = ()


def load(path: str | Path, catalog: Catalog, overrides: Sequence[str] = (), *, custom: bool = True) -> Graph:
    """The checked graph of a YAML file; ConfigErrors with all that is wrong with it, each with its line."""
    draft = read_draft(path, catalog, overrides, custom=custom)
    document = draft.document
    source_format, nodes = _connect(draft.source, draft.operators, document.report)
    _check_sinks(draft.sinks, nodes[-1].format if nodes else source_format, len(nodes) == len(draft.operators), document.report)
    if document.problems or draft.source is None or source_format is None:
        raise ConfigErrors(document.problems)
    sinks = [sink for sink in draft.sinks if sink is not None]
    return _graph(draft.name, draft.source, source_format, nodes, sinks, draft.stages, Path(path), draft.tests)


def build(pipeline: PipelineConfig, path: Path | None = None) -> Graph:
    """The checked graph of a pipeline that was made in Python; ConfigErrors with all that does not fit."""
    problems: list[Problem] = []

    def report(where: Where, message: str) -> None:
        problems.append(Problem(Place(0, ""), message))

    source_format, nodes = _connect(pipeline.source, pipeline.operators, report)
    _check_sinks(pipeline.sinks, nodes[-1].format if nodes else source_format, len(nodes) == len(pipeline.operators), report)
    if problems or source_format is None:
        raise ConfigErrors(problems)
    name, source, stages, tests = pipeline.name, pipeline.source, pipeline.stages, pipeline.tests
    return _graph(name, source, source_format, nodes, pipeline.sinks, stages, path, tests)


def stage_plan(graph: Graph) -> tuple[StagePlan, ...]:
    """The stages of a graph in order: source, operators (one stage, or one each), sinks."""
    groups = [(node,) for node in graph.operators] if graph.stages.processes == "each" else [graph.operators]
    names = [group[0].name for group in groups] if graph.stages.processes == "each" else ["operators"]
    middle = [
        StagePlan(name, "operators", group[0].upstream, group[-1].format, operators=group)
        for name, group in zip(names, groups, strict=True)
        if group
    ]
    first = StagePlan("source", "source", None, graph.source_format, source=graph.source)
    return (first, *middle, StagePlan("sinks", "sinks", graph.format, None, sinks=graph.sinks))


def _connect(
    source: SourceConfig | None, operators: Iterable[OperatorConfig | None], report: Report
) -> tuple[Format | None, list[Node]]:
    """Hand the format from one to the next, as far as it is known; the models of what comes after are looked at all the same."""
    said: set[str] = set()
    source_format = format = None if source is None else _checked(("source",), source, source.check, report, said)
    nodes: list[Node] = []
    for index, config in enumerate(operators):
        where = ("operators", index)
        upstream, format = format, None
        if config is not None and upstream is not None:
            format = _checked(where, config, lambda c=config, u=upstream: c.check(u), report, said)  # type: ignore[misc]
            if format is not None:
                nodes.append(Node(f"{index}", config, upstream, format))
        elif config is not None:
            for path in _model_files(config):
                _checked(where, config, lambda p=path: read_card(p), report, said)  # type: ignore[misc]
    return source_format, nodes


def _check_sinks(sinks: Iterable[SinkConfig | None], format: Format | None, known: bool, report: Report) -> None:
    """Whether each sink takes the stream, if that is known, and no two of them write one file."""
    writers: dict[Path, str] = {}
    for index, config in enumerate(sinks):
        where = ("sinks", index)
        if config is None:
            continue
        if known and format is not None:
            _checked(where, config, lambda c=config: c.check(format), report, set())  # type: ignore[misc]
        path = getattr(config, "path", None)
        if isinstance(path, Path):
            other = writers.setdefault(path.absolute(), dotted(where))
            if other != dotted(where):
                report(where, f"{dotted(where)} ({config.type}) writes {path}, and so does {other}")


def _checked(where: Where, config: Any, check: Callable[[], Any], report: Report, said: set[str]) -> Any:
    """What `check` returns; None, and the reason reported (once), when it refuses."""
    try:
        return check()
    except (ValueError, OSError) as error:
        message = one_line(error)
        if message not in said:
            report(where, f"{dotted(where)} ({config.type}): {message}")
        said.add(message)
        return None


def _graph(
    name: str,
    source: SourceConfig,
    source_format: Format,
    nodes: Sequence[Node],
    sinks: Iterable[SinkConfig],
    stages: StagesConfig,
    path: Path | None,
    tests: tuple[YamlTestConfig, ...],
) -> Graph:
    sinks = tuple(sinks)
    names = _names([node.config.type for node in nodes] + [sink.type for sink in sinks])
    operators = tuple(Node(n, node.config, node.upstream, node.format) for n, node in zip(names, nodes, strict=False))
    named = tuple(SinkNode(n, sink) for n, sink in zip(names[len(nodes) :], sinks, strict=True))
    if stages.checkpoints is None:
        stages = stages.model_copy(update={"checkpoints": Path(f"{path.stem if path else name}.checkpoints")})
    format = operators[-1].format if operators else source_format
    return Graph(name, source, source_format, operators, named, format, stages, path, tests)


def _names(types: Sequence[str]) -> list[str]:
    """A name for each that is its own and fit for a file: lif, lif_2."""
    used = {"source", "operators", "sinks"}
    names: list[str] = []
    for kind in types:
        stem = re.sub(r"\W+", "_", kind).strip("_") or "component"
        name, number = stem, 2
        while name in used:
            name, number = f"{stem}_{number}", number + 1
        used.add(name)
        names.append(name)
    return names


def _model_files(config: BaseModel) -> list[Path]:
    """The model files that a config names."""
    named = [(name, getattr(config, name)) for name in type(config).model_fields]
    return [value for name, value in named if isinstance(value, Path) and _is_model(name, value)]


def _is_model(option: str, path: Path) -> bool:
    return option == "model" or path.suffix == ".safetensors"


def _canonical(value: Any, models: set[Path]) -> Any:
    """`value` as JSON that is equal for equal results: paths are absolute, the pace is left out. Adds the model files named."""
    if isinstance(value, BaseModel):
        models.update(path for path in _model_files(value) if path.is_file())
        skipped = "pace" if isinstance(value, SourceConfig) else ""
        return {name: _canonical(getattr(value, name), models) for name in type(value).model_fields if name != skipped}
    if isinstance(value, dict):
        return {str(key): _canonical(item, models) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item, models) for item in value]
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if dataclasses.is_dataclass(value):
        items = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return [type(value).__name__, _canonical(items, models)]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
