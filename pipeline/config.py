"""A pipeline's YAML file as checked configs. Every error comes with its line, and all of them come at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, Discriminator, Field, SerializeAsAny, Tag, TypeAdapter, ValidationError

from pipeline.config_errors import ConfigErrors, Place, Problem, Where, dotted, explain, got, models_in, nearest, one_line
from pipeline.contract import Config, FilePath, OperatorConfig, SinkConfig, SourceConfig
from pipeline.yaml_text import Document, read_yaml

ComponentConfig = SourceConfig | OperatorConfig | SinkConfig
KINDS: dict[str, type[Config]] = {"source": SourceConfig, "operator": OperatorConfig, "sink": SinkConfig}
ConfigT = TypeVar("ConfigT", bound=Config)


@dataclass(frozen=True)
class Catalog:
    """The components that a YAML file can name: config classes by type. The roof fills it; the ground is handed it."""

    sources: Mapping[str, type[SourceConfig]] = field(default_factory=dict)
    operators: Mapping[str, type[OperatorConfig]] = field(default_factory=dict)
    sinks: Mapping[str, type[SinkConfig]] = field(default_factory=dict)

    def kind(self, kind: str) -> Mapping[str, type[ComponentConfig]]:
        """The table of a kind: source, operator or sink."""
        tables: dict[str, Mapping[str, Any]] = {"source": self.sources, "operator": self.operators, "sink": self.sinks}
        return tables[kind]

    def __iter__(self) -> Iterator[tuple[str, str, type[ComponentConfig]]]:
        """(kind, type, config class) of every component."""
        for kind in KINDS:
            for name, cls in self.kind(kind).items():
                yield kind, name, cls


class StagesConfig(Config):
    """How a pipeline is run: in which processes, with how much between them, saved how often."""

    processes: bool | Literal["each"] = Field(
        True, description="true: source, operators and sinks a process each; each: every operator too; false: one process"
    )
    high_water: int = Field(64, ge=1, description="most packets that wait between two stages before the first one waits")
    checkpoint_every_s: Annotated[float, Field(gt=0)] | None = Field(
        None, description="time between two snapshots of all stages; none: no checkpoints"
    )
    checkpoints: FilePath | None = Field(
        None, description="folder of the snapshots; default: <file stem>.checkpoints in the current folder"
    )
    cpus: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = Field(
        None, description="processor cores, by number, that the stages run on; none: any. To share one costs speed, but no "
        "packet waits for an idle core to wake: steadier where packets are small"
    )
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None, description="port on loopback that serves the figures of all stages to Prometheus; none: not served"
    )
    on_error: Literal["stop", "skip_episode"] = Field(
        "stop", description="a failing operator ends the run, or costs the rest of its episode, which is said and counted"
    )


DEFAULT_STAGES = StagesConfig.model_validate({})


class EventConfig(Config):
    """One event of a camera, for a test's input."""

    t_ms: float = Field(ge=0, description="time of the event")
    x: int = Field(ge=0, description="column, from the left")
    y: int = Field(ge=0, description="row, from the top")
    p: int = Field(1, ge=0, le=1, description="polarity: 1 is ON")


def _event_form(event: Any) -> str:
    """Which of the ways to write an event this is."""
    if isinstance(event, dict | EventConfig):
        return "event"
    return "triple" if isinstance(event, list | tuple) and len(event) == 3 else "pair"


Pair = Annotated[tuple[int, int], Tag("pair")]
Triple = Annotated[tuple[int, int, float], Tag("triple")]
AnyEvent = Annotated[Pair | Triple | Annotated[EventConfig, Tag("event")], Discriminator(_event_form)]


class ExpectedConfig(Config):
    """One decision that a test expects. What is left out may be anything."""

    t_ms: float | None = Field(None, description="end of the time that the decision rests on")
    class_: int | str | None = Field(None, alias="class", description="index or name of the class")
    confidence_at_least: float | None = Field(None, ge=0, le=1, description="least confidence")
    final: bool | None = Field(None, description="whether the decision is the episode's answer")


class YamlTestConfig(Config):
    """A test that a pipeline's file brings along: this input, these decisions."""

    name: str = Field(description="what the test shows")
    input: tuple[AnyEvent, ...] = Field((), description="events: [t_us, unit], [t_us, unit, value] or {t_ms, x, y, p}")
    end_ms: float = Field(gt=0, description="when the episode ends")
    decisions: tuple[ExpectedConfig, ...] = Field((), description="all decisions of the episode, in order; []: none")


