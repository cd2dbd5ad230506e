"""A probe as two files that another archive or program can read: `probe.json` and `probe.safetensors`.

`probe.json` says what the probe is: `format` ("medsiglip-probe"), `format_version`, `space`, `dimension`,
`labels`, `exclusive`, `pooling`, `report` and what the caller adds in `about`. `probe.safetensors`
(github.com/huggingface/safetensors) holds `coef` [L, d], `intercept` [L] and `c` [L], float64: the logits of
unit vectors x are `coef @ x + intercept`, and the probabilities their sigmoid or, if `exclusive`, their
softmax. `weights_sha256` is the hash of that file, `sha256` that of all other members of the JSON as
canonical text: they find damage and careless edits, not forgery, for which they would have to be signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medsiglip.errors import ModelError
from medsiglip.numerics import Floats
from medsiglip.probes.files import DESCRIPTION, WEIGHTS
from medsiglip.probes.probe import Probe
from medsiglip.probes.report import ProbeReport

_FORMAT = "medsiglip-probe"
_VERSION = 1
_ARRAYS = ("coef", "intercept", "c")


@dataclass(frozen=True, slots=True, eq=False)
class ExchangedProbe:
    """A probe, and what its description says `about` it."""

    probe: Probe
    about: dict[str, Any]


def packed(probe: Probe, about: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of the two files, by name; `about` is any JSON object."""
    from safetensors.numpy import save

    arrays = {"coef": probe.coef, "intercept": probe.intercept, "c": probe.c}
    weights = save({name: np.ascontiguousarray(array, np.float64) for name, array in arrays.items()})
    content: dict[str, Any] = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "space": probe.space,
        "dimension": probe.coef.shape[1],
        "labels": list(probe.labels),
        "exclusive": probe.exclusive,
        "pooling": probe.pooling,
        "about": dict(about),
        "report": probe.report.to_json(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    content = json.loads(json.dumps(content))  # as it will be read: lists for tuples
    content["sha256"] = _hash(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=True)
    return {DESCRIPTION: text.encode("utf-8"), WEIGHTS: weights}


def unpacked(files: Mapping[str, bytes]) -> ExchangedProbe:
    """The probe of the two files, by name, as `medsiglip.probes.files` reads them.

    Raises ModelError `probe-file-foreign` for what is not of this format,
    `probe-file-newer` for that of a later version, and `probe-file-changed` for what was changed since.
    """
    content = _description(files[DESCRIPTION])
    if hashlib.sha256(files[WEIGHTS]).hexdigest() != content["weights_sha256"]:
        raise _changed(WEIGHTS)
    arrays = _arrays(files[WEIGHTS])
    try:
        report = ProbeReport.from_json(content["report"])
        labels = tuple(content["labels"])
        pooling, exclusive, about = content["pooling"], content["exclusive"], content["about"]
        fits = pooling in ("mean", "max") and isinstance(exclusive, bool) and isinstance(about, dict)
        fits = fits and bool(labels) and all(isinstance(one, str) and one for one in labels)
        fits = fits and isinstance(content["space"], str) and len(set(labels)) == len(labels)
        count = (len(labels),)
        shapes = {"coef": (*count, content["dimension"]), "intercept": count, "c": count}
    except (KeyError, TypeError, ValueError) as error:
        raise _foreign(DESCRIPTION) from error
    if not fits or any(arrays[name].shape != shape for name, shape in shapes.items()):
        raise _foreign(DESCRIPTION)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ModelError("probe-file-foreign", f"{WEIGHTS} holds NaN or infinity: export the probe again.")
    probe = Probe(content["space"], labels, **arrays, report=report, exclusive=exclusive, pooling=pooling)
    return ExchangedProbe(probe, about)


def _description(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _foreign(DESCRIPTION) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _foreign(DESCRIPTION)
    version = content.get("format_version")
    if isinstance(version, int) and version > _VERSION:
        raise ModelError(
            "probe-file-newer",
            f"a newer version of this program wrote {DESCRIPTION} (format {version}, this version reads "
            f"up to {_VERSION}): update the program.",
        )
    if content.pop("sha256", None) != _hash(content):
        raise _changed(DESCRIPTION)
    if version != _VERSION or not isinstance(content.get("weights_sha256"), str):
        raise _foreign(DESCRIPTION)
    return content


def _arrays(data: bytes) -> dict[str, Floats]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _foreign(WEIGHTS) from error
    if set(arrays) != set(_ARRAYS) or any(array.dtype != np.float64 for array in arrays.values()):
        raise _foreign(WEIGHTS)
    return arrays


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _foreign(name: str) -> ModelError:
    return ModelError(
        "probe-file-foreign", f"{name} is not of a probe: give the files that `probe export` wrote."
    )


def _changed(name: str) -> ModelError:
    return ModelError(
        "probe-file-changed",
        f"{name} is not as `probe export` wrote it (its hash differs): it is damaged or was edited. Export "
        "the probe again.",
    )
