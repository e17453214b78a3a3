"""Runs identity.py on many cases: a file with one JSON case a line in, one JSON answer a line out.

Beside what identity.py reads, a case holds the `tokens` of its identifiers: [[type, value, token], ...].
An answer is {message id: [person id, sorted identifiers of the person], or null}.
"""
import json
import sys

import identity


def answer(case):
    tokens = {(t, v): token for t, v, token in case["tokens"]}
    people = identity.resolve(case, tokens.__getitem__)
    return {m: [identity.person_id(p, tokens.__getitem__), sorted(map(list, p))] if p else None
            for m, p in people.items()}


with open(sys.argv[1], encoding="utf-8") as cases:
    for line in cases:
        print(json.dumps(answer(json.loads(line))))
