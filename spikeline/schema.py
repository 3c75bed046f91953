"""The JSON Schema of a pipeline's YAML file, made from the config models: editors complete and check by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from pipeline.config import KINDS, Catalog, PipelineConfig, nested_fields

VARIABLE = {
    "type": "string",
    "pattern": r"^\$\{env:[A-Za-z_]\w*(:-[^}]*)?\}$",
    "description": "the value of an environment variable",
}
CUSTOM = {
    "type": "object",
    "description": "a component of your own: package.module:Class",
    "properties": {"type": {"type": "string", "pattern": r"^[\w.]+:\w+$"}},
    "required": ["type"],
}


def pipeline_schema(catalog: Catalog) -> dict[str, Any]:
    """The schema of a file that may name the components of `catalog`. Each is a branch, told apart by its `type`."""
    definitions: dict[str, Any] = {"variable": VARIABLE}
    for kind in KINDS:
        table = catalog.kind(kind)
        for name, cls in table.items():
            definitions[f"{kind}.{name}"] = _component(kind, name, cls, definitions)
        definitions[kind] = _any_of(kind, table)
    top = _model(PipelineConfig, "pipeline", definitions)
    top["required"] = ["source", "sinks"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "spikeline pipeline", **top, "$defs": definitions}


def _any_of(kind: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Any component of a kind: an editor follows `type` to the branch that it names."""
    return {
        "type": "object",
        "required": ["type"],
        "oneOf": [*({"$ref": f"#/$defs/{kind}.{name}"} for name in table), CUSTOM],
        "discriminator": {"propertyName": "type", "mapping": {name: f"#/$defs/{kind}.{name}" for name in table}},
    }


def _component(kind: str, name: str, cls: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _model(cls, f"{kind}.{name}", definitions)
    schema["properties"]["type"] = {"const": name}
    schema["required"] = ["type", *(option for option in schema.get("required", []) if option != "type")]
    return schema


def _model(cls: type[BaseModel], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of one model; the models inside it become definitions under its own prefix."""
    schema = cls.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    bases = {base.__name__ for base in KINDS.values()}
    for name, inner in schema.pop("$defs", {}).items():
        if name not in bases:
            definitions[f"{prefix}.{name}"] = inner
    options = schema["properties"]
    schema["properties"] = {name: _with_variable(value) for name, value in options.items()}
    for name, kind in nested_fields(cls).items():
        kept = {key: value for key, value in options[name].items() if key in ("description", "minItems", "maxItems")}
        one = {"$ref": f"#/$defs/{kind}"}
        schema["properties"][name] = ({"type": "array", "items": one} if options[name].get("type") == "array" else one) | kept
    schema.pop("title", None)
    return schema


def _with_variable(option: dict[str, Any]) -> dict[str, Any]:
    """An option's schema that takes ${env:NAME} besides its values, unless these are texts anyway."""
    option = {key: value for key, value in option.items() if key != "title"}
    about: dict[str, Any] = {key: option.pop(key) for key in ("description", "default") if key in option}
    if option.get("type") == "string" and "enum" not in option and "const" not in option:
        return option | about
    branches = option.pop("anyOf", None) or [option]
    return {"anyOf": [*branches, {"$ref": "#/$defs/variable"}], **about}
