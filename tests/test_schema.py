"""The JSON Schema by which editors complete and check a pipeline's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config import KINDS
from spikeline.catalog import OPERATORS, SINKS, SOURCES, make_catalog
from spikeline.schema import pipeline_schema
from tests.fake_catalog import CATALOG

SHIPPED = Path(__file__).resolve().parent.parent / "configs" / "spikeline.schema.json"


def references(schema: Any) -> set[str]:
    """Every definition that a schema refers to."""
    if isinstance(schema, dict):
        own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*(references(value) for value in schema.values()))
    return set().union(*map(references, schema)) if isinstance(schema, list) else set()


def test_the_shipped_schema_is_current() -> None:
    made = pipeline_schema(make_catalog(custom=False))
    assert json.loads(SHIPPED.read_text()) == json.loads(json.dumps(made)), (
        "run: spikeline schema --no-custom > configs/spikeline.schema.json"
    )


def test_every_component_is_a_branch_told_apart_by_its_type() -> None:
    schema = pipeline_schema(make_catalog(custom=False))
    for kind, table in zip(KINDS, (SOURCES, OPERATORS, SINKS), strict=True):
        branches = schema["$defs"][kind]["oneOf"]
        assert [branch.get("$ref") for branch in branches[:-1]] == [f"#/$defs/{kind}.{name}" for name in table]
        for name in table:
            component = schema["$defs"][f"{kind}.{name}"]
            assert component["properties"]["type"] == {"const": name}
            assert component["required"][0] == "type"
            assert component["additionalProperties"] is False


def test_every_reference_leads_somewhere() -> None:
    schema = pipeline_schema(make_catalog(custom=False))
    assert {name.removeprefix("#/$defs/") for name in references(schema)} <= set(schema["$defs"])


def test_components_inside_components_are_any_of_their_kind() -> None:
    definitions = pipeline_schema(CATALOG)["$defs"]
    assert definitions["operator.body"]["properties"]["body"]["items"] == {"$ref": "#/$defs/operator"}
    assert definitions["source.stack"]["properties"]["sources"]["minItems"] == 2


def test_an_option_may_be_an_environment_variable() -> None:
    option = pipeline_schema(CATALOG)["$defs"]["operator.window"]["properties"]["window_ms"]
    assert option == {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"$ref": "#/$defs/variable"}],
        "description": "length of the window",
        "default": 5.0,
    }
