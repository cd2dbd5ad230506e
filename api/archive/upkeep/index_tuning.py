"""`index tune`: ways to search the archive's vectors, tried, and the cheapest that finds enough chosen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from medsiglip.answers.index_tuning import IndexTuning, TuningTrial
from medsiglip.api.archive.files import AnyPath, output_file
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medsiglip.api.archive.opened import OpenedArchive

RECALL = 0.999
_NO_MODEL = (
    "the archive's model cannot be loaded, so that no texts were tried: searches by text may miss more"
)


def tune_index(
    archive: OpenedArchive, *, recall: float = RECALL, apply: bool = False, plot: AnyPath | None = None
) -> IndexTuning:
    """Try ways to search on a sample of the stored images and on texts of the bundled prompt sets, and choose
    the one that takes least time among those with `recall` (over 0, at most 1) on both.

    With `apply` it is kept with the home, and the index is rebuilt. `plot` is a PNG file to draw the trials
    in. Raises ServiceError `bad-recall`, and CatalogError `no-space` or `too-few-images`.
    """
    if not 0 < recall <= 1:
        raise ServiceError("bad-recall", f"the recall must be over 0 and at most 1, not {recall:g}.")
    picture = None if plot is None else output_file(plot)
    texts, warnings = _texts(archive)
    trials = [TuningTrial.model_validate(asdict(one)) for one in archive.index.tune(texts)]
    chosen = min((one for one in trials if _least(one) >= recall), key=lambda one: one.milliseconds)
    answer = IndexTuning(
        space=archive.index.space.name if archive.index.space else "",
        recall=recall,
        trials=tuple(trials),
        chosen=chosen,
        applied=apply,
        plot=None if picture is None else str(picture),
        warnings=warnings,
    )
    if picture is not None:
        from medsiglip.api.archive.upkeep.tuning_plot import plot_trials

        plot_trials(answer, picture)
    if apply:
        # Comparing with every vector is what every kind does while there are few.
        archive.index.choose_kind("auto" if chosen.kind == "flat" else chosen.kind, recall)
        archive.index.rebuild(texts if len(texts) else None)
    return answer


def _least(trial: TuningTrial) -> float:
    found = trial.recall
    return found.images if found.texts is None else min(found.images, found.texts)


def _texts(archive: OpenedArchive) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Vectors of texts of prompts, float32 [m, d], and what a person should know of them."""
    import numpy as np

    from medsiglip.api.archive.upkeep.maintenance import prompt_vectors
    from medsiglip.errors import ModelError

    try:
        return prompt_vectors(archive), ()
    except ModelError:
        return np.empty(0, np.float32), (_NO_MODEL,)
