"""ScaNN in a process of its own, with an interpreter that has it: `python scann_child.py FOLDER`.

It reads `rows.npy` and `queries.npy`, builds its index, prints `ready`, and answers lines `single LOW HIGH`
and `batch LOW HIGH` with the seconds that it took; the ids of the answers are then in `ids.npy`.
"""

import sys
import time
from pathlib import Path

import numpy as np
import scann  # type: ignore[import-not-found]

K, REORDERED = 10, 200


def main() -> None:
    folder = Path(sys.argv[1])
    rows, queries = (np.load(folder / f"{name}.npy") for name in ("rows", "queries"))
    # Asymmetric hashing of two values a code, reordered by the vectors, as ScaNN's documentation has it.
    builder = scann.scann_ops_pybind.builder(rows, K, "dot_product").set_n_training_threads(1)
    searcher = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(REORDERED).build()
    print("ready", flush=True)
    for line in sys.stdin:
        way, low, high = line.split()
        few = queries[int(low) : int(high)]
        begun = time.perf_counter()
        if way == "batch":
            ids = searcher.search_batched(few)[0]
        else:
            ids = np.stack([searcher.search(query)[0] for query in few])
        seconds = time.perf_counter() - begun
        np.save(folder / "ids.npy", np.asarray(ids, np.int64))
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
