"""What a probe was trained on, as a hash by which the same rows are known again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt


def training_rows_hash(
    ids: Sequence[str], labels: Mapping[str, npt.NDArray[np.float64]], vectors: npt.NDArray[np.float32]
) -> str:
    """SHA-256, in hex, of the labelled rows: their `ids` [n], the values [n] of each label (NaN: not known)
    and their `vectors` float32 [n, d]. The order of rows and labels makes no difference, and rows without any
    label none.
    """
    names = sorted(labels)
    values = np.stack([np.asarray(labels[name], np.float64) for name in names]) if names else np.empty((0, 0))
    whole = hashlib.sha256("\0".join(names).encode())
    rows = np.flatnonzero(~np.isnan(values).all(axis=0))
    plain = np.ascontiguousarray(vectors, "<f4")
    for row in sorted(rows.tolist(), key=lambda one: ids[one]):
        known = np.nan_to_num(values[:, row], nan=-1.0).astype("<f8")
        one = f"{ids[row]}\0".encode() + known.tobytes() + plain[row].tobytes()
        whole.update(hashlib.sha256(one).digest())
    return whole.hexdigest()
