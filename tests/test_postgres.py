"""postgres: against a real server, started on loopback with a data folder of its own."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from pipeline.packet import Format, Packet
from sinks.postgres import PostgresConfig
from tests.servers import PostgresServer, database, free_port

FORMAT = Format("decisions", (2,), names=("a", "b"))


def decision(number: int, label: int = -1) -> Packet:
    scores = np.array([0.1, 0.9], np.float32)
    return Packet(number * 10, number * 10 + 10, np.full(2, number * 10 + 9), np.array([0, 1], np.uint32), scores, label=label)


def config(**options: Any) -> PostgresConfig:
    return PostgresConfig(**{"port": database().port, "user": "tester", "table": "t", **options})


def keys(table: str = "t") -> list[tuple[str, int]]:
    return [row[:2] for row in database().rows(table)]


def test_a_row_holds_the_decision_with_the_digits_of_its_float32() -> None:
    with closing(config(table="one").prepare(FORMAT, "cam")(None)) as sink:
        sink.write(decision(0))
        sink.write(decision(1, label=1))
    assert database().rows("one") == [("cam", 0, 0, 9, 1, "b", 0.9, [0.1, 0.9], False, None),
                                      ("cam", 1, 0, 19, 1, "b", 0.9, [0.1, 0.9], False, 1)]


def test_rows_are_there_before_the_next_packet_is_taken() -> None:
    with closing(config().prepare(FORMAT, "soon")(None)) as sink:
        for number in range(3):
            sink.write(decision(number))
            assert ("soon", number) in keys()


def test_a_resumed_run_leaves_no_row_missing_or_twice() -> None:
    sink = config(table="resumed").prepare(FORMAT, "cam")(None)
    for number in range(4):
        sink.write(decision(number))
    state = sink.snapshot()
    for number in range(4, 7):  # written, and then the process dies
        sink.write(decision(number))
    sink.close()
    with closing(config(table="resumed").prepare(FORMAT, "cam")(state)) as sink:
        for number in range(4, 9):
            sink.write(decision(number))
    assert [row[1:4] for row in database().rows("resumed")] == [(k, 0, k * 10 + 9) for k in range(9)]


def test_a_new_run_replaces_its_stream_and_leaves_others_alone() -> None:
    for stream, count in (("left", 2), ("right", 3), ("left", 1)):
        with closing(config(table="shared").prepare(FORMAT, stream)(None)) as sink:
            for number in range(count):
                sink.write(decision(number))
    assert keys("shared") == [("left", 0), ("right", 0), ("right", 1), ("right", 2)]


def test_a_new_run_may_number_on_behind_what_is_there() -> None:
    for _ in range(2):
        with closing(config(table="kept", existing="append").prepare(FORMAT, "cam")(None)) as sink:
            sink.write(decision(0))
    assert keys("kept") == [("cam", 0), ("cam", 1)]


def test_two_runs_of_one_name_at_once_are_an_error() -> None:
    with closing(config(table="twice").prepare(FORMAT, "cam")(None)) as one, \
            closing(config(table="twice").prepare(FORMAT, "cam")(None)) as other:
        one.write(decision(0))
        with pytest.raises(ValueError, match="another run writes this stream"):
            other.write(decision(0))


def test_a_server_that_restarts_costs_no_row() -> None:
    with PostgresServer() as server:
        with closing(config(port=server.port).prepare(FORMAT, "cam")(None)) as sink:
            sink.write(decision(0))
            server.stop("immediate")
            server.start()
            sink.write(decision(1))
        assert [row[1] for row in server.rows("t")] == [0, 1]


def test_no_server_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match=r"onnection refused.*: correct the server or the options"):
        PostgresConfig(port=free_port(), patience_s=0.2).prepare(FORMAT, "cam")(None)


def test_a_wrong_password_is_refused_at_once_and_not_shown() -> None:
    with PostgresServer(password="right") as server:
        config(port=server.port, password="right").prepare(FORMAT, "cam")(None).close()
        with pytest.raises(ValueError, match="password authentication failed") as error:
            config(port=server.port, password="secret", patience_s=1000).prepare(FORMAT, "cam")(None)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("options", "said"), [({"database": "nowhere"}, '"nowhere" does not exist')])
def test_a_database_that_is_not_there_is_one_clear_error(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(**options).prepare(FORMAT, "cam")(None)


def test_a_table_with_other_columns_is_one_clear_error() -> None:
    import psycopg

    with psycopg.connect(host="127.0.0.1", port=database().port, user="tester", dbname="postgres") as connection:
        connection.execute("CREATE TABLE other (a int)")
    with pytest.raises(ValueError, match='table other: column "stream" does not exist'):
        config(table="other").prepare(FORMAT, "cam")(None)


def test_plain_text_to_another_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="set sslmode: verify-full, or say insecure: true"):
        PostgresConfig(host="192.0.2.7", password="secret").check(FORMAT)
    PostgresConfig(host="192.0.2.7", sslmode="verify-full").check(FORMAT)
    assert "secret" not in repr(PostgresConfig(password="secret"))
