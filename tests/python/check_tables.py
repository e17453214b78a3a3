"""Reads a job's tables as a user does: with deltalake, pyarrow and DuckDB.

Takes the output folder and a JSON file that says, for each view, what the job knows of it.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.ipc
from deltalake import DeltaTable

TIME = pa.timestamp("us", tz="UTC")
# The columns and types that others rely on, in order; further columns may follow.
PROMISED = {
    "events": {
        "tenant": pa.string(), "message_id": pa.string(), "time": TIME, "channel": pa.string(),
        "event": pa.string(), "person_id": pa.string(),
    },
    "identifiers": {
        "tenant": pa.string(), "type": pa.string(), "token": pa.string(),
        "person_id": pa.string(), "public": pa.bool_(),
    },
    "id_changes": {
        "tenant": pa.string(), "person_id": pa.string(), "other_person_id": pa.string(),
        "change_type": pa.string(), "epoch": pa.int64(), "cause": pa.string(),
        "message_id": pa.string(),
    },
    "dead_letters": {
        "tenant": pa.string(), "source": pa.string(), "partition": pa.int64(),
        "offset": pa.int64(), "reason": pa.string(), "detail": pa.string(),
        "payload": pa.binary(),
    },
    "duplicates": {
        "tenant": pa.string(), "message_id": pa.string(), "cause": pa.string(),
        "copies": pa.int64(),
    },
    "sessions": {
        "tenant": pa.string(), "session_id": pa.string(), "person_id": pa.string(),
        "start": TIME, "end": TIME, "duration_s": pa.float64(), "events": pa.int64(),
        "channels": pa.list_(pa.string()), "entry_event": pa.string(), "exit_event": pa.string(),
    },
    "funnel_purchase": {
        "tenant": pa.string(), "period": pa.string(), "period_start": TIME,
        "breakdown": None, "step": pa.int64(), "event": pa.string(), "count": pa.int64(),
        "conversion_from_start": pa.float64(), "conversion_from_previous": pa.float64(),
        "average_s": pa.float64(), "median_s": pa.float64(),
    },
    "funnel_purchase_people": {
        "tenant": pa.string(), "person_id": pa.string(), "breakdown": None,
        "furthest_step": pa.int64(), "step_times": pa.list_(TIME),
        "message_ids": pa.list_(pa.string()),
    },
    "trend_events": {
        "tenant": pa.string(), "period": pa.string(), "period_start": TIME, "breakdown": None,
        "value": pa.float64(),
    },
}


def plain(kind: pa.DataType) -> pa.DataType:
    """A type without the ways in which readers may differ: large and view variants."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(plain(kind.value_type))
    return kind


def rows(table: pa.Table, columns: list) -> list:
    """The rows of a table as tuples, sorted."""
    def value(cell):
        return tuple(cell) if isinstance(cell, list) else cell

    lists = [[value(cell) for cell in table.column(name).to_pylist()] for name in columns]
    return sorted(zip(*lists), key=repr)


def net(log: pa.Table, columns: list, key: list) -> list:
    """The rows that a changelog leads to."""
    standing = defaultdict(list)
    changes = sorted(log.to_pylist(), key=lambda change: change["_epoch"])
    epochs = defaultdict(list)
    for change in changes:
        epochs[change["_epoch"]].append(change)
    for _, group in sorted(epochs.items()):
        for change in group:
            if change["_op"] != "insert":
                standing.pop(tuple(change[name] for name in key), None)
        for change in group:
            if change["_op"] != "delete":
                place = tuple(change[name] for name in key)
                row = [tuple(v) if isinstance(v, list) else v for v in map(change.get, columns)]
                standing[place].append(tuple(row))
    return sorted((row for found in standing.values() for row in found), key=repr)


def check(out: Path, name: str, known: dict) -> None:
    delta = DeltaTable(str(out / name))
    table = delta.to_pyarrow_table()
    columns = known["columns"]
    for column, kind in PROMISED.get(name, {}).items():
        found = plain(table.schema.field(column).type)
        assert kind is None or found == kind, f"{name}.{column}: {found}"
    promised = list(PROMISED.get(name, {}))
    assert columns[: len(promised)] == promised, f"{name}: {columns}"

    assert table.num_rows == known["rows"], f"{name}: {table.num_rows} rows"
    key = ", ".join(f'"{column}"' for column in known["key"])
    connection = duckdb.connect()
    connection.register("current_rows", table)
    twice = connection.sql(
        f"select count(*) from (select {key} from current_rows group by all having count(*) > 1)"
    ).fetchall()[0][0]
    assert twice == 0 or not known["unique"], f"{name}: {twice} rows are superseded"

    current = rows(table, columns)
    log = DeltaTable(str(out / "changelog" / name)).to_pyarrow_table()
    assert net(log, columns, known["key"]) == current, f"{name}: the changelog leads elsewhere"
    assert set(log.column("_op").to_pylist()) <= {"insert", "update", "delete"}, name
    assert set(table.column("_status").to_pylist()) <= {"provisional", "final"}, name

    app = f"{known['job']}/{name}"
    assert delta.transaction_version(app) == known["epoch"], f"{name}: txn of {app}"

    with pa.OSFile(str(out / "arrow" / f"{name}.arrow")) as file:
        stream = pa.ipc.open_file(file).read_all()
    assert rows(stream, columns) == current, f"{name}: the Arrow file"

    before = DeltaTable(str(out / name), version=known["version_before"]).to_pyarrow_table()
    assert before.num_rows == known["rows_before"], f"{name}: {before.num_rows} rows before"


def main() -> None:
    out, known = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    for name, what in known["views"].items():
        check(out, name, what)
    # A line as the README has it.
    events = DeltaTable(str(out / "events")).to_pyarrow_dataset()
    count = duckdb.sql("select count(distinct person_id) from events").fetchall()[0][0]
    assert count == known["people"], count
    print(f"{len(known['views'])} views are as they should be")


main()
