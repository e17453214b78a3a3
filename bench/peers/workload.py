"""What all of them read: made once, from a seed, and kept in the scratch folder.

It is made piece by piece: a child's peak of memory counts what its parent had when it began.
"""

import json
import shutil
import struct
import subprocess
from pathlib import Path

# A shop in which no record is broken and no clock is off, for what becomes of these is braid's own
# rule; records come twice and late as in any shop. One file a channel, in the order of arrival.
SHOP = ["--broken", "0", "--skewed", "0", "--restamped", "0", "--file-bytes", str(1 << 50)]

# The work of the peers alone: a person is a user id, and only what they compute is a view.
SAME_WORK = """
[job]
name = "same"
out = "out-same"
without = ["people", "identifiers", "id_changes", "duplicates"]

{sources}
[time]
disorder = "2h"
admit = "7d"
ids = "30d"
history = "400d"

[[identity.type]]
name = "user_id"
from = ["userId"]
rank = 0

[[view]]
kind = "sessions"
cap = "365d"

[[view]]
kind = "funnel"
name = "purchase"
steps = [
    {{ event = "browse" }}, {{ event = "cart" }},
    {{ event = "checkout" }}, {{ event = "purchase" }},
]
funnelWindowInterval = 7
funnelWindowIntervalUnit = "day"

[[sink]]
connector = "table"
"""


def edges(scratch, program, size):
    """A file of edges."""
    path = scratch / f"edges-{size}.bin"
    if not path.exists():
        part = path.with_suffix(".part")
        subprocess.run([program, "export", part, "--size", str(size)], check=True)
        part.rename(path)
    return path


def edges_as_text(path):
    """The same as CSV, for those that read no binary file."""
    text = path.with_suffix(".csv")
    if not text.exists():
        part = text.with_suffix(".part")
        with open(path, "rb") as edges, open(part, "w") as file:
            file.write("x,y\n")
            while block := edges.read(1 << 20):
                file.writelines(f"{x},{y}\n" for x, y in struct.iter_unpack("<QQ", block))
        part.rename(text)
    return text


def shop(scratch, braid, size):
    """A folder with web, mobile and backend, and two jobs: the whole one and the peers' part."""
    folder = scratch / f"shop-{size}"
    if folder.exists():
        return folder
    part = scratch / f"shop-{size}.part"
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run([braid, "gen", "--events", str(size), "--out", part, *SHOP, "--json"],
                   check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(part / "truth", ignore_errors=True)
    # Support's merges make one person of two user ids, which the peers know nothing of.
    (path,) = (part / "backend").iterdir()
    kept = path.with_suffix(".kept")
    with open(path, "rb") as file, open(kept, "wb") as out:
        out.writelines(line for line in file if b'"type":"merge"' not in line)
    kept.rename(path)
    job = (part / "job.toml").read_text()
    sources = job[job.index("[[source]]"):job.index("[time]")]
    (part / "same.toml").write_text(SAME_WORK.format(sources=sources))
    lines = 0
    for path in part.glob("*/*.ndjson"):
        with open(path, "rb") as file:
            lines += sum(1 for _ in file)
    (part / "size.json").write_text(json.dumps({"records": lines}))
    part.rename(folder)
    return folder


def records(folder: Path):
    """How many records a shop has."""
    return json.loads((folder / "size.json").read_text())["records"]
