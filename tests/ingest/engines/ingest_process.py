"""An ingest in a process of its own: HOME, ENGINE, PATH, ENCODER; its report, or its error's code, as JSON.

It fails where the run took SIGTERM from the program.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any, cast

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.engines import ray_engine
from medsiglip.ingest.errors import CodedError
from medsiglip.ingest.run import commits
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.units.plan import PlanOptions
from tests.ingest.conftest import Model
from tests.ingest.engines import grid_encoder


def main() -> None:
    commits.COMMIT_EVERY_S = 0.5
    ray_engine.RESTARTS = 1 if sys.argv[4] == "make_exiting_encoder" else ray_engine.RESTARTS
    handler = signal.getsignal(signal.SIGTERM)
    options = IngestOptions(workers=2, engine=sys.argv[2], plan=PlanOptions(max_slices=12, max_patches=6))
    with CaseIndex.open(Path(sys.argv[1])) as index:
        try:
            make = getattr(grid_encoder, sys.argv[4])
            report = ingest([sys.argv[3]], index, cast(Any, Model()), make, options)
        except CodedError as error:
            print(json.dumps({"code": error.code, "message": str(error)}))
        else:
            print(json.dumps(report.to_json()))
    assert signal.getsignal(signal.SIGTERM) is handler


if __name__ == "__main__":
    main()
