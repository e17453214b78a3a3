"""ClickHouse's windowFunnel over the clicks of a shop, in every mode, beside the meaning of SPEC.md.

    pip install chdb && python3 tests/peers/clickhouse_funnels.py [case]

For each case and mode: how many users get how far by windowFunnel, and by a naive funnel as
operators/src/views/funnel/SPEC.md defines it (ordered or strict, all time, unique users). The figures
are recorded in tests/tests/it/clickhouse.rs, which runs the same funnels through braid.
"""

import gzip
import os
import sys
from collections import defaultdict
from datetime import datetime, timezone

import chdb

DATA = os.path.join(os.path.dirname(__file__), "..", "data", "shop.csv.gz")
MODES = ["", "strict_order", "strict_increase", "strict_deduplication", "strict_once",
         "strict_order, allow_reentry"]
CASES = [
    ("purchase", ["catalog", "cart", "purchase"], 14 * 86400),
    ("hour", ["catalog", "cart", "purchase"], 3600),
    ("minute", ["catalog", "cart", "purchase"], 60),
    ("twice", ["catalog", "catalog", "cart"], 3600),
    ("long", ["home", "catalog", "product_view", "cart", "purchase"], 86400),
]


def clicks():
    with gzip.open(DATA, "rt") as file:
        lines = {tuple(line.rstrip("\n").split(",")[:4]) for line in list(file)[1:]}
    return lines


def clickhouse(steps, window, mode, table):
    modes = "".join(f", '{m.strip()}'" for m in mode.split(",") if m)
    conditions = ", ".join(f"event = '{step}'" for step in steps)
    query = f"""
        SELECT level, count() FROM (
            SELECT user, windowFunnel({window}{modes})(at, {conditions}) AS level
            FROM {table} GROUP BY user
        ) GROUP BY level ORDER BY level FORMAT TSV"""
    levels = [line.split("\t") for line in str(chdb.query(query)).split("\n") if line]
    counts = {int(level): int(count) for level, count in levels}
    return [sum(n for level, n in counts.items() if level >= s + 1) for s in range(len(steps))]


def chain(events, entry, steps, window, strict):
    """How far an entry gets: events are (time, name), those of one time have no order."""
    used, last, step = {entry}, entry, 1
    times = sorted({at for at, _ in events})
    while step < len(steps):
        at = events[last][0]
        allowed = [t for t in times if t >= at][: 2 if strict else None]
        found = next((i for i, (t, name) in enumerate(events)
                      if t in set(allowed) and name == steps[step] and i not in used
                      and t - events[entry][0] <= window), None)
        if found is None:
            break
        used.add(found)
        last, step = found, step + 1
    return step


def ours(users, steps, window, strict):
    reached = [0] * len(steps)
    for events in users.values():
        furthest = max((chain(events, i, steps, window, strict)
                        for i, (_, name) in enumerate(events) if name == steps[0]), default=0)
        for step in range(furthest):
            reached[step] += 1
    return reached


def main():
    rows = clicks()
    path = "/tmp/clicks.tsv" if os.access("/tmp", os.W_OK) else "clicks.tsv"
    with open(path, "w") as out:
        for user, _, event, at in sorted(rows):
            out.write(f"{user}\t{event}\t{at}\n")
    table = f"file('{path}', 'TSV', 'user String, event String, at DateTime(\\'UTC\\')')"
    users = defaultdict(list)
    for user, _, event, at in rows:
        moment = datetime.fromisoformat(at).replace(tzinfo=timezone.utc)
        users[user].append((int(moment.timestamp()), event))
    for events in users.values():
        events.sort()
    print(str(chdb.query("SELECT version() FORMAT TSV")).strip())
    for name, steps, window in CASES:
        if sys.argv[1:] not in ([], [name]):
            continue
        print(name, " > ".join(steps), window)
        for mode in MODES:
            print(f"  {mode or 'default':32}", clickhouse(steps, window, mode, table))
        print(f"  {'SPEC.md, ordered':32}", ours(users, steps, window, False))
        print(f"  {'SPEC.md, strict':32}", ours(users, steps, window, True))


if __name__ == "__main__":
    main()
