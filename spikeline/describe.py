"""Components and pipelines described to a person: text of a config class, pictures of a graph."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel

from pipeline.config import KINDS, ComponentConfig, custom_class
from pipeline.config_errors import got, nearest, type_text
from pipeline.graph import Graph
from spikeline.catalog import make_catalog

UNITS = {"us": "us", "ms": "ms", "s": "s", "hz": "Hz", "px": "pixels", "px_s": "pixels/s", "bytes": "bytes"}
WIDEST = 40  # characters of a cell in the table of options
PLAIN_OPTIONS = 4  # options that a node of a drawing shows at most


def summary(cls: type[BaseModel]) -> str:
    """The first sentence of a class's docstring."""
    text = " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", text)[0]


def find(type: str) -> list[tuple[str, str, type[ComponentConfig]]]:
    """(kind, type, class) of the components of this type. ValueError with the nearest type when there is none."""
    if ":" in type:
        cls = custom_class(type, "component")
        return [(kind, type, cls) for kind, base in KINDS.items() if issubclass(cls, base)]
    catalog = make_catalog()
    found = [row for row in catalog if row[1] == type]
    if not found:
        raise ValueError(f"there is no component {type!r}{nearest(type, [name for _, name, _ in catalog])}")
    return found


def description(kind: str, name: str, cls: type[ComponentConfig]) -> str:
    """What `spikeline describe` prints: the docstring, a table of the options, an example."""
    text = inspect.cleandoc(cls.__doc__ or "")
    parts = [f"{name} ({kind})", text, "Options:\n" + options_table(cls)]
    if "{type:" not in text.replace("{ ", "{"):
        parts.append(f"Example: {example(name, cls)}")
    return "\n\n".join(parts)


def options_table(cls: type[BaseModel]) -> str:
    """A line for each option: name, type, unit, default, description."""
    rows = [("option", "type", "unit", "default", "")]
    for name, field in cls.model_fields.items():
        if name != "type":
            default = "required" if field.is_required() else flow(field.get_default(call_default_factory=True))
            kind, about = type_text(field.annotation, field.metadata), field.description or ""
            if len(kind) > WIDEST:
                kind, about = kind.partition(" (")[0] + " (...)", f"{about}: {kind}"
            if len(default) > WIDEST:
                default, about = "...", f"{about} [default: {default}]"
            rows.append((field.alias or name, kind, unit(name), default, about))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    padded = [[f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True)] for row in rows]
    return "\n".join("  " + "  ".join(row).rstrip() for row in padded)


def unit(option: str) -> str:
    """The unit that ends an option's name."""
    return next((u for suffix, u in sorted(UNITS.items(), key=lambda item: -len(item[0])) if option.endswith("_" + suffix)), "")


def example(name: str, cls: type[BaseModel]) -> str:
    """A line of YAML with the options that the component cannot do without."""
    required = [option for option, field in cls.model_fields.items() if field.is_required() and option != "type"]
    return "{" + ", ".join([f"type: {name}", *(f"{option}: ..." for option in required)]) + "}"


def flow(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in given(value).items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else got(value) if isinstance(value, bool) else str(value)


def given(config: BaseModel) -> dict[str, Any]:
    """The options of a config that were given, its type first."""
    names = sorted(type(config).model_fields, key=lambda name: name != "type")
    return {name: getattr(config, name) for name in names if name == "type" or name in config.model_fields_set}


def draw(graph: Graph, form: str) -> str:
    """A graph as text, or in the language of mermaid or dot: every node, and on every edge the format that flows there."""
    nodes = [("source", graph.source), *((n.name, n.config) for n in graph.operators), *((s.name, s.config) for s in graph.sinks)]
    chain = len(graph.operators)
    formats = [str(graph.source_format), *(str(node.format) for node in graph.operators)]
    edges = [(index, index + 1, formats[index]) for index in range(chain)]
    edges += [(chain, chain + 1 + index, formats[chain]) for index in range(len(graph.sinks))]
    labels = [_label(config) for _, config in nodes]
    if form == "mermaid":
        return _mermaid(labels, edges)
    return _dot(graph.name, labels, edges) if form == "dot" else _text(graph, labels, edges)


def _label(config: BaseModel) -> tuple[str, str]:
    """A node's type and the options that were set."""
    options = given(config)
    name = str(options.pop("type"))
    shown = [f"{option}: {_short(flow(value))}" for option, value in list(options.items())[:PLAIN_OPTIONS]]
    return name, ", ".join(shown) + (", ..." if len(options) > PLAIN_OPTIONS else "")


def _short(text: str) -> str:
    return text if len(text) <= 60 else "..." + text[-57:]


def _text(graph: Graph, labels: list[tuple[str, str]], edges: list[tuple[int, int, str]]) -> str:
    width = max(len(name) for name, _ in labels)
    rows = [f"{name:<{width}}  {options}".rstrip() for name, options in labels]
    chain = len(graph.operators)
    lines = [f"{graph.name}:", *(f"  {rows[begin]}\n    | {format}" for begin, _, format in edges[:chain])]
    lines += [f"  {rows[chain]}", *(f"    | {edges[-1][2]}\n  {row}" for row in rows[chain + 1 : chain + 2])]
    return "\n".join([*lines, *(f"  {row}" for row in rows[chain + 2 :])])


def _mermaid(labels: list[tuple[str, str]], edges: list[tuple[int, int, str]]) -> str:
    lines = ["flowchart TD"]
    for index, (name, options) in enumerate(labels):
        text = f"<b>{name}</b>" + (f"<br>{options}" if options else "")
        lines.append(f'  n{index}["{text.replace(chr(34), "#quot;")}"]')
    return "\n".join([*lines, *(f'  n{begin} -- "{format}" --> n{end}' for begin, end, format in edges)])


def _dot(title: str, labels: list[tuple[str, str]], edges: list[tuple[int, int, str]]) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    lines = [f"digraph {quoted(title)} {{", "  node [shape=box];"]
    lines += [f"  n{index} [label={quoted(chr(10).join(filter(None, label)))}];" for index, label in enumerate(labels)]
    lines += [f"  n{begin} -> n{end} [label={quoted(format)}];" for begin, end, format in edges]
    return "\n".join([*lines, "}"])
