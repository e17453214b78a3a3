"""ClickHouse in this process (chdb): connectivity of edges, or a shop, computed once from files.

    chdb_peer.py connectivity EDGES
    chdb_peer.py shop FOLDER
"""

import sys

import answers
from chdb import session

ENVELOPE = """
    select messageId as id, userId as user, event,
           toUnixTimestamp64Milli(if(isNull(timestamp),
               addMilliseconds(receivedAt,
                   -dateDiff('millisecond', originalTimestamp, sentAt)),
               assumeNotNull(timestamp))) as at
    from file('{folder}/{{web,mobile}}/*.ndjson', JSONEachRow,
        'messageId String, userId String, event String, timestamp Nullable(DateTime64(3)),
         originalTimestamp DateTime64(3), sentAt DateTime64(3), receivedAt DateTime64(3)')"""
BACKEND = """
    select id, customer as user, kind as event, at
    from file('{folder}/backend/*.ndjson', JSONEachRow,
        'id String, customer String, kind String, at Int64')"""

# Times such as 2026-01-05T10:00:00.000Z.
SETTINGS = "date_time_input_format = 'best_effort', input_format_null_as_default = 1"


def rows(db, query):
    text = str(db.query(query, "TSV"))
    return [line.split("\t") for line in text.splitlines()]


def connectivity(path):
    db = session.Session()
    # An own order by both columns makes the distinct and the joins of a round cheap.
    db.query(f"""
        create table links engine = MergeTree order by (x, y) as
        select distinct x, y from (
            select x, y from file('{path}', RowBinary, 'x UInt64, y UInt64')
            union all
            select y, x from file('{path}', RowBinary, 'x UInt64, y UInt64'))""")
    db.query("""
        create table labels0 engine = MergeTree order by node as
        select distinct x as node, x as least from links""")
    # WITH RECURSIVE can only add rows, never replace the label of an identifier, so the rounds are
    # statements: each takes the smallest label of the neighbours, until none is smaller.
    step = 0
    while True:
        old, new = f"labels{step}", f"labels{step + 1}"
        db.query(f"""
            create table {new} engine = MergeTree order by node as
            select node, min(label) as least from (
                select node, least as label from {old}
                union all
                select links.y as node, {old}.least as label
                from links join {old} on links.x = {old}.node
            ) group by node""")
        (before,), (after,) = (rows(db, f"select sum(toUInt128(least)) from {t}")[0]
                               for t in (old, new))
        db.query(f"drop table {old}")
        step += 1
        if before == after:
            break
    found = rows(db, f"""
        select count(), countIf(node = least), sum(bitXor(node, bitShiftRight(least, 1)))
        from labels{step}""")[0]
    answers.connectivity(*found)


def shop(folder):
    db = session.Session()
    db.query(f"""
        create table events engine = MergeTree order by (user, at) as
        select id, any(user) as user, any(event) as event, min(at) as at
        from ({ENVELOPE.format(folder=folder)} union all {BACKEND.format(folder=folder)})
        group by id settings {SETTINGS}""")
    ((events, known),) = rows(db, "select count(), countIf(user <> '') from events")
    ((sessions, length),) = rows(db, """
        select countIf(not goes_on), sumIf(at - before, goes_on) from (
            select at, lagInFrame(at, 1, -1000000000000) over (
                       partition by user order by at
                       rows between unbounded preceding and current row) as before,
                   at - before <= 1800000 as goes_on
            from events where user <> '')""")
    (funnel,) = rows(db, """
        select countIf(level >= 1), countIf(level >= 2), countIf(level >= 3), countIf(level >= 4)
        from (
            select windowFunnel(604800000)(toUInt64(at), event = 'browse', event = 'cart',
                                           event = 'checkout', event = 'purchase') as level
            from events where user <> '' group by user)""")
    answers.shop(events, known, sessions, length, funnel)


if __name__ == "__main__":
    {"connectivity": connectivity, "shop": shop}[sys.argv[1]](sys.argv[2])
