"""Pairs of pictures and captions for contrastive tuning, read from a folder that holds `metadata.csv`.

Columns: `path` (absolute, or relative to the folder) and `caption`; optional `split` ("train" or "val"),
`patient_id` and `group` (say, the kind of picture). Several rows with one path are several captions of that
picture: each epoch uses one of them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsiglip.errors import ModelError
from medsiglip.pictures import read_picture
from medsiglip.preprocess import to_model_input
from medsiglip.tokenizer import canonicalise

METADATA = "metadata.csv"
_SPLITS = {"train": False, "val": True}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pictures with their captions: every field has one entry for each picture.

    `held_out` is True for pictures kept for validation; no patient is on both sides unless `split` says so.
    """

    paths: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]
    held_out: NDArray[np.bool_]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    path: Path
    caption: str
    patient: str
    group: str
    held_out: bool | None


def read_pairs(folder: Path, *, validation_fraction: float = 0.1, seed: int = 0) -> Pairs:
    """Read `metadata.csv` in `folder`, and split its pictures by patient where it has no `split` column.

    A picture without `patient_id` is its own patient. Raises ModelError with code `metadata-missing`,
    `metadata-unreadable`, `column-missing`, `caption-empty`, `picture-missing`, `split-unknown`,
    `split-ambiguous` or `too-few-pairs`.
    """
    table = folder / METADATA
    by_path: dict[Path, list[_Row]] = {}
    for row in _rows(table, folder):
        by_path.setdefault(row.path, []).append(row)
    pictures = list(by_path.values())
    if any(row.held_out is not None for rows in pictures for row in rows):
        held_out = np.array([_declared_split(rows, table) for rows in pictures], dtype=np.bool_)
    else:
        held_out = _split_by_patient([rows[0].patient for rows in pictures], validation_fraction, seed)
    for count, side in ((int((~held_out).sum()), "training"), (int(held_out.sum()), "validation")):
        if count < 2:
            raise ModelError(
                "too-few-pairs",
                f"{table} leaves {count} pictures for {side}, and tuning needs at least 2 on either side: "
                "add pictures of more patients, or a split column with train and val.",
            )
    captions = tuple(tuple(row.caption for row in rows) for rows in pictures)
    groups = tuple(rows[0].group for rows in pictures)
    return Pairs(tuple(by_path), captions, held_out, groups)


def _rows(table: Path, folder: Path) -> Iterator[_Row]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            columns = next(reader, [])
            for name in ("path", "caption"):
                if name not in columns:
                    raise ModelError(
                        "column-missing",
                        f"{table} has no column {name}: its first line must name path and caption.",
                    )
            for number, fields in enumerate(filter(None, reader), start=2):
                yield _row(dict(zip(columns, fields, strict=False)), f"{table} row {number}", folder)
    except FileNotFoundError:
        raise ModelError(
            "metadata-missing",
            f"{folder} has no {METADATA}: put one there with the columns path and caption.",
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ModelError(
            "metadata-unreadable",
            f"{table} cannot be read as CSV in UTF-8 ({type(error).__name__}): save it as that.",
        ) from error


def _row(fields: dict[str, str], where: str, folder: Path) -> _Row:
    name, caption = fields.get("path", "").strip(), fields.get("caption", "").strip()
    path = folder / name
    if not name or not path.is_file():
        raise ModelError(
            "picture-missing",
            f"{where} names {name or 'no picture'}, which is not a file: paths count from {folder}.",
        )
    if not canonicalise(caption):
        what = "a caption without a word" if caption else "an empty caption"
        raise ModelError("caption-empty", f"{where} has {what}: write one or remove the row.")
    split = fields.get("split", "").strip().lower()
    if split and split not in _SPLITS:
        raise ModelError("split-unknown", f"{where} has the split {split!r}: it must be train or val.")
    patient = fields.get("patient_id", "").strip() or f"picture {path}"
    group = fields.get("group", "").strip()
    return _Row(path, caption, patient, group, _SPLITS[split] if split else None)


def _declared_split(rows: Sequence[_Row], table: Path) -> bool:
    splits = {row.held_out for row in rows}
    if len(splits) != 1 or None in splits:
        raise ModelError(
            "split-ambiguous",
            f"{table} does not give {rows[0].path.name} one split: all its rows must say train, or all val.",
        )
    return bool(splits.pop())


def _split_by_patient(patients: Sequence[str], fraction: float, seed: int) -> NDArray[np.bool_]:
    names = sorted(set(patients))
    count = max(1, round(fraction * len(names)))
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    validation = {names[i] for i in chosen}
    return np.array([patient in validation for patient in patients], dtype=np.bool_)


def read_pictures(
    paths: Sequence[Path],
    out: NDArray[np.uint8],
    profile: str,
    on_picture: Callable[[int], None] = lambda done: None,
) -> None:
    """Fill `out`, uint8 [n, S, S, 3], with the model inputs of `paths` under the preprocessing `profile`.

    They are read as in an ingest. Raises PictureError, see `medsiglip.pictures`.
    """
    size = out.shape[1]
    for i, path in enumerate(paths):
        out[i] = to_model_input(read_picture(path), size, profile)
        on_picture(i + 1)
