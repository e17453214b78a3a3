"""Pathway: connectivity of edges, or sessions and a funnel of a shop, in its static mode.

    pathway_peer.py connectivity EDGES.csv
    pathway_peer.py shop FOLDER

Workers are set by PATHWAY_THREADS, as its documentation says.
"""

import sys

import answers
import pathway as pw

GAP_MS = 30 * 60_000
WINDOW_MS = 7 * 86_400_000
STEPS = {"browse": 0, "cart": 1, "checkout": 2, "purchase": 3}


class Edge(pw.Schema):
    x: int
    y: int


class Envelope(pw.Schema):
    messageId: str
    userId: str = pw.column_definition(default_value="")
    event: str = pw.column_definition(default_value="")
    timestamp: str = pw.column_definition(default_value="")
    originalTimestamp: str
    sentAt: str
    receivedAt: str


class Backend(pw.Schema):
    message: str
    customer: str | None
    kind: str
    at: int


def connectivity(path):
    edges = pw.io.csv.read(path, schema=Edge, mode="static")
    links = pw.Table.concat_reindex(edges, edges.select(x=pw.this.y, y=pw.this.x))
    # What is known already does not go around again.
    links = links.groupby(pw.this.x, pw.this.y).reduce(pw.this.x, pw.this.y)
    labels = links.groupby(pw.this.x).reduce(node=pw.this.x, least=pw.this.x)

    def spread(labels, links):
        heard = links.join(labels, links.x == labels.node).select(node=links.y, least=labels.least)
        own = labels.select(pw.this.node, least=pw.this.node)
        both = pw.Table.concat_reindex(heard, own)
        least = both.groupby(pw.this.node).reduce(
            pw.this.node, least=pw.reducers.min(pw.this.least))
        return dict(labels=least.with_id_from(pw.this.node), links=links)

    labels = pw.iterate_universe(labels.with_id_from(pw.this.node))
    labels = pw.iterate(spread, labels=labels, links=links).labels
    # Its integers have 64 bits with a sign, so the sum is made here.
    found = {"identifiers": 0, "people": 0, "labels": 0}

    def change(key, row, time, is_addition):
        sign = 1 if is_addition else -1
        found["identifiers"] += sign
        found["people"] += sign * (row["node"] == row["least"])
        found["labels"] += sign * (row["node"] ^ row["least"] >> 1)

    pw.io.subscribe(labels, on_change=change)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    answers.connectivity(**found)


def moment(column):
    parsed = column.dt.strptime("%Y-%m-%dT%H:%M:%S%.3fZ")
    return parsed.dt.timestamp(unit="ms").num.round(0)


@pw.udf(deterministic=True)
def furthest(steps: tuple[tuple[int, int], ...]) -> int:
    """How far the steps of a user get, in order of time. `Funnel.java` says why this is enough."""
    starts, best = [None] * len(STEPS), 0
    for at, step in steps:
        start = at if step == 0 else starts[step - 1]
        if start is None or at - start > WINDOW_MS:
            continue
        starts[step] = start if starts[step] is None else max(starts[step], start)
        best = max(best, step + 1)
    return best


def shop(folder):
    read = dict(format="json", mode="static")
    envelopes = pw.Table.concat_reindex(*(
        pw.io.fs.read(f"{folder}/{channel}/*.ndjson", schema=Envelope, **read)
        for channel in ("web", "mobile")))
    stamped = envelopes.filter(pw.this.timestamp != "")
    others = envelopes.filter(pw.this.timestamp == "")
    # Its tables have an `id` of their own.
    backend = pw.io.fs.read(f"{folder}/backend/*.ndjson", schema=Backend,
                            json_field_paths={"message": "/id"}, **read)
    columns = dict(message=pw.this.messageId, user=pw.this.userId, event=pw.this.event)
    records = pw.Table.concat_reindex(
        stamped.select(**columns, at=pw.cast(int, moment(pw.this.timestamp))),
        others.select(**columns, at=pw.cast(int, moment(pw.this.receivedAt)
                      - (moment(pw.this.sentAt) - moment(pw.this.originalTimestamp)))),
        backend.select(pw.this.message, user=pw.coalesce(pw.this.customer, ""), event=pw.this.kind,
                       at=pw.this.at))
    events = records.groupby(pw.this.message).reduce(
        user=pw.reducers.any(pw.this.user), event=pw.reducers.any(pw.this.event),
        at=pw.reducers.min(pw.this.at))
    known = events.filter(pw.this.user != "")
    # Its sessions end at a gap of this length, braid's at a longer one.
    sessions = known.windowby(
        pw.this.at, window=pw.temporal.session(max_gap=GAP_MS + 1), instance=pw.this.user,
    ).reduce(length=pw.this._pw_window_end - pw.this._pw_window_start)
    step = pw.apply_with_type(lambda event: STEPS.get(event, -1), int, pw.this.event)
    steps = known.select(pw.this.user, pw.this.at, step=step).filter(pw.this.step >= 0)
    people = steps.select(pw.this.user, pair=pw.make_tuple(pw.this.at, pw.this.step))
    people = people.groupby(pw.this.user).reduce(steps=pw.reducers.sorted_tuple(pw.this.pair))
    levels = people.select(level=furthest(pw.this.steps)).groupby(pw.this.level).reduce(
        pw.this.level, people=pw.reducers.count())

    found = {}
    count = pw.reducers.count()

    def keep(name, table):
        def change(key, row, time, is_addition):
            if is_addition:
                found[name] = row
        pw.io.subscribe(table, on_change=change)

    keep("events", events.reduce(number=count))
    keep("known", known.reduce(number=count))
    keep("sessions", sessions.reduce(number=count, ms=pw.reducers.sum(pw.this.length)))
    reached = {}

    def level(key, row, time, is_addition):
        if is_addition:
            reached[row["level"]] = row["people"]

    pw.io.subscribe(levels, on_change=level)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    funnel = [sum(n for far, n in reached.items() if far > step) for step in range(len(STEPS))]
    answers.shop(found["events"]["number"], found["known"]["number"],
                 found["sessions"]["number"], found["sessions"]["ms"], funnel)


if __name__ == "__main__":
    {"connectivity": connectivity, "shop": shop}[sys.argv[1]](sys.argv[2])
