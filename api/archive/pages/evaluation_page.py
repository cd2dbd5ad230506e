"""Pages of evaluations: every figure with its interval, what chance would give, and limits.

A page is made from the answer's JSON, so that a stored one gives the same page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medsiglip.api.archive.pages.forest import ForestRow, forest
from medsiglip.api.archive.pages.page import Part, Section, facts, note, page, paragraph, table

Payload = Mapping[str, Any]
_INTERVALS = (
    "Intervals are 95 % intervals with patients as their units. They do not say how figures would be at "
    "another hospital, and each is of one figure alone: of twenty, one may miss."
)
_MOST_LABELS = 60


def evaluation_page(kind: str, answer: Payload) -> str:
    """The page of an answer of this kind, one of `KINDS`."""
    title, sections = KINDS[kind](answer)
    told = tuple(note(text) for text in answer.get("warnings", ()))
    if told:
        sections = [*sections, Section("Warnings", told)]
    subtitle = f"{answer['level']} level, space {answer['space']}" if "space" in answer else ""
    return page(title, sections, subtitle=subtitle, footer="Made by medsiglip. Not a medical device.")


def _retrieval(answer: Payload) -> tuple[str, list[Section]]:
    asked = facts(
        [
            ("cases compared by", str(answer.get("compare", "means"))),
            ("queries with figures", str(answer["queries"])),
            ("queries without", f"{answer['excluded']}: nothing relevant, or nothing known not to be"),
            ("cases of which no label is known", str(answer.get("unknown"))),
        ]
    )
    about = paragraph(
        "Each labelled case was asked for its neighbours among other patients. Chance is what a random "
        "ranking of the same candidates reaches on average, computed for each figure and query."
    )
    sections = [Section("What was asked", (about, asked))]
    if answer.get("reason"):
        return "Retrieval", [*sections, Section("Figures", (note(f"No figure: {answer['reason']}"),))]
    rows = _rank_rows(answer)
    sections.append(
        Section("Figures over all queries", (_figures_table(rows), forest(rows, "Figures and chance")))
    )
    labels = [one for one in answer.get("labels", ()) if one["reason"] is None][:_MOST_LABELS]
    by_label = [
        ForestRow(one["label"], one["map"], one["ci"].get("map"), one.get("chance_of", {}).get("map"))
        for one in labels
    ]
    columns = ("label", "queries", "excluded", "precision@5", "chance", "mAP", "95 % interval", "chance ")
    lines = [
        (
            one["label"],
            one["queries"],
            one["excluded"],
            one["precision_at"].get("5"),
            one.get("chance_of", {}).get("precision_at_5"),
            one["map"],
            one["ci"].get("map"),
            one.get("chance_of", {}).get("map"),
        )
        for one in labels
    ]
    parts: list[Part] = [table(columns, lines, numeric=columns[1:])]
    if by_label:
        parts.append(forest(by_label, "Mean average precision by label"))
    parts += [
        paragraph(f"{one['label']}: no figure, {one['reason']}.")
        for one in answer.get("labels", ())
        if one["reason"]
    ]
    return "Retrieval", [*sections, Section("By label", tuple(parts)), _limits()]


def _rank_rows(answer: Payload) -> list[ForestRow]:
    chance = answer.get("chance_of", {})
    rows = []
    for name, shown in (("precision_at", "precision"), ("recall_at", "recall")):
        for k, value in answer[name].items():
            key = f"{name}_{k}"
            rows.append(ForestRow(f"{shown}@{k}", value, answer["ci"].get(key), chance.get(key)))
    rows.append(ForestRow("mAP", answer["map"], answer["ci"].get("map"), chance.get("map")))
    return rows


def _figures_table(rows: Sequence[ForestRow]) -> Part:
    columns = ("figure", "value", "95 % interval", "chance")
    return table(
        columns, [(row.name, row.value, row.interval, row.reference) for row in rows], numeric=columns[1:]
    )


def _labels(answer: Payload) -> tuple[str, list[Section]]:
    """Of zero-shot scores, or of a probe."""
    of = f"prompt set {answer['prompts']}" if "prompts" in answer else f"probe {answer['name']}"
    rows = [one for one in answer["labels"] if one["reason"] is None][:_MOST_LABELS]
    columns = ("label", "n", "positive", "unknown", "AUROC", "95 % interval", "AUPRC", "95 % interval ")
    lines = [
        (
            one["label"],
            one["n"],
            one["positive"],
            one.get("unknown"),
            one["auroc"],
            one["auroc_ci"],
            one.get("auprc"),
            one.get("auprc_ci"),
        )
        for one in rows
    ]
    parts: list[Part] = [table(columns, lines, numeric=columns[1:])]
    if rows:
        parts.append(
            forest([ForestRow(one["label"], one["auroc"], one["auroc_ci"], 0.5) for one in rows], "AUROC")
        )
    parts += [
        paragraph(f"{one['label']}: no figure, {one['reason']}.") for one in answer["labels"] if one["reason"]
    ]
    parts += [paragraph(f"{one['label']}: {one['caution']}") for one in rows if one.get("caution")]
    parts += _calibrated(rows)
    if answer.get("unlabelled"):
        parts.append(paragraph("No case that fits carries these labels: " + ", ".join(answer["unlabelled"])))
    seen = [("mean AUROC of the labels", f"{answer['macro_auroc']:.3f}" if answer["macro_auroc"] else "–")]
    if "patients_left_out" in answer:
        seen.append(
            ("patients left out, for the probe was trained on them", str(answer["patients_left_out"]))
        )
    about = paragraph(
        "Scores were compared with the labels stored in the archive. Chance is an AUROC of .5. It says "
        "how well scores rank cases, and nothing of how often a case with such a score has the label."
    )
    return f"Scores of {of}", [
        Section("What was asked", (about, facts(seen))),
        Section("By label", tuple(parts)),
        _limits(),
    ]


def _calibrated(rows: Sequence[Payload]) -> list[Part]:
    """Which labels have a calibration, and its error."""
    held = [one for one in rows if one.get("calibrated")]
    if not held:
        return [paragraph("All of these scores are uncalibrated.")]
    columns = ("label", "expected calibration error", "95 % interval")
    lines = [(one["label"], one.get("calibration_error"), one.get("calibration_error_ci")) for one in held]
    told = "Calibrated labels, measured on patients that the calibration was not made from"
    return [table(columns, lines, numeric=columns[1:], caption=f"{told}; other labels are uncalibrated")]


def _comparison(answer: Payload) -> tuple[str, list[Section]]:
    first, second = answer["spaces"]
    of = {"retrieval": "retrieval", "zero-shot": "zero-shot scores", "probe": "probes"}[answer["kind"]]
    asked = facts(
        [
            ("first", f"{first['model']}, profile {first['profile']}, space {first['name']}"),
            ("second", f"{second['model']}, profile {second['profile']}, space {second['name']}"),
            ("level", answer["level"]),
            ("cases", f"{answer['cases']} of {answer['patients']} patients"),
            ("images that one of the spaces lacks", str(answer["left_out"])),
        ]
    )
    shown = answer["figures"][: 4 * _MOST_LABELS]
    columns = ("figure", "first", "second", "difference", "95 % interval")
    lines = [
        (_named(one), one["first"], one["second"], one["difference"], one["difference_ci"]) for one in shown
    ]
    rows = [
        ForestRow(_named(one), one["difference"], one["difference_ci"], 0.0)
        for one in shown
        if one["label"] is None or one["figure"] in ("map", "auroc")
    ][:_MOST_LABELS]
    about = paragraph(
        "The same cases in both spaces. A difference is the second less the first; where its interval holds "
        "0, the figures do not say which is better."
    )
    parts = [table(columns, lines, numeric=columns[1:]), forest(rows, "Second less first")]
    return f"Two models: {of}", [
        Section("What was asked", (about, asked)),
        Section("Differences", tuple(parts)),
        _limits(),
    ]


def _named(one: Payload) -> str:
    return str(one["figure"]) if one["label"] is None else f"{one['label']}: {one['figure']}"


def _drift(answer: Payload) -> tuple[str, list[Section]]:
    verdict = (
        "The two groups do not look alike to the model."
        if answer["differs"]
        else "Nothing shows that the two groups look different to the model; few patients show little."
    )
    asked = [
        (
            name,
            f"{' and '.join(answer[name]) or 'every case'}: {answer[f'{name}_cases']} cases, "
            f"{answer[f'{name}_patients']} patients",
        )
        for name in ("reference", "current")
    ]
    asked.append(("patients in both groups, who count in neither", str(answer["in_both"])))
    columns = ("test", "value", "95 % interval", "no difference", "p-value")
    lines = [
        ("classifier, AUROC on unseen patients", answer["auroc"], answer["auroc_ci"], 0.5, answer["auroc_p"]),
        ("energy distance, share of the most", answer["energy"], None, 0.0, answer["energy_p"]),
    ]
    how = paragraph(
        f"P-values come from {answer['permutations']} permutations of whole patients. A difference is said "
        f"where one of them is at most {answer['false_alarm'] / 2:g}, so that of comparisons without one at "
        f"most {100 * answer['false_alarm']:g} % are called different. What differs, and whether it matters "
        "for a label, the tests do not say."
    )
    kinds = sorted(set(answer["modalities"]["reference"]) | set(answer["modalities"]["current"]))
    mix = table(
        ("modality", "reference", "current"),
        [
            (kind, *(answer["modalities"][side].get(kind, 0) for side in ("reference", "current")))
            for kind in kinds
        ],
        numeric=("reference", "current"),
        caption="Cases by modality",
    )
    apart = table(
        ("group", f"{answer['level']}", "modality", "apart"),
        [(one["group"], one["id"], one["modality"], one["apart"]) for one in answer["cases"]],
        numeric=("apart",),
        caption="How much farther a case is from the other group's patients than from its own group's",
    )
    tests = table(columns, lines, numeric=columns[1:])
    return "Drift", [
        Section("What was compared", (paragraph(verdict), facts(asked))),
        Section("Tests", (tests, how, mix)),
        Section("Cases that stand apart", (apart,)),
    ]


def _robustness(answer: Payload) -> tuple[str, list[Section]]:
    of = f"prompt set {answer['prompts']}" if answer.get("prompts") else f"probe {answer['probe']}"
    asked = facts(
        [
            ("cases", f"{answer['cases']} of {answer['patients']} patients, {answer['images']} images"),
            ("images without their file", str(answer["missing"])),
            ("cases of which no file is left", str(answer["left_out"])),
        ]
    )
    sections = [Section("What was asked", (asked,))]
    for heading, said, shifts in (
        ("One change at a time", "Each picture changed in one way.", answer["shifts"]),
        (
            "In one chain",
            "Acquisition, reconstruction, display and delivery, after the stages of CoDA (arXiv 2603.18545). "
            "The changes are drawn at random within limits of our own, and not optimised to do harm.",
            answer["chain"],
        ),
    ):
        cosines = [ForestRow(one["description"], one["cosine"], one["cosine_ci"], 1.0) for one in shifts]
        columns = ("change", "median cosine", "95 % interval", "lowest tenth")
        lines = [(one["description"], one["cosine"], one["cosine_ci"], one["cosine_low"]) for one in shifts]
        losses = ("label", "change", "AUROC before", "after", "difference", "95 % interval")
        changes = [
            (
                figure["label"],
                one["description"],
                figure["first"],
                figure["second"],
                figure["difference"],
                figure["difference_ci"],
            )
            for figures in zip(*(one["labels"] for one in shifts), strict=True)
            for one, figure in zip(shifts, figures, strict=True)
        ]
        sections.append(
            Section(
                heading,
                (
                    paragraph(said),
                    table(columns, lines, numeric=columns[1:]),
                    forest(cosines, "Cosine of the changed and the unchanged picture, median of patients"),
                    table(losses, changes[: 16 * _MOST_LABELS], numeric=losses[2:]),
                ),
            )
        )
    return f"Robustness of {of}", [*sections, _limits()]


def _limits() -> Section:
    return Section("What the intervals are worth", (paragraph(_INTERVALS),))


KINDS: Mapping[str, Callable[[Payload], tuple[str, list[Section]]]] = {
    "retrieval": _retrieval,
    "zero-shot": _labels,
    "probe": _labels,
    "comparison": _comparison,
    "drift": _drift,
    "robustness": _robustness,
}
