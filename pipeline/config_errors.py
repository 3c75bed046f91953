"""What is wrong with a configuration, said to a person: pydantic's errors become one line each, with place and advice."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Where = tuple[str | int, ...]
"""The way to a value in a YAML file: ("operators", 0, "window_ms")."""


class Place(NamedTuple):
    """Where a value was written. `order` sorts the errors of one file by line; those of --set follow."""

    order: int
    text: str  # "configs/x.yaml:4", "--set name=x", or "" for what was made in Python


class Problem(NamedTuple):
    """One thing that is wrong."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place.text}: {self.message}" if self.place.text else self.message


class ConfigErrors(ValueError):
    """All that is wrong with a configuration, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(dict.fromkeys(problems), key=lambda problem: problem.place.order)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(where: Where) -> str:
    """("operators", 0, "to", 1) as operators[0].to[1]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


def one_line(error: BaseException) -> str:
    """The message of an error in one line; of an OSError the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def nearest(word: object, words: Iterable[str]) -> str:
    """" (did you mean 'layer'?)", or the words to choose from when none is near."""
    choices = [choice for choice in words if choice != "type"]
    close = difflib.get_close_matches(str(word).lower(), choices, 1, 0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f"; known: {', '.join(choices)}" if choices else ""


def got(value: Any) -> str:
    """A value as its writer knows it, cut to a line."""
    text = {True: "true", False: "false", None: "nothing"}[value] if value is None or isinstance(value, bool) else None
    if text is None:
        text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def explain(error: ValidationError, model: type[BaseModel], data: Any, root: Where, title: str) -> Iterator[tuple[Where, str]]:
    """The place and the message of each thing that is wrong with `data`, the options at `root` of a `title`."""
    groups: dict[Where, list[Any]] = {}
    for detail in error.errors(include_url=False):
        groups.setdefault(_real_path(detail, data), []).append(detail)
    for path, details in groups.items():
        if any(len(deeper) > len(path) and deeper[: len(path)] == path for deeper in groups):
            continue  # another branch of a union, of which a part is wrong: more is known there
        kind = details[0]["type"]
        if kind in ("extra_forbidden", "invalid_key"):
            fields = _fields_at(model, path[:-1])
            yield root + path, f"{dotted(root + path)} is not an option of {title}{nearest(path[-1], fields)}"
        elif kind == "missing" and isinstance(path[-1], int):
            if (*path[:-1], path[-1] + 1) not in groups:
                yield root + path[:-1], f"{dotted(root + path[:-1])} needs {path[-1] + 1} items, got {got(_at(data, path[:-1]))}"
        elif kind == "missing":
            yield root + path[:-1], _missing(model, root, path, title)
        else:
            yield root + path, _wrong(details, root + path, title if not path else "")


def _real_path(detail: Any, data: Any) -> Where:
    """The part of pydantic's location that exists in the data: without the names of the branches of a union."""
    path: list[str | int] = []
    for index, part in enumerate(detail["loc"]):
        keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list | tuple) else ()
        if part in keys:
            data = data[part]
        elif index == 0 or (detail["type"] == "missing" and index == len(detail["loc"]) - 1):
            data = None
        else:
            continue
        path.append(part)
    return tuple(path)


def _at(data: Any, path: Where) -> Any:
    for part in path:
        data = data[part]
    return data


def _missing(model: type[BaseModel], root: Where, path: Where, title: str) -> str:
    owner = dotted(root + path[:-1]) or title
    named = f" ({title})" if len(path) == 1 and root else ""
    field = _fields_at(model, path[:-1]).get(str(path[-1]))
    about = f": {field.description}" if field is not None and field.description else ""
    return f"{owner}{named} needs {path[-1]!r}{about}"


def _wrong(details: list[Any], where: Where, title: str) -> str:
    """One value that no branch of its type accepts."""
    subject = dotted(where) or "the file"
    wants = list(dict.fromkeys(filter(None, map(_wanted, details))))
    if len(wants) == len({detail["type"] + str(detail.get("ctx")) for detail in details}) or len(wants) == 1:
        return f"{subject} must be {', or '.join(wants)}, got {got(details[0]['input'])}"
    reasons = (detail.get("ctx", {}).get("error", detail["msg"]) for detail in details)
    named = f" ({title})" if title and where else ""
    return f"{subject}{named}: {'; '.join(dict.fromkeys(' '.join(str(reason).split()) for reason in reasons))}"


_WANTED = {
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "bool_type": "true or false", "bool_parsing": "true or false",
    "string_type": "text", "path_type": "a path", "none_required": "nothing",
    "tuple_type": "a list", "list_type": "a list", "set_type": "a list",
    "dict_type": "a mapping", "model_type": "a mapping", "model_attributes_type": "a mapping",
    "greater_than": "greater than {gt}", "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}", "less_than_equal": "at most {le}", "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}", "enum": "{expected}",
    "too_short": "a list of at least {min_length}", "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} characters", "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
}  # fmt: skip


def _wanted(detail: Any) -> str | None:
    """What was wanted, in words that follow "must be"; None when the error is no matter of type or range."""
    pattern = _WANTED.get(detail["type"])
    if pattern is None:
        return None
    context = {key: f"{value:g}" if isinstance(value, float) else value for key, value in detail.get("ctx", {}).items()}
    return pattern.format(**context)


def _fields_at(model: type[BaseModel], path: Where) -> dict[str, Any]:
    """The fields of the model that stands at `path` inside `model`; none where that is no model."""
    current: list[type[BaseModel]] = [model]
    for part in path:
        if isinstance(part, str):
            fields = [cls.model_fields[part] for cls in current if part in cls.model_fields]
            current = [found for field in fields for found in models_in(field.annotation)]
    return {field.alias or name: field for cls in current for name, field in cls.model_fields.items()}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models that an annotation names, at any depth."""
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    origin = get_origin(annotation)
    inner = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
    if origin in (Annotated, Union, types.UnionType, tuple, list, dict):
        for part in inner:
            yield from models_in(part)


def type_text(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type as a person writes values of it: "number > 0", "realtime | fast | number > 0", "list of whole number"."""
    names = {float: "number", int: "whole number", bool: "true or false", str: "text", type(None): "nothing"}
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in names:
        text = names[annotation]
    elif origin is Annotated:
        text = type_text(inner[0], inner[1:])
    elif origin in (Union, types.UnionType):
        text = " | ".join(type_text(part) for part in inner if part is not type(None))
    elif origin is Literal:
        text = " | ".join(got(value) if isinstance(value, bool) else str(value) for value in inner)
    elif origin in (tuple, list):
        repeated = origin is list or inner[-1:] == (Ellipsis,)
        item = type_text(inner[0])
        text = f"list of {f'({item})' if ' | ' in item else item}" if repeated else f"[{', '.join(map(type_text, inner))}]"
    else:
        text = re.sub(r"Config$", "", getattr(annotation, "__name__", str(annotation))).lower()
    return text + _bounds(metadata)


def _bounds(metadata: Iterable[Any]) -> str:
    """The limits that Field(gt=0, ...) leaves in a field's metadata."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    items = [inner for item in metadata for inner in getattr(item, "metadata", [item])]
    found = [(sign, getattr(item, name)) for item in items for name, sign in signs.items() if hasattr(item, name)]
    return ",".join(f" {sign} {bound:g}" for sign, bound in found if isinstance(bound, int | float))
