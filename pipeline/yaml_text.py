"""YAML text in, plain values out that know where they were written; with ${env:NAME} and --set applied."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.config_errors import ConfigErrors, Place, Problem, Where, dotted, got
from pipeline.contract import CommandLineText, WrittenFloat, WrittenInt

MOST_VALUES = 100_000  # aliases of aliases grow without bound
AFTER_THE_FILE = 1_000_000_000  # the order of a place that has no line
_ENV = re.compile(r"\$(?P<escaped>\$\{env:)|\$\{env:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{env:)")
_TAG = "tag:yaml.org,2002:"


class Document:
    """The values of a YAML file and the line of each.

    >>> document = Document("x.yaml", "source:\\n  type: memory\\n")
    >>> document.data, document.place(("source", "type")).text
    ({'source': {'type': 'memory'}}, 'x.yaml:2')
    """

    def __init__(self, file: str | Path, text: str) -> None:
        """Raises ConfigErrors when the text is not YAML; all else that is wrong is gathered in `problems`."""
        self.file = str(file)
        self._problems: list[tuple[Where, Problem]] = []
        self.failed: set[Where] = set()  # where a value could not be made: what is wrong there has been said
        self._places: dict[Where, Place] = {(): self._line(0)}
        self.data = _Reader(self, None).read(text)

    @property
    def problems(self) -> list[Problem]:
        """What was wrong with the values that still stand."""
        return [problem for _, problem in self._problems]

    def place(self, where: Where) -> Place:
        """Where the value at `where` was written; of a value that is not there, where its nearest owner was."""
        while where not in self._places:
            where = where[:-1]
        return self._places[where]

    def report(self, where: Where, message: str, place: Place | None = None) -> None:
        self._problems.append((where, Problem(place or self.place(where), message)))

    def failed_within(self, where: Where) -> bool:
        """Whether a value at or below `where` could not be made."""
        return any(failed[: len(where)] == where for failed in self.failed)

    def set(self, assignment: str) -> None:
        """Apply one --set: `operators.0.window_ms=8`, any YAML value. Its texts become CommandLineText."""
        place = Place(AFTER_THE_FILE, f"--set {assignment if len(assignment) <= 60 else assignment[:57] + '...'}")
        try:
            name, _, text = assignment.partition("=")
            if "=" not in assignment or not name.strip():
                raise ValueError("wanted PATH=VALUE, as in --set operators.0.window_ms=8")
            owner, where = self._owner(re.sub(r"\[(\d+)\]", r".\1", name.strip()).split("."), place)
            self._forget(where)
            self._places[where] = place
            owner[where[-1]] = _Reader(self, place).read(text, where)
        except ConfigErrors as error:
            for problem in error.problems:
                self.report((), problem.message, place)
        except ValueError as error:
            self.report((), str(error), place)

    def _owner(self, parts: Sequence[str], place: Place) -> tuple[Any, Where]:
        """The list or mapping that holds the value to set, and the way to that value. Missing mappings are made."""
        if not isinstance(self.data, dict):
            raise ValueError("the file holds no mapping to set a value in")
        owner: Any = self.data
        where: Where = ()
        for depth, part in enumerate(parts):
            key = _key(owner, part, where)
            where += (key,)
            if depth == len(parts) - 1:
                break
            if isinstance(owner, dict) and owner.get(part) is None:
                if parts[depth + 1].isdigit():
                    raise ValueError(f"there is no {dotted(where)}, so nothing in it can be set")
                owner[part] = {}
                self._places[where] = place
            owner = owner[key]
        return owner, where

    def _forget(self, where: Where) -> None:
        """Drop the places and problems of a value that is replaced."""
        for old in [old for old in self._places if old[: len(where)] == where]:
            del self._places[old]
        self._problems = [(at, problem) for at, problem in self._problems if at[: len(where)] != where]
        self.failed = {failed for failed in self.failed if failed[: len(where)] != where}

    def _line(self, line: int) -> Place:
        return Place(line, f"{self.file}:{line + 1}")


def read_yaml(path: str | Path, overrides: Sequence[str] = ()) -> Document:
    """The document in a file with every --set applied. ConfigErrors when it cannot be read or is not YAML."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigErrors([Problem(Place(0, str(path)), (error.strerror or str(error)).lower())]) from None
    except UnicodeDecodeError:
        raise ConfigErrors([Problem(Place(0, str(path)), "not a text file in UTF-8, so no YAML")]) from None
    document = Document(path, text)
    for assignment in overrides:
        document.set(assignment)
    return document


