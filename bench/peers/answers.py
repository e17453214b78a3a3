"""What a peer prints: a line of JSON with its answer, the last on standard output."""

import json

import numpy

MASK = (1 << 64) - 1


def edges(path):
    """Two columns of identifiers, 64 bits each."""
    pairs = numpy.fromfile(path, dtype="<u8").reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def connectivity(identifiers, people, labels):
    """`labels` is the sum of identifier xor (smallest identifier of the person >> 1)."""
    say({"identifiers": int(identifiers), "people": int(people), "labels": str(int(labels) & MASK)})


def shop(events, known, sessions, session_ms, funnel):
    """Events without duplicates, those of known users, their sessions, and who took which step."""
    say({
        "events": int(events), "known": int(known), "sessions": int(sessions),
        "session_ms": int(session_ms), "funnel": [int(step) for step in funnel],
    })


def say(answer):
    print(json.dumps({"answer": answer}), flush=True)