class PipelineConfig(Config):
    """A pipeline as its YAML file says it."""

    name: str = Field(description="name of the pipeline and of its stream; default: the file's stem")
    source: SerializeAsAny[SourceConfig] = Field(description="where the events come from")
    operators: tuple[SerializeAsAny[OperatorConfig], ...] = Field((), description="what is done with them, in order")
    sinks: tuple[SerializeAsAny[SinkConfig], ...] = Field(min_length=1, description="where the results go")
    stages: StagesConfig = Field(default_factory=lambda: DEFAULT_STAGES, description="how it is run")
    tests: tuple[YamlTestConfig, ...] = Field((), description="what `spikeline test` runs")


@dataclass(frozen=True)
class Draft:
    """What could be read of a file. A component that could not is None, and `document.problems` says why."""

    document: Document
    name: str
    source: SourceConfig | None
    operators: tuple[OperatorConfig | None, ...]
    sinks: tuple[SinkConfig | None, ...]
    stages: StagesConfig
    tests: tuple[YamlTestConfig, ...]


def read_draft(path: str | Path, catalog: Catalog, overrides: Sequence[str] = (), *, custom: bool = True) -> Draft:
    """Read a pipeline's file. custom: whether `type: package.module:Class` may import the user's own code.
    ConfigErrors when it is no YAML at all; all other problems stand in the draft's document."""
    document = read_yaml(path, overrides)
    if not isinstance(document.data, dict):
        what = "nothing" if document.data is None else got(document.data)
        raise ConfigErrors([Problem(document.place(()), f"wanted a pipeline (a mapping with source and sinks), got {what}")])
    reader = _Reader(document, catalog, Path(path).resolve().parent, custom)
    data = document.data
    for key in data:
        if key not in PipelineConfig.model_fields:
            document.report((key,), f"{key} is not an option of a pipeline{nearest(key, PipelineConfig.model_fields)}")
    return Draft(
        document,
        name=reader.plain(("name",), Path(path).stem, str),
        source=reader.source(),
        operators=tuple(cast(Any, reader.components("operators", "operator"))),
        sinks=tuple(cast(Any, reader.components("sinks", "sink"))),
        stages=reader.plain(("stages",), DEFAULT_STAGES, StagesConfig),
        tests=reader.plain(("tests",), (), tuple[YamlTestConfig, ...]),
    )


def component(kind: str, options: Mapping[str, Any], catalog: Catalog, folder: str | Path | None = None) -> ComponentConfig:
    """The config of one component from its options (nested components too), as a YAML file would give it. ConfigErrors."""
    document = Document("", "")
    document._places[()] = Place(0, "")
    document.data = dict(options)
    made = _Reader(document, catalog, None if folder is None else Path(folder), True).component((), kind, document.data)
    if made is None:
        raise ConfigErrors(document.problems)
    return made


def read_options(
    path: str | Path, model: type[ConfigT], overrides: Sequence[str] = (), catalog: Catalog | None = None
) -> ConfigT:
    """Another kind of YAML file (a training recipe) as its model, with the same lines in the errors and the same --set.
    Fields that hold components are made from the catalog. ConfigErrors with all that is wrong."""
    document = read_yaml(path, overrides)
    reader = _Reader(document, catalog or Catalog(), Path(path).resolve().parent, True)
    made = None
    if isinstance(document.data, dict):
        made = reader.config((), model, document.data, f"a {model.__name__.removesuffix('Config').lower()}")
    else:
        document.report((), f"wanted a mapping with {', '.join(model.model_fields)}, got {got(document.data)}")
    if made is None or document.problems:
        raise ConfigErrors(document.problems)
    return made


