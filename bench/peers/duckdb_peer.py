"""DuckDB: connectivity of edges, or sessions and a funnel of a shop, computed once from files.

    duckdb_peer.py connectivity EDGES
    duckdb_peer.py shop FOLDER
"""

import sys

import answers
import duckdb
import pyarrow

# Only columns that are asked for are read; without `columns` DuckDB reads a sample to find types.
ENVELOPE = """
    select messageId as id, userId as user_id, event,
           epoch_ms(coalesce(timestamp, receivedAt - (sentAt - originalTimestamp))) as ms
    from read_json([{files}], format = 'newline_delimited', columns = {{
        messageId: 'varchar', userId: 'varchar', event: 'varchar', timestamp: 'timestamp',
        originalTimestamp: 'timestamp', sentAt: 'timestamp', receivedAt: 'timestamp'}})"""
BACKEND = """
    select id, customer as user_id, kind as event, "at" as ms
    from read_json([{files}], format = 'newline_delimited', columns = {{
        id: 'varchar', customer: 'varchar', kind: 'varchar', "at": 'bigint'}})"""

# Of each step the latest start of a chain that gets there; events of one moment have no order.
FUNNEL = """
    with one as (
        select *, max(case when event = 'browse' then ms end) over up as start1 from steps
        window up as (partition by user_id order by ms range unbounded preceding)
    ), two as (
        select *, max(case when event = 'cart' and ms - start1 <= {window} then start1 end) over up
            as start2 from one
        window up as (partition by user_id order by ms range unbounded preceding)
    ), three as (
        select *, max(case when event = 'checkout' and ms - start2 <= {window} then start2 end)
            over up as start3 from two
        window up as (partition by user_id order by ms range unbounded preceding)
    )
    select count(distinct user_id) filter (event = 'browse'),
           count(distinct user_id) filter (event = 'cart' and ms - start1 <= {window}),
           count(distinct user_id) filter (event = 'checkout' and ms - start2 <= {window}),
           count(distinct user_id) filter (event = 'purchase' and ms - start3 <= {window})
    from three"""

SESSIONS = """
    with marked as (
        select user_id, ms,
               ms - lag(ms) over (partition by user_id order by ms) <= {gap} as goes_on
        from known
    )
    select count(*) filter (goes_on is not true),
           sum(step) filter (goes_on) from (
        select goes_on, ms - lag(ms) over (partition by user_id order by ms) as step from marked)"""


def connect():
    db = duckdb.connect()
    # Advised for files larger than what one wants to keep in order.
    db.execute("set preserve_insertion_order = false")
    return db


def connectivity(path):
    db = connect()
    x, y = answers.edges(path)
    table = pyarrow.table({"x": x, "y": y})
    db.register("edges", table)
    db.execute("""
        create table links as
        select distinct x, y from (select x, y from edges union all select y, x from edges)""")
    # USING KEY keeps one row of each identifier instead of all that there ever were.
    db.execute("""
        create table labels as
        with recursive label(node, least) using key (node) as (
            select distinct x, x from links
            union
            select links.y, min(changed.least)
            from label as changed
            join links on links.x = changed.node
            join recurring.label as now on now.node = links.y
            where changed.least < now.least
            group by links.y
        )
        select node, least from label""")
    found = db.execute("""
        select count(*), count(*) filter (node = least), sum(xor(node, least >> 1)::hugeint)
        from labels""").fetchone()
    answers.connectivity(*found)


def shop(folder):
    db = connect()

    def files(*channels):
        return ", ".join(f"'{folder}/{channel}/*.ndjson'" for channel in channels)

    envelopes = ENVELOPE.format(files=files("web", "mobile"))
    backend = BACKEND.format(files=files("backend"))
    db.execute(f"""
        create table events as
        select id, any_value(user_id) as user_id, any_value(event) as event, min(ms) as ms
        from ({envelopes} union all {backend}) group by id""")
    db.execute("create view known as select user_id, event, ms from events where user_id <> ''")
    db.execute("""
        create view steps as select * from known
        where event in ('browse', 'cart', 'checkout', 'purchase')""")
    (events,) = db.execute("select count(*) from events").fetchone()
    (known,) = db.execute("select count(*) from known").fetchone()
    sessions, length = db.execute(SESSIONS.format(gap=30 * 60_000)).fetchone()
    funnel = db.execute(FUNNEL.format(window=7 * 86_400_000)).fetchone()
    answers.shop(events, known, sessions, length, funnel)


if __name__ == "__main__":
    {"connectivity": connectivity, "shop": shop}[sys.argv[1]](sys.argv[2])
