"""The README of the demonstration model, written from its own figures."""

from __future__ import annotations

from typing import Any


def model_card(result: dict[str, Any]) -> str:
    """Return the model card for what `make_checkpoint` returns, as Markdown."""
    trained, measured = result["trained_on"], result["measured_on"]
    zero_shot, probe, retrieval = result["zero_shot"], result["probe"], result["retrieval"]
    rows = [
        f"| {name.replace('/', ': ')} | {auroc:.3f} | {probe['auroc'].get(name, float('nan')):.3f} |"
        for name, auroc in zero_shot["auroc"].items()
    ]
    return _CARD.format(
        **trained,
        measured_studies=measured["studies"],
        measured_images=measured["images"],
        measured_seed=measured["seed"],
        table="\n".join(rows),
        macro=zero_shot["macro_auroc"],
        worst=min(zero_shot["auroc"].values()),
        probe=probe["macro_auroc"],
        precision_1=retrieval["precision_at_1"],
        precision_5=retrieval["precision_at_5"],
        map=retrieval["map"],
        minutes=sum(result["seconds"].values()) / 60,
    )


_CARD = """\
# tiny: a demonstration model

**Not a medical device. Not for patients.** This model has never seen a picture of a person.

## What it is

A SigLIP model (an image tower and a text tower in one vector space) small enough for one laptop core. It
was trained from random weights on phantoms alone, images computed by this project's own generator:
{studies} studies, {pictures} pictures with {captions} captions, from seed {seed}. The image tower was
trained first, for {image_epochs} passes, with one free vector for each caption; then the text tower, for
{text_epochs} passes, to give those captions' vectors in words. It exists so that the demo, the tests and the
documentation work without a network and give results that mean something *on phantoms*. Its files have the
same layout, and go through the same code, as those of a real SigLIP checkpoint.

## What it is not

- It knows nothing about real radiographs, scans, photographs or slides. Its zero-shot answers on them are
  noise that looks like an answer. Use `google/medsiglip-448`, or a model of your own, for anything real.
- It is not MedSigLIP, is not derived from its weights, and says nothing about how well MedSigLIP works.
- Its figures below measure phantoms that follow the same rules as those it was trained on. They are a check
  of this software, not evidence of clinical performance.

## Figures

On {measured_studies} studies ({measured_images} images) made from seed {measured_seed}, none of them used
in training. Zero-shot: prompt set `phantoms`, highest score over a study's images. Probe: logistic
regression on the study's mean vector, out of fold, folds by patient.

| finding | zero-shot AUROC | linear-probe AUROC |
| --- | --- | --- |
{table}
| **mean** | **{macro:.3f}** (worst {worst:.3f}) | **{probe:.3f}** |

Retrieval of studies of other patients, relevant if of the same kind and with a finding in common or both
normal: precision at 1 {precision_1:.3f}, at 5 {precision_5:.3f}, mean average precision {map:.3f}.

All figures are in `figures.json`; the course of training is in `curve.csv` and `curve.png`.

## How to make it again

`make checkpoint` synthesises, trains and measures anew ({minutes:.0f} minutes when this one was made). The
same seed on the same machine and library versions gives the same weights.
"""
