"""A process that tells the engine of a home what changed, and ends in front of a step: `python -m` with the
home, the catalogue's URL, and the number of the step. It prints the steps that it came to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from medsiglip.index.catalogue.database import Database
from medsiglip.index.engines.draining import drain
from medsiglip.index.engines.opening import EngineSetting, connect


def main(home: str, url: str, last: int) -> None:
    """Work off the outbox, up to a step."""
    database = Database(Path(home), url, 30.0)
    steps = 0

    def step(name: str) -> None:
        nonlocal steps
        steps += 1
        print(name, flush=True)
        if steps == last:
            os._exit(9)

    drain(database, connect(EngineSetting("pgvector"), database), step)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
