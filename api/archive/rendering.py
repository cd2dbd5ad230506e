"""`embed` and `render`: what the model makes of files, streamed to disk without an index."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.answers.paths import shown, shown_values
from medsiglip.api.archive.files import AnyPath, output_file, output_folder, parquet_writer, require_paths
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.encoder.shared_encoder import SharedEncoder
    from medsiglip.encoder import Encoder
    from medsiglip.ingest.units.plan import PlanOptions
    from medsiglip.ingest.workers.render_files import Rendered

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def embed(
    archive: OpenedArchive,
    paths: Sequence[AnyPath],
    out: AnyPath,
    *,
    plan: PlanOptions | None = None,
    on_progress: OnProgress = silent,
) -> dict[str, Any]:
    """Write `path, sop_instance_uid, frame, embedding` (float32, unit length), one row per image, to a
    Parquet file.

    The file appears when it is whole; memory holds one batch and one series at a time. Raises ServiceError
    `nothing-to-embed`, and writes nothing, when no file holds an image.
    """
    import pyarrow as pa

    require_paths(paths)
    file = output_file(out)
    space = archive.space
    refused = _Refused()
    images = refused.images(archive, paths, plan)
    first = next(images, None)
    if first is None:
        raise ServiceError("nothing-to-embed", refused.sentence())
    schema = pa.schema(
        [
            ("path", pa.string()),
            ("sop_instance_uid", pa.string()),
            ("frame", pa.int32()),
            ("embedding", pa.list_(pa.float32(), space.dimension)),
        ],
        metadata={"space": space.name, "model": space.model},
    )
    count = 0
    with parquet_writer(file, schema) as writer:
        encoder = archive.patient_encoder  # one for the whole file, also if the home is switched meanwhile
        for batch in _batches(chain([first], images), encoder.batch_size):
            writer.write_table(_embedded(encoder, space.profile, batch, schema))
            count += len(batch)
            on_progress("embedding", count, None)
    return {
        "path": str(file),
        "space": space.name,
        "dimension": space.dimension,
        "images": count,
        **refused.lines,
    }


def render(
    archive: OpenedArchive,
    paths: Sequence[AnyPath],
    out: AnyPath,
    *,
    plan: PlanOptions | None = None,
    on_progress: OnProgress = silent,
) -> dict[str, Any]:
    """Write a PNG for each image, in display values before resizing, and a JSON line for each to
    `images.jsonl`.
    """
    from PIL import Image

    require_paths(paths)
    folder = output_folder(out)
    refused = _Refused()
    images: list[dict[str, Any]] = []
    with (folder / "images.jsonl").open("w", encoding="utf-8") as lines:
        for number, one in enumerate(refused.images(archive, paths, plan), start=1):
            stem = _UNSAFE.sub("-", Path(one.path).stem)[:60]
            png = folder / f"{number:06d}-{stem}-{one.frame}.png"
            Image.fromarray(one.pixels).save(png, compress_level=1)
            images.append(
                {
                    "path": one.path,
                    "png": str(png),
                    "sop_instance_uid": one.sop_instance_uid,
                    "frame": one.frame,
                    "rendering": one.rendering,
                    "rendering_params": dict(one.rendering_params),
                    "warnings": list(one.warnings),
                }
            )
            lines.write(json.dumps(shown_values(images[-1]), ensure_ascii=False) + "\n")
            on_progress("rendering", number, None)
    return {"folder": str(folder), "images": images, **refused.lines}


class _Refused:
    """Passes rendered images on and keeps what could not be rendered."""

    def __init__(self) -> None:
        self.lines: dict[str, list[dict[str, str]]] = {"skipped": [], "quarantined": []}

    def images(
        self, archive: OpenedArchive, paths: Sequence[AnyPath], plan: PlanOptions | None
    ) -> Iterator[Rendered]:
        from medsiglip.ingest.reasons import Rejected
        from medsiglip.ingest.workers.render_files import render_files

        files = [Path(path).expanduser() for path in paths]
        for one in render_files(files, plan, rendering_pool=archive.rendering_pool):
            if isinstance(one, Rejected):
                self.lines[one.outcome].append({"path": one.path, "code": one.code, "reason": one.reason})
            else:
                yield one

    def sentence(self) -> str:
        """Why there is no image."""
        lines = [line for entries in self.lines.values() for line in entries]
        if not lines:
            return "there is no file in what was given: check the path; nothing was written."
        counts = Counter(line["code"] for line in lines)
        reasons = ", ".join(f"{count} {code}" for code, count in counts.most_common())
        return (
            f"none of the {len(lines)} files can be embedded ({reasons}), such as "
            f"{lines[0]['path']}. {lines[0]['reason']} Nothing was written."
        )


def _batches(images: Iterator[Rendered], size: int) -> Iterator[list[Rendered]]:
    batch: list[Rendered] = []
    for image in images:
        batch.append(image)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _embedded(encoder: Encoder | SharedEncoder, profile: str, batch: Sequence[Rendered], schema: Any) -> Any:
    import pyarrow as pa

    from medsiglip.preprocess import to_model_input

    vectors = encoder.encode_images(
        [to_model_input(one.pixels, encoder.image_size, profile) for one in batch]
    )
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table(
        {
            "path": [shown(one.path) for one in batch],
            "sop_instance_uid": [one.sop_instance_uid for one in batch],
            "frame": pa.array([one.frame for one in batch], pa.int32()),
            "embedding": embedding,
        },
        schema=schema,
    )
