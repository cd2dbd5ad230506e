"""`doctor`: what this installation can do, proven rather than assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.drafts.generator_readiness import try_generators
from medsiglip.api.cli.shown_settings import shown_values
from medsiglip.api.cli.transfer_syntaxes import check_transfer_syntaxes
from medsiglip.api.errors import explain

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings


def examine(settings: Settings) -> dict[str, Any]:
    """Answer in the JSON shape of `doctor`; `ok` is whether every part but the generators is.

    Raises ServiceError `bad-generators` for a file of generators that cannot be used.
    """
    syntaxes = check_transfer_syntaxes()
    faiss = _faiss()
    model = _model(settings)
    return {
        "transfer_syntaxes": syntaxes,
        "device": _device(settings),
        "faiss": faiss,
        "model": model,
        "generators": try_generators(settings),
        "settings": shown_values(settings),
        "ok": all(syntax["ok"] for syntax in syntaxes) and faiss["ok"] and model["ok"],
    }


def _device(settings: Settings) -> str:
    import torch

    if settings.device == "cpu" or not torch.cuda.is_available():
        return f"cpu ({torch.get_num_threads()} threads)"
    return f"cuda ({torch.cuda.get_device_name(0)})"


def _faiss() -> dict[str, Any]:
    try:
        import faiss
    except ImportError as error:
        return {"ok": False, "error": f"faiss cannot be imported ({error}): install faiss-gpu or faiss-cpu."}
    import numpy as np

    vectors = np.eye(8, dtype=np.float32)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    _, nearest = index.search(vectors, 1)
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return {
        "version": faiss.__version__,
        "gpus": gpus,
        "threads": faiss.omp_get_max_threads(),
        "ok": bool((nearest[:, 0] == np.arange(8)).all()),
    }


def _model(settings: Settings) -> dict[str, Any]:
    """Open the chosen model, or `tiny`, and encode a grey image and a word with it."""
    from medsiglip.errors import ModelError

    name = settings.model or "tiny"
    try:
        from medsiglip.checkpoint import open_checkpoint
        from medsiglip.encoder import Encoder
        from medsiglip.preprocess import DEFAULT_PROFILE

        checkpoint = open_checkpoint(name)
        encoder = Encoder(
            checkpoint,
            profile=settings.profile or DEFAULT_PROFILE,
            device=settings.device,
            precision=settings.precision,
        )
        import numpy as np

        size = checkpoint.image_size
        image = encoder.encode_images(np.full((1, size, size, 3), 127, np.uint8))[0]
        text = encoder.encode_texts(["chest"])[0]
    except (ModelError, OSError, MemoryError) as error:
        explanation = explain(error)
        if explanation is None:
            raise
        return {"model": name, "ok": False, "code": explanation.code, "error": explanation.message}
    lengths = [float(np.linalg.norm(vector)) for vector in (image, text)]
    return {
        "model": checkpoint.name,
        "folder": str(checkpoint.folder),
        "hash": checkpoint.hash,
        "dimension": checkpoint.dimension,
        "image_size": checkpoint.image_size,
        "context_length": checkpoint.context_length,
        "demonstration": checkpoint.is_demonstration,
        "ok": all(abs(length - 1) < 1e-3 for length in lengths),
    }
