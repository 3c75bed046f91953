"""Decisions in, rows of a table in a PostgreSQL database out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Secret, Sink, SinkConfig, State
from pipeline.packet import Format, Packet, decisions
from sinks.decisions_only import needs_decisions
from sinks.network import needs_cover

if TYPE_CHECKING:
    import psycopg

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
CREATE = """CREATE TABLE IF NOT EXISTS {table} (
    stream text NOT NULL, seq bigint NOT NULL, episode bigint NOT NULL, t_us bigint NOT NULL, class integer NOT NULL,
    name text NOT NULL, confidence real NOT NULL, scores real[] NOT NULL, final boolean NOT NULL, label bigint,
    PRIMARY KEY (stream, seq))"""
INSERT = "INSERT INTO {table} VALUES (%s, %s, %s, %s, %s, %s, %s, %s::real[], %s, %s) ON CONFLICT (stream, seq) DO NOTHING"
DELETE = "DELETE FROM {table} WHERE stream = %s AND seq >= %s"
NEXT = "SELECT coalesce(max(seq) + 1, 0) FROM {table} WHERE stream = %s"
LONGEST_PAUSE_S = 5.0
FINAL = ("authentication failed", "does not exist", "no password supplied", "certificate verify failed", "not match host name")


class PostgresConfig(SinkConfig):
    """Writes one row a decision to a table of a PostgreSQL database, keyed by (stream, seq).

    In: decisions of any shape. Columns: stream (the pipeline's name), seq (the decision's number, from 0), episode, t_us, class,
    name, confidence (real), scores (real[], one per class), final, label (NULL where it is not known). The table is made if it
    is missing, and may hold the decisions of several streams.

    Guarantee: effectively once. A packet's rows are one transaction, committed before the next packet is taken; when the
    connection breaks, it is opened again after pauses of 0.1 s to 5 s that double, and rows that are there already are left as
    they are. A run that resumes removes the rows of its stream beyond the checkpoint and writes them anew under the same keys,
    so none is missing or twice. A new run removes all rows of its stream, or with `existing: append` numbers on behind them.
    Off this machine `sslmode` must be require, verify-ca or verify-full, or `insecure` true: require encrypts without proving
    who the server is. Give the password by ${env:NAME}; no error shows it.
    Errors: a server that cannot be reached for `patience_s`, or that refuses; a table with other columns; a row that another
    run has written under the same key; psycopg that is not installed.

    Example: {type: postgres, host: /var/run/postgresql, database: lab}

    Source: PostgreSQL 15, INSERT (ON CONFLICT) and sections 13.2 (transactions) and 34.1.2 (sslmode).
    """

    type: Literal["postgres"] = "postgres"
    host: str = Field("127.0.0.1", min_length=1, description="the server's name or address, or the folder of its socket")
    port: int = Field(5432, ge=1, le=65535, description="the server's port")
    database: str = Field("postgres", min_length=1, description="the database; it must exist")
    user: str | None = Field(None, description="who writes; default: the user of the operating system")
    password: Secret | None = Field(None, description="its password", repr=False)
    table: str = Field("decisions", pattern=NAME, max_length=63, description="the table; it is made if it is missing")
    existing: Literal["replace", "append"] = Field("replace", description="what a new run does with rows of its stream")
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field("prefer", description="encryption")
    ca_file: FilePath | None = Field(None, description="certificates that prove who the server is")
    patience_s: float = Field(30.0, gt=0, description="how long to try to reach the server before it is an error")
    insecure: bool = Field(False, description="allow plain text to other machines")

    def check(self, upstream: Format) -> None:
        needs_decisions("postgres", upstream)
        if self.sslmode in ("disable", "prefer"):
            needs_cover("postgres", self.host, self.insecure, "set sslmode: verify-full, or ")

    def prepare(self, upstream: Format, stream: str) -> Callable[[State | None], Sink]:
        self.check(upstream)
        try:
            import psycopg  # noqa: F401 - the sink needs it
        except ImportError:
            raise ValueError("postgres: needs psycopg: pip install 'spikeline[postgres]'") from None
        return lambda state: Postgres(self, upstream, stream, None if state is None else int(state["seq"]))


class Postgres:
    """Writes rows from number `seq` on (None: a new run); those of its stream from there on are removed first."""

    def __init__(self, config: PostgresConfig, format: Format, stream: str, seq: int | None) -> None:
        self._config, self._format, self._stream = config, format, stream
        self._connection: psycopg.Connection | None = None
        self._seq = 0
        self._certainly(lambda connection, again: self._begin(connection, seq))

    def write(self, packet: Packet) -> None:
        if packet.n:
            rows = list(self._rows(packet))
            self._certainly(lambda connection, again: self._insert(connection, rows, again))
            self._seq += len(rows)

    def snapshot(self) -> State:
        """All rows so far are committed, `seq` of them."""
        return {"seq": np.array(self._seq, np.int64)}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self, connection: psycopg.Connection, seq: int | None) -> None:
        table, stream = self._config.table, self._stream
        if not connection.execute("SELECT to_regclass(%s)", (f'"{table}"',)).fetchone()[0]:  # type: ignore[index]
            connection.execute(_on(CREATE, table))
        if seq is None and self._config.existing == "append":
            seq = int(connection.execute(_on(NEXT, table), (stream,)).fetchone()[0])  # type: ignore[index]
        self._seq = seq or 0
        connection.execute(_on(DELETE, table), (stream, self._seq))

    def _insert(self, connection: psycopg.Connection, rows: list[tuple[Any, ...]], again: bool) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(_on(INSERT, self._config.table), rows)
            if cursor.rowcount != len(rows) and not again:  # a commit whose answer was lost may have gone through
                raise ValueError(f"postgres: {self._where()}: {len(rows) - cursor.rowcount} rows of stream {self._stream} from "
                                 f"seq {self._seq} on are there already: another run writes this stream; give one another name")

    def _rows(self, packet: Packet) -> Iterator[tuple[Any, ...]]:
        label = packet.label if packet.label >= 0 else None
        for seq, decision in enumerate(decisions(packet, self._format), self._seq):
            scores = [float(str(score)) for score in decision.scores]
            yield (self._stream, seq, packet.episode, decision.t_us, decision.index, decision.name, scores[decision.index],
                   scores, decision.final, label)

    def _certainly(self, work: Callable[[psycopg.Connection, bool], None]) -> None:
        """Do `work` in a transaction, with a new connection when the one at hand breaks; work's second argument says so."""
        import psycopg

        until_s, pause_s, again = time.monotonic() + self._config.patience_s, 0.1, False
        while True:
            try:
                connection = self._connection = self._connection or self._connect()
                with connection.transaction():
                    work(connection, again)
                return
            except psycopg.OperationalError as error:
                self.close()
                if time.monotonic() + pause_s > until_s or _refused(error):
                    raise self._error(error) from None
            except psycopg.Error as error:
                raise self._error(error) from None
            time.sleep(pause_s)
            pause_s, again = min(2 * pause_s, LONGEST_PAUSE_S), True

    def _connect(self) -> psycopg.Connection:
        import psycopg

        config = self._config
        own = {"user": config.user, "password": config.password, "sslrootcert": config.ca_file}
        given: dict[str, Any] = {name: str(value) for name, value in own.items() if value is not None}
        return psycopg.connect("", host=config.host, port=config.port, dbname=config.database, sslmode=config.sslmode,
                               connect_timeout=10, application_name="spikeline", autocommit=True, **given)

    def _error(self, error: psycopg.Error) -> ValueError:
        detail = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
        return ValueError(f"postgres: {self._where()}: {detail}: correct the server or the options")

    def _where(self) -> str:
        return f"{self._config.host}:{self._config.port}/{self._config.database}, table {self._config.table}"


def _on(statement: str, table: str) -> Any:
    """A statement on a table, whose name was checked to be a plain one."""
    return statement.format(table=f'"{table}"')


def _refused(error: psycopg.OperationalError) -> bool:
    """Whether trying again would meet the same answer: no such user or database, a wrong password or certificate."""
    return (error.sqlstate or "")[:2] in ("28", "3D") or any(final in str(error) for final in FINAL)