class _Reader:
    """Turns the nodes of one YAML text into plain values. place: where all of them stand, or None: by line."""

    def __init__(self, document: Document, place: Place | None) -> None:
        self.document = document
        self.place = place
        self.yaml = YAML(typ="safe", pure=True)
        self.open: list[Node] = []
        self.blamed: list[Node] = []
        self.left = MOST_VALUES

    def read(self, text: str, where: Where = ()) -> Any:
        try:
            node = self.yaml.compose(text)
        except MarkedYAMLError as error:
            raise ConfigErrors([self._syntax(error, text)]) from None
        except YAMLError as error:
            raise ConfigErrors([Problem(self._at(0), f"not valid YAML: {' '.join(str(error).split())}")]) from None
        except RecursionError:
            raise ConfigErrors([Problem(self._at(0), "not usable YAML: nested too deeply")]) from None
        return None if node is None else self.value(node, where)

    def _syntax(self, error: MarkedYAMLError, text: str) -> Problem:
        mark, begun = error.problem_mark or error.context_mark, error.context_mark
        reason = f"{error.problem}, {error.context}" if error.context else str(error.problem)
        if begun and mark and begun.line < mark.line:
            reason += f" of line {begun.line + 1}"
        if mark and "flow" in reason and "${env:" in "".join(text.splitlines()[mark.line : mark.line + 1]):
            reason += "; between { } a text with ${env:NAME} needs quotes"
        return Problem(self._at(mark.line if mark else 0), f"not valid YAML: {reason}")

    def value(self, node: Node, where: Where) -> Any:
        self.left -= 1
        if node in self.open or self.left < 0:
            reason = "an alias that holds itself" if node in self.open else f"more than {MOST_VALUES} values"
            raise ConfigErrors([Problem(self._at(node.start_mark.line), f"not usable YAML: {reason}")])
        self.document._places.setdefault(where, self._at(node.start_mark.line))
        if isinstance(node, ScalarNode):
            return self._scalar(node, where)
        self.open.append(node)
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item, (*where, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, MappingNode)
            return self._mapping(node, where)
        finally:
            self.open.pop()

    def _mapping(self, node: MappingNode, where: Where) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                parts = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                for part in parts:
                    more = self.value(part, (*where, "<<"))
                    merged = (more if isinstance(more, dict) else {}) | merged
                continue
            key = key_node.value if isinstance(key_node, ScalarNode) else str(key_node.value)
            at = (*where, key)
            if key in values:
                first = self.document.place(at).text
                self._problem(key_node, at, f"{dotted(at)} is given twice (first at {first})")
                continue
            self.document._places[at] = self._at(key_node.start_mark.line)
            values[key] = self.value(value_node, at)
        return merged | values

    def _scalar(self, node: ScalarNode, where: Where) -> Any:
        constructor = self.yaml.constructor
        kind = str(node.tag)
        if kind == _TAG + "null":
            return None
        if kind in (_TAG + "str", _TAG + "timestamp"):
            return self._text(node, where)
        makers = {"bool": constructor.construct_yaml_bool, "int": constructor.construct_yaml_int,
                  "float": constructor.construct_yaml_float}  # fmt: skip
        maker = makers.get(kind.removeprefix(_TAG))
        if maker is None:
            self._problem(node, where, f"{dotted(where)} has the tag {kind}, which means nothing here")
            return None
        return maker(node)

    def _text(self, node: ScalarNode, where: Where) -> Any:
        """A text with its ${env:...} filled in. A text that is one substitution and no more is read as a YAML value."""
        text: str = node.value
        found = list(_ENV.finditer(text)) if "${env:" in text else []
        if not found:
            return self._mark(text)
        filled = _ENV.sub(lambda match: self._variable(match, node, where), text)
        whole = found[0]["name"] and found[0].span() == (0, len(text))
        if whole and where not in self.document.failed:
            return self._scalar_of(filled, _from_environment(found[0]))
        if found[0].start() == 0 and _from_environment(found[0]):
            return CommandLineText(filled)
        return self._mark(filled)

    def _variable(self, match: re.Match[str], node: Node, where: Where) -> str:
        if match["escaped"]:
            return match["escaped"]
        if match["broken"]:
            self._problem(node, where, f"{dotted(where)}: wanted ${{env:NAME}} or ${{env:NAME:-default}}, got {got(node.value)}")
            return ""
        if _from_environment(match):
            return os.environ[match["name"]]
        if match["default"] is not None:
            return match["default"]
        self._problem(node, where, f"{dotted(where)} needs the environment variable {match['name']}, which is not set")
        return ""

    def _scalar_of(self, text: str, outside: bool) -> Any:
        """The YAML value of a substituted text; a text that is more than a scalar stays text."""
        try:
            node = self.yaml.compose(text)
        except YAMLError:
            node = ScalarNode(_TAG + "str", text)
        if node is None or node.tag == _TAG + "null":
            return None
        if not isinstance(node, ScalarNode) or str(node.tag) not in {_TAG + "bool", _TAG + "int", _TAG + "float"}:
            return CommandLineText(text) if outside else self._mark(text)
        return _written(self._scalar(node, ()), text)

    def _mark(self, text: str) -> str:
        return text if self.place is None else CommandLineText(text)

    def _problem(self, node: Node, where: Where, message: str) -> None:
        if node not in self.blamed:  # an alias brings the same node again
            self.document.report(where, message, self._at(node.start_mark.line))
        self.blamed.append(node)
        self.document.failed.add(where)

    def _at(self, line: int) -> Place:
        return self.place or self.document._line(line)


def _from_environment(match: re.Match[str]) -> bool:
    """Whether a variable gives the value, not the default: unset and empty are one, as in a shell."""
    name = match["name"]
    return bool(name) and (bool(os.environ.get(name)) or (match["default"] is None and name in os.environ))


def _written(value: Any, text: str) -> Any:
    """A substituted number, which keeps its text for an option that is a secret."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = WrittenInt(value) if isinstance(value, int) else WrittenFloat(value)
    number.text = text
    return number


def _key(owner: Any, part: str, where: Where) -> str | int:
    """`part` as a key of `owner`, or a ValueError that says what is there."""
    if isinstance(owner, dict):
        return part
    name = dotted(where)
    if not isinstance(owner, list):
        raise ValueError(f"{name} is {got(owner)}, so {part!r} in it cannot be set")
    if re.fullmatch(r"-[1-9]\d*", part) and int(part) >= -len(owner):
        return len(owner) + int(part)  # counted from the end, as in Python
    if not part.isdigit() or int(part) >= len(owner):
        there = f"{name}.0 to {name}.{len(owner) - 1}" if owner else "nothing"
        raise ValueError(f"there is no {name}.{part}; {name} holds {there}")
    return int(part)
