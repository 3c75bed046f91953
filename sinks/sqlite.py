"""Decisions in, rows of a table in an SQLite database out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Sink, SinkConfig, State
from pipeline.packet import Format, Packet, decisions
from sinks.decisions_only import needs_decisions
from sinks.files import make_folder

CREATE = """CREATE TABLE IF NOT EXISTS "{table}" (
    stream TEXT NOT NULL, seq INTEGER NOT NULL, episode INTEGER NOT NULL, t_us INTEGER NOT NULL, class INTEGER NOT NULL,
    name TEXT NOT NULL, confidence REAL NOT NULL, scores TEXT NOT NULL, final INTEGER NOT NULL, label INTEGER,
    PRIMARY KEY (stream, seq)) WITHOUT ROWID"""
INSERT = 'INSERT OR REPLACE INTO "{table}" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
DELETE = 'DELETE FROM "{table}" WHERE stream = ? AND seq >= ?'
BUSY_S = 30.0


class SqliteConfig(SinkConfig):
    """Writes one row a decision to a table of an SQLite database, keyed by (stream, seq).

    In: decisions of any shape. Columns: stream (the pipeline's name), seq (the decision's number, from 0), episode, t_us, class,
    name, confidence, scores (a JSON list, one per class), final (0 or 1), label (NULL where it is not known). Floats are
    those of the float32. A database and a table may hold the decisions of several streams.

    Guarantee: a packet's rows are one transaction, committed before the next packet is taken; they survive the death of the
    process at once, and the loss of power once a checkpoint is. A run begins by removing the rows of its stream; one that resumes
    removes those beyond the checkpoint and writes them anew under the same keys, so no row is missing or twice.
    Errors: a file that is no database, a table with other columns, a database that another process keeps locked for 30 s.

    Example: {type: sqlite, path: out/decisions.sqlite}

    Source: SQLite, "Write-Ahead Logging" and "UPSERT".
    """

    type: Literal["sqlite"] = "sqlite"
    path: FilePath = Field(description="the database; it and missing folders are made")
    table: str = Field("decisions", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the table; it is made if it is missing")

    def check(self, upstream: Format) -> None:
        needs_decisions("sqlite", upstream)

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        make_folder("sqlite", self.path)
        return lambda state: Sqlite(self, upstream, stream, 0 if state is None else int(state["seq"]))


class Sqlite:
    """Writes rows from number `seq` on; those of its stream from there on are removed first."""

    def __init__(self, config: SqliteConfig, format: Format, stream: str, seq: int) -> None:
        self._path, self._format, self._stream, self._seq = config.path, format, stream, seq
        self._insert = INSERT.format(table=config.table)
        self._connection: sqlite3.Connection | None = None
        self._guarded(self._open, config.table)

    def write(self, packet: Packet) -> None:
        if packet.n:
            rows = list(self._rows(packet))
            self._guarded(self._commit, rows)
            self._seq += len(rows)

    def snapshot(self) -> State:
        """The promise that all rows so far are on disk, `seq` of them."""
        self._guarded(self._execute, "PRAGMA wal_checkpoint(FULL)")
        return {"seq": np.array(self._seq, np.int64)}

    def close(self) -> None:
        if self._connection is not None:
            self._guarded(self._execute, "PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
            self._connection = None

    def _open(self, table: str) -> None:
        self._connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", CREATE.format(table=table)):
            self._connection.execute(statement)
        self._connection.execute(DELETE.format(table=table), (self._stream, self._seq))

    def _commit(self, rows: list[tuple[Any, ...]]) -> None:
        self._execute("BEGIN")
        try:
            self._connection.executemany(self._insert, rows)  # type: ignore[union-attr]
        except BaseException:
            self._execute("ROLLBACK")
            raise
        self._execute("COMMIT")

    def _execute(self, statement: str) -> None:
        self._connection.execute(statement).fetchall()  # type: ignore[union-attr]

    def _rows(self, packet: Packet) -> Iterator[tuple[Any, ...]]:
        label = packet.label if packet.label >= 0 else None
        for seq, decision in enumerate(decisions(packet, self._format), self._seq):
            scores = json.dumps([float(str(score)) for score in decision.scores])
            confidence = float(decision.scores[decision.index])
            yield (self._stream, seq, packet.episode, decision.t_us, decision.index, decision.name, confidence, scores,
                   int(decision.final), label)

    def _guarded(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except sqlite3.Error as error:
            raise ValueError(f"sqlite: {self._path}: {error}: choose another path, or correct the database") from None


def read_rows(path: Path, table: str = "decisions") -> list[tuple[Any, ...]]:
    """All rows, by stream and number."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f'SELECT * FROM "{table}" ORDER BY stream, seq').fetchall()
    finally:
        connection.close()
