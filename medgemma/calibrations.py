"""The stored calibrations of a source of scores, for the studies of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.calibration.applied import Calibrations, Stored
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.records import ProbeRecord
    from medsiglip.probes.probe import Probe
    from medsiglip.zero_shot.prompt_set import PromptSet


def calibrations_of_prompts(index: CaseIndex, prompt_set: PromptSet) -> Calibrations:
    """Those of a prompt set's study scores in the space that the index works in."""
    from medsiglip.calibration.applied import Calibrations, subject_of_prompts

    return Calibrations.of_prompts(prompt_set, _stored(index, subject_of_prompts(prompt_set)))


def calibrations_of_probe(index: CaseIndex, record: ProbeRecord, probe: Probe) -> Calibrations:
    """Those of a probe's study scores in the space that the index works in."""
    return probe_calibrations(record, probe, _stored(index, f"probe:{record.name}"))


def probe_calibrations(record: ProbeRecord, probe: Probe, stored: Stored) -> Calibrations:
    """Those of what is stored that were made for this version of a probe."""
    from medsiglip.calibration.applied import Calibrations

    if probe.exclusive:
        return Calibrations.of_classes(tuple(probe.labels), stored, probe_fingerprint(record))
    return Calibrations.of_labels(tuple(probe.labels), stored, probe_fingerprint(record))


def probe_fingerprint(record: ProbeRecord) -> str:
    """What the margins of a probe depend on: its version, which never changes."""
    return f"version {record.version}"


def _stored(index: CaseIndex, subject: str) -> Stored:
    space = index.space
    if space is None:
        return {}
    kept = index.calibrations.of_subject(subject)
    return {one.label: one.summary for one in kept if (one.space, one.level) == (space.name, "study")}
