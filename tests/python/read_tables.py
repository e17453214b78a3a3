"""Reads the tables of a run as their users do, and checks that all ways give the same rows.

Usage: read_tables.py OUT EPOCH PAST. PAST has the rows of views as `braid query --as-known-at EPOCH
--format json` gives them. Ends with "all tables read", or with what differs.
"""
import json
import os
import pathlib
import sys

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

OUT = pathlib.Path(sys.argv[1])
EPOCH = int(sys.argv[2])
PAST = pathlib.Path(sys.argv[3])
TIME = pa.timestamp("us", "UTC")
TYPES = {
    "events": {"tenant": "string", "message_id": "string", "time": TIME, "channel": "string",
               "event": "string", "person_id": "string"},
    "people": {"person_id": "string", "first_seen": TIME, "events": "int64"},
    "identifiers": {"type": "string", "token": "string", "person_id": "string", "public": "bool"},
    "sessions": {"session_id": "string", "person_id": "string", "start": TIME, "end": TIME,
                 "duration_s": "double", "events": "int64", "entry_event": "string"},
    "trend_people": {"period": "string", "period_start": TIME, "breakdown": "string",
                     "value": "double"},
    "funnel_purchase": {"step": "int64", "event": "string", "count": "int64",
                        "conversion_from_start": "double", "average_s": "double",
                        "median_s": "double"},
    "funnel_purchase_people": {"person_id": "string", "furthest_step": "int64"},
    "id_changes": {"person_id": "string", "other_person_id": "string", "epoch": "int64"},
    "dead_letters": {"source": "string", "partition": "int64", "offset": "int64",
                     "payload": "binary"},
    "duplicates": {"message_id": "string", "cause": "string", "copies": "int64"},
}
KEYS = {
    "events": ["tenant", "message_id", "time"],
    "people": ["tenant", "person_id"],
    "identifiers": ["tenant", "type", "token"],
    "sessions": ["tenant", "session_id", "start"],
    "trend_people": ["tenant", "period", "period_start", "breakdown"],
    "funnel_purchase": ["tenant", "period", "period_start", "breakdown", "step"],
}


def plain(kind):
    """A type without the differences that readers have: large and view types."""
    return str(kind).replace("large_", "").replace("_view", "")


def rows(table, columns):
    """The rows of these columns, in one order."""
    return sorted(map(repr, zip(*(table.column(c).to_pylist() for c in columns))))


def known(changelog, keys, columns):
    """The rows as known after EPOCH, in plain SQL over the changelog."""
    return duckdb.sql(f"""
        select {", ".join(columns)} from (
          select *, row_number() over (partition by {", ".join(keys)} order by _epoch desc) as nth
          from changelog where _epoch <= {EPOCH})
        where nth = 1 and _op <> 'delete'
    """).fetchall()


def net(changelog, keys, columns):
    """What a changelog adds up to: of each key the row that came last, unless it went since."""
    standing = {}
    order = sorted(changelog.to_pylist(), key=lambda row: (row["_epoch"], row["_op"] != "delete"))
    for row in order:
        key = tuple(repr(row[c]) for c in keys)
        if row["_op"] == "delete":
            standing.pop(key, None)
        else:
            standing[key] = repr(tuple(row[c] for c in columns))
    return sorted(standing.values())


for name, types in TYPES.items():
    table = DeltaTable(str(OUT / name))
    current = pa.table(table.to_pyarrow_table())
    for column, kind in types.items():
        found = plain(current.schema.field(column).type)
        assert found == plain(kind), f"{name}.{column} is {found}, not {kind}"
    columns = [c for c in current.column_names if c not in ("date", "_status", "_final_at")]
    states = set(current.column("_status").to_pylist())
    assert states <= {"provisional", "final"}, f"{name}: {states}"

    by_arrow = pa.ipc.open_file(OUT / "arrow" / f"{name}.arrow").read_all()
    assert rows(by_arrow, columns) == rows(current, columns), f"{name}: the Arrow file differs"

    try:
        by_duckdb = duckdb.sql(f"from delta_scan('{OUT / name}')").arrow()
    except duckdb.Error:
        # Without its delta extension DuckDB reads what pyarrow gives it.
        by_duckdb = duckdb.sql("from current").arrow()
    if isinstance(by_duckdb, pa.RecordBatchReader):
        by_duckdb = by_duckdb.read_all()
    assert by_duckdb.num_rows == current.num_rows, f"{name}: DuckDB reads other rows"

    if name in KEYS:
        keys = KEYS[name]
        changelog = pa.table(DeltaTable(str(OUT / "changelog" / name)).to_pyarrow_table())
        assert net(changelog, keys, columns) == rows(current, columns), f"{name}: changelog differs"
        # Times are written in other ways.
        timeless = [c for c in columns if "timestamp" not in plain(current.schema.field(c).type)]
        past = map(json.loads, (PAST / f"{name}.json").read_text().splitlines())
        past = sorted(repr(tuple(row[c] for c in timeless)) for row in past)
        assert sorted(map(repr, known(changelog, keys, timeless))) == past, f"{name}: the past differs"
        assert 0 < len(past) and rows(current, timeless) != past, f"{name}: nothing has changed since"
        found = [repr(tuple(row[k] for k in keys)) for row in current.to_pylist()]
        assert len(found) == len(set(found)), f"{name}: two rows of one key"

    # Every commit says up to which epoch it is complete.
    version = table.transaction_version(f"shop/{name}")
    assert version and version > 0, f"{name}: no txn"
    # The table as it was at first can still be read.
    DeltaTable(str(OUT / name), version=0).to_pyarrow_table()

assert DeltaTable(str(OUT / "people")).to_pyarrow_table().num_rows == 600
print("all tables read", flush=True)
# Threads of the native libraries may still run: an orderly exit would now and then end in
# `std::terminate` after everything was checked.
os._exit(0)
