"""Adds study after study to a home, printing each that is committed, until killed or done.

Arguments: home, first study, count of studies, seconds to wait for another writer, and the URL of the
catalogue if it is not in the home.
"""

from __future__ import annotations

import sys
from pathlib import Path

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

home, first, count, busy = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
url = sys.argv[5] if len(sys.argv) > 5 else None
try:
    with CaseIndex.open(home, busy_seconds=busy, database_url=url) as index:
        index.activate(SPACE)
        print("open", flush=True)
        for study in range(first, first + count):
            index.add([make_bundle(study, 3)], unit_vectors(3, seed=study))
            print(study, flush=True)
except CatalogError as error:
    print(error.code, error, flush=True)
    sys.exit(3)
