"""Rebuilds the rows that stand from a topic. Writes them as JSON, one a line, sorted."""

import json
import sys

from standing import standing


def main():
    rows = standing(sys.argv[1], sys.argv[2])
    for key, value in rows.items():
        row = json.loads(value)
        assert json.loads(key).items() <= row.items(), "the key's columns are in the row"
    # As the other side writes it: no blanks, columns in their order.
    lines = [json.dumps(json.loads(value), separators=(",", ":"), ensure_ascii=False) for value in rows.values()]
    sys.stdout.write("".join(line + "\n" for line in sorted(lines)))


main()