class _Reader:
    """Makes configs of a document's values and gathers what is wrong in the document."""

    def __init__(self, document: Document, catalog: Catalog, folder: Path | None, custom: bool) -> None:
        self.document = document
        self.catalog = catalog
        self.custom = custom
        self.folder = folder

    def source(self) -> SourceConfig | None:
        if "source" not in self.document.data:
            self.document.report((), "the pipeline needs a source, as in source: {type: dvs_file, path: hand.raw}")
            return None
        return cast("SourceConfig | None", self.component(("source",), "source", self.document.data["source"]))

    def components(self, key: str, kind: str) -> list[ComponentConfig | None]:
        values = self.document.data.get(key)
        if not isinstance(values, list | None):
            self.document.report((key,), f"{key} must be a list of {kind}s, got {got(values)}")
            return []
        if kind == "sink" and not values:
            self.document.report((key,), "the pipeline needs at least one sink, as in sinks: [{type: print}]")
        return [self.component((key, index), kind, value) for index, value in enumerate(values or [])]

    def component(self, where: Where, kind: str, options: Any) -> ComponentConfig | None:
        """The component at `where`; None, and its problems reported, when there is something wrong with it."""
        cls = self._class(where, kind, options)
        if cls is None:
            return None
        tag = cls.model_fields["type"].default
        values = options | ({"type": tag} if isinstance(tag, str) else {})
        return self.config(where, cls, values, str(options["type"]).rpartition(":")[2])

    def config(self, where: Where, cls: type[ConfigT], values: dict[str, Any], title: str) -> ConfigT | None:
        """The model of the options `values` of a `title`, with the components that they hold made first."""
        nested = self._nested(where, cls, values)
        broken = {name for name, made in nested.items() if made is None}
        values = values | {name: made for name, made in nested.items() if made is not None}
        try:
            made = cls.model_validate(values, context={"folder": self.folder})
        except ValidationError as error:
            for path, message in explain(error, cls, values, where, title):
                said = len(path) > len(where) and path[len(where)] in broken
                if not said and path not in self.document.failed:
                    self.document.report(path, message)
            return None
        return None if broken or self.document.failed_within(where) else made

    def plain(self, where: Where, default: Any, wanted: Any) -> Any:
        """A value of the top level that is no component."""
        if (value := self.document.data.get(where[0])) is None:
            return default
        fields = PipelineConfig.model_fields
        try:
            return TypeAdapter(wanted).validate_python(value, context={"folder": self.folder})
        except ValidationError as error:
            models = list(models_in(fields[str(where[0])].annotation)) or [cast("type[BaseModel]", PipelineConfig)]
            for path, message in explain(error, models[0], value, where, str(where[0])):
                if path not in self.document.failed:
                    self.document.report(path, message)
            return default

    def _class(self, where: Where, kind: str, options: Any) -> type[ComponentConfig] | None:
        name = dotted(where) or kind
        table = self.catalog.kind(kind)
        if not isinstance(options, dict):
            if not self.document.failed_within(where):
                example = f"{{type: {next(iter(table), 'x')}}}"
                self.document.report(where, f"{name} must be a mapping such as {example}, got {got(options)}")
            return None
        tag = options.get("type")
        at = (*where, "type")
        if not isinstance(tag, str):
            if at not in self.document.failed:
                self.document.report(where, f"{name} needs a type, one of {', '.join(sorted(table))}")
            return None
        try:
            if ":" not in tag:
                return self._known_class(tag, kind)
            if not self.custom:
                raise ValueError(f"{tag} would run code of its own, which --no-custom forbids")
            return custom_class(tag, kind, self.folder)
        except ValueError as error:
            self.document.report(at, f"{name}: {error}")
            return None

    def _known_class(self, tag: str, kind: str) -> type[ComponentConfig]:
        table = self.catalog.kind(kind)
        if tag in table:
            return table[tag]
        for other in KINDS:
            if tag in self.catalog.kind(other):
                raise ValueError(f"{tag} is {_a(other)}, not {_a(kind)}")
        raise ValueError(f"there is no {kind} {got(tag)}{nearest(tag, table)}")

    def _nested(self, where: Where, cls: type[Config], values: dict[str, Any]) -> dict[str, Any]:
        """The fields that hold components themselves (`body` of a residual), made into configs; None where one is wrong."""
        made: dict[str, Any] = {}
        for name, kind in nested_fields(cls).items():
            value = values.get(name)
            if isinstance(value, dict):
                made[name] = self.component((*where, name), kind, value)
            elif isinstance(value, list | tuple):
                parts = [
                    item if isinstance(item, KINDS[kind]) else self.component((*where, name, index), kind, item)
                    for index, item in enumerate(value)
                ]
                made[name] = None if None in parts else tuple(parts)
        return made


def custom_class(tag: str, kind: str, folder: Path | None = None) -> type[ComponentConfig]:
    """The config class of `kind` (source, operator, sink; component: any of them) that `package.module:Class` names; ValueError
    when it cannot be had. Importing it runs the user's code. folder: where to look besides the current one."""
    for place in [str(path) for path in (folder, Path.cwd()) if path is not None]:
        if place not in sys.path:
            sys.path.append(place)  # last: it hides no installed package
    module_name, _, class_name = tag.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except AttributeError:
        raise ValueError(f"module {module_name} has no class {class_name}") from None
    except Exception as error:  # whatever the user's module raises while it is imported
        raise ValueError(f"cannot import {module_name}: {type(error).__name__}: {one_line(error)}") from None
    bases = tuple(KINDS.values()) if kind == "component" else (KINDS[kind],)
    if not (isinstance(found, type) and issubclass(found, bases)):
        raise ValueError(f"{tag} is no {' or '.join(base.__name__ for base in bases)} and so no {kind}")
    return cast("type[ComponentConfig]", found)


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "operator" else f"a {kind}"


def nested_fields(cls: type[BaseModel]) -> dict[str, str]:
    """The fields of a config that hold components: name -> source, operator or sink."""
    bases = {base: kind for kind, base in KINDS.items()}
    found = {name: [bases[m] for m in models_in(f.annotation) if m in bases] for name, f in cls.model_fields.items()}
    return {name: kinds[0] for name, kinds in found.items() if kinds}
