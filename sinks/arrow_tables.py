"""Columns in, pyarrow tables out: the schema that the sinks parquet and arrow share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.packet import Format
from sinks.rows import DECISION_DTYPES, EVENT_DTYPES, Columns, column_names, tables
from sinks.table_file import format_of, packets_of


def arrow_schema(format: Format) -> Any:
    """The columns' types; the metadata holds the stream's format as JSON under `spikeline`."""
    import numpy as np
    import pyarrow as pa

    types: dict[str, Any] = {"name": pa.string(), "scores": pa.list_(pa.float32())}
    dtypes = DECISION_DTYPES if format.kind == "decisions" else EVENT_DTYPES
    fields = [(name, types.get(name) or pa.from_numpy_dtype(np.dtype(dtypes[name]))) for name in column_names(format)]
    return pa.schema(fields, {"spikeline": json.dumps(asdict(format) | {"t": "us"})})


def arrow_tables(recordings: list[Path]) -> Iterator[Any]:
    """The rows of recordings, in tables of limited length."""
    format = format_of(recordings)
    schema = arrow_schema(format)
    for table in tables(packets_of(recordings), format):
        yield _arrow_table(table, schema)


def _arrow_table(columns: Columns, schema: Any) -> Any:
    import pyarrow as pa

    arrays = [pa.array(_listed(columns[field.name], field.type), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _listed(column: Any, type: Any) -> Any:
    return list(column) if hasattr(type, "value_type") else column
