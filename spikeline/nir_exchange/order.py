"""A NIR graph in; its nodes in the order in which a spike passes them out, loops folded to the neurons that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class CannotCarry(ValueError):
    """A node that a model cannot hold. node: its name."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node, self.reason = node, reason


@dataclass(frozen=True, eq=False)
class Step:
    """A node and, of a neuron that hears itself, the nodes that its spikes pass on their way back."""

    name: str
    node: Any
    loop: tuple[tuple[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        return type(self.node).__name__


def read_graph(path: Path) -> Any:
    """The NIR graph in a file. ValueError when it is none."""
    try:
        import nir
    except ImportError:
        raise ValueError("NIR needs the package nir: pip install 'spikeline[nir]'") from None
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        graph = nir.read(path, type_check=False)
    except Exception as error:  # whatever h5py and nir raise at a file that is damaged or of another kind
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{path}: not a NIR graph, or a damaged one ({reason})") from None
    if not isinstance(graph, nir.NIRGraph):
        raise ValueError(f"{path}: wanted a NIR graph, got a single {type(graph).__name__} node")
    return graph


def steps(graph: Any) -> list[Step]:
    """The nodes between input and output, in order. CannotCarry where the graph is no chain."""
    return list(_walk(graph, ""))


def every_node(graph: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All nodes, those of subgraphs too, by name."""
    for name, node in graph.nodes.items():
        if type(node).__name__ == "NIRGraph":
            yield from every_node(node, f"{prefix}{name}.")
        elif type(node).__name__ not in ("Input", "Output"):
            yield prefix + name, node


def _walk(graph: Any, prefix: str) -> Iterator[Step]:
    here, end = (_only(graph, kind, prefix) for kind in ("Input", "Output"))
    seen: set[str] = {here}
    while here != end:
        ways = [name for name in _next(graph, here) if name not in seen]
        if len(ways) != 1:
            what = "leads nowhere" if not ways else f"branches to {', '.join(ways)}"
            raise CannotCarry(prefix + here, f"the graph {what} here; a model is one chain from input to output")
        here = ways[0]
        seen.add(here)
        node = graph.nodes[here]
        if type(node).__name__ == "NIRGraph":
            yield from _walk(node, f"{prefix}{here}.")
        elif here != end:
            loop = _loop(graph, here, prefix)
            seen.update(name.removeprefix(prefix) for name, _ in loop)
            yield Step(prefix + here, node, loop)
    if left := sorted(set(graph.nodes) - seen):
        raise CannotCarry(prefix + left[0], "no path from the input to the output passes it; a model is one chain")


def _loop(graph: Any, start: str, prefix: str) -> tuple[tuple[str, Any], ...]:
    """The nodes on the way from `start` back to itself; () without one."""
    for first in _next(graph, start):
        path, here = [], first
        while here != start and here not in path:
            path.append(here)
            ways = _next(graph, here)
            if len(ways) != 1:
                break
            here = ways[0]
        if here == start:
            return tuple((prefix + name, graph.nodes[name]) for name in path)
    return ()


def _only(graph: Any, kind: str, prefix: str) -> str:
    found = [name for name, node in graph.nodes.items() if type(node).__name__ == kind]
    if len(found) != 1:
        raise CannotCarry(prefix.rstrip(".") or "the graph", f"wanted one {kind} node, got {len(found)}")
    return str(found[0])


def _next(graph: Any, name: str) -> list[str]:
    return [str(b) for a, b in dict.fromkeys(graph.edges) if a == name]


def write_graph(path: Path, graph: Any) -> None:
    """The file appears whole or not at all."""
    import os

    import nir

    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        nir.write(partial, graph)
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}; choose another path") from None
