"""One of several writers that commit to one home in contention, of which some are killed.

`python -m tests.index.storage.many_writers HOME NUMBER COUNT SHARED [URL]` adds COUNT studies of its own and
all SHARED ones, in an order of its own, and every third of its own again as a series that is replaced. It
prints `open`, waits for a line, and then prints each study with the ids that the index answered, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from medsiglip.index.case_index import CaseIndex
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

IMAGES = 3
BUSY_SECONDS = 120.0


def main(home: Path, number: int, count: int, shared: int, url: str | None) -> None:
    own = range(1000 * number, 1000 * number + count)
    work = [*((study, False) for study in (*own, *range(shared))), *((study, True) for study in own[::3])]
    random.Random(number).shuffle(work)
    work.sort(key=lambda one: one[1])  # what comes again comes after all that is new
    with CaseIndex.open(home, database_url=url, busy_seconds=BUSY_SECONDS) as index:
        index.activate(SPACE)
        print("open", flush=True)
        sys.stdin.readline()
        for study, again in work:
            bundle = make_bundle(study, IMAGES, replace_series=again)
            ids = index.add([bundle], unit_vectors(IMAGES, study))
            print(json.dumps([study, ids]), flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    place, first, second, third, *server = sys.argv[1:]
    main(Path(place), int(first), int(second), int(third), server[0] if server else None)
