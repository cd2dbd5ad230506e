"""Zero-shot scores of every stored image, against the matrix product that they need and nothing else.

Ours takes the vectors from the archive in parts, as an evaluation does, and gives score, cosine and margin of
thirteen findings for each image; the product alone is of one matrix in memory with the same 26 columns of
text vectors, in float32. Labels and metadata, which an evaluation reads beside that, are no part of either.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Outcome, alternate, on_one_core
from benchmarks.search.clustered_vectors import clustered_vectors
from benchmarks.search.filtered_search import fill
from benchmarks.search.single_search import ROWS
from medsiglip.index.case_index import CaseIndex
from medsiglip.numerics import Floats
from medsiglip.zero_shot.classifier import Scores, ZeroShotClassifier
from medsiglip.zero_shot.prompt_set import LabelPrompts, PromptSet

FINDINGS = 13
PART = 1024
TITLE = f"zero-shot over {ROWS:,} stored images and {FINDINGS} findings: matrix product alone ÷ ours"
GOAL = 0.5
GUARD = "scores within 1e-5 of scikit-learn's softmax over float64 cosines"
_SCALE = 30.0


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, 2 * FINDINGS)
    texts = {str(number): one for number, one in enumerate(vectors.text_queries[: 2 * FINDINGS])}
    numbers = [str(number) for number in range(2 * FINDINGS)]
    prompts = {
        f"finding {number}": LabelPrompts((numbers[2 * number],), (numbers[2 * number + 1],))
        for number in range(FINDINGS)
    }
    classifier = ZeroShotClassifier(
        PromptSet("scan", "findings", prompts), lambda given: np.stack([texts[one] for one in given]), _SCALE
    )
    columns = np.ascontiguousarray(np.stack(list(texts.values())).T)
    with CaseIndex.open(folder / "home") as index, on_one_core():
        ids = fill(index, vectors)
        found = np.concatenate([part.probability for part in _parts(index, ids, classifier)])
        difference = float(np.abs(found - _expected(vectors.rows, columns)).max())
        if difference > 1e-5:
            return Outcome(TITLE, GOAL, GUARD, ROWS, failure=f"a score differs by {difference:.2g}")
        ours, peer = alternate(
            lambda: _parts(index, ids, classifier), lambda: vectors.rows @ columns, rounds, warm_ups=2
        )
    return Outcome(TITLE, GOAL, GUARD, ROWS, ours, peer)


def _parts(index: CaseIndex, ids: NDArray[np.int64], classifier: ZeroShotClassifier) -> list[Scores]:
    starts = range(0, len(ids), PART)
    return [classifier.scores(index.vectors(ids[start : start + PART].tolist())) for start in starts]


def _expected(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> Floats:
    from sklearn.utils.extmath import softmax

    cosines = rows.astype(np.float64) @ columns.astype(np.float64)
    pairs = [softmax(_SCALE * cosines[:, [2 * one + 1, 2 * one]])[:, 1] for one in range(FINDINGS)]
    expected: Floats = np.stack(pairs, axis=1)
    return expected
