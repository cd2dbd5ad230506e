"""What a colleague must know of a probe, as items of TRIPOD+AI and CLAIM 2024.

TRIPOD+AI (Collins et al., BMJ 385, 2024, e078378) is cited by the number of its item, CLAIM 2024 (Tejani et
al., Radiology: Artificial Intelligence 6, 2024) by its subject. What only a person knows is said to be
unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from medsiglip.answers.figures import Probe, ProbeLabel
from medsiglip.answers.probe_figures import CardItem, OperatingPoint

UNKNOWN = "unknown: nothing stored says so"
RULES = {
    "youden": "the greatest sum of sensitivity and specificity (Youden)",
    "sensitivity": "a sensitivity of {target:g} at least",
    "specificity": "a specificity of {target:g} at least",
}


def card_items(probe: Probe, model: str | None, calibrated: Sequence[str] = ()) -> tuple[CardItem, ...]:
    """The items of the card of a probe; `model` names the checkpoint of its space, where it is known, and
    `calibrated` the labels with a stored calibration.
    """
    return tuple(_items(probe, model, calibrated))


def _items(probe: Probe, model: str | None, calibrated: Sequence[str]) -> Iterator[CardItem]:
    use, who, how, worth = "Use and limits", "Who", "How", "What it is worth"
    yield _item(use, "Intended use", _intended(probe), "3b, 27a", "implications for practice")
    yield _item(use, "Must not be used for", _not_for(probe), "25, 27c", "implications for practice")
    yield _item(use, "Unknown", _unknown(probe), "26", "limitations")
    yield _item(use, "Ethics, funding, registration", UNKNOWN, "17, 18a-18d", "registration; funding")
    yield _item(who, "Population", _population(probe), "5a, 6a, 20b", "data sources; participants")
    yield _item(who, "Sex", _counts(probe, "patient_sex"), "20b", "demographic characteristics")
    yield _item(who, "Age", _counts(probe, "age"), "20b", "demographic characteristics")
    yield _item(who, "Scanners", _counts(probe, "manufacturer"), "5a", "image acquisition")
    yield _item(who, "Sites", _counts(probe, "site"), "6a", "data sources")
    yield _item(who, "Dates", _dates(probe), "5b", "data sources")
    yield _item(who, "Eligibility", _eligibility(probe), "6b", "inclusion and exclusion criteria")
    yield _item(who, "Exclusions", _exclusions(probe), "11, 20a", "missing data; flow of participants")
    yield _item(who, "Warnings", _lines(probe.warnings) or "None.", "26", "limitations")
    yield _item(who, "Number of patients", _number(probe), "10, 20a", "sample size")
    yield _item(how, "Labels", _labels(probe), "8a", "reference standard")
    yield _item(how, "Readers", _readers(), "8b, 8c", "annotation; variability of readers")
    yield _item(how, "Images", _images(probe), "7, 9a", "preprocessing")
    yield _item(how, "Model", _model(probe, model), "12c, 22", "model; software")
    yield _item(how, "Split", _split(probe), "12a", "assignment of data partitions, and their level")
    yield _item(how, "Class balance", _balance(probe), "13", "training approach")
    yield _item(how, "Version", _version(probe), "18f, 24", "availability")
    yield _item(worth, "Discrimination", _discrimination(probe), "12e, 23a", "estimates and precision")
    yield _item(worth, "Operating points", _points(probe), "12e, 15", "performance metrics")
    yield _item(worth, "Calibration", _calibration(probe, calibrated), "12e, 23a", "performance metrics")
    yield _item(worth, "Subgroups", _subgroups(probe), "14, 23a", "performance by subgroup")
    yield _item(worth, "More patients", _learning(probe), "10", "sample size")
    yield _item(worth, "Labels that may be wrong", _suspects(probe), "26", "failure analysis")
    yield _item(worth, "External testing", _external(), "12a, 23b", "testing on external data")


def _item(section: str, item: str, text: str, tripod_ai: str, claim: str) -> CardItem:
    return CardItem(section=section, item=item, text=text, tripod_ai=tripod_ai, claim=claim)


def _population(probe: Probe) -> str:
    found = probe.population
    if found is None:
        return (
            f"{probe.groups} groups of patients; more was not stored by the version that trained the probe."
        )
    shown = f"{found.patients} patients with {found.studies} studies; {found.cases} labelled cases"
    kinds = sorted({one or "not known" for values in (probe.modalities or {}).values() for one in values})
    parts = sorted({one or "not known" for values in (probe.regions or {}).values() for one in values})
    return (
        f"{shown}, each one {probe.level}. Modalities: {', '.join(kinds) or UNKNOWN}. Parts of the body: "
        f"{', '.join(parts) or UNKNOWN}. All come from one archive, as it was: nobody chose them to be "
        "representative."
    )


def _counts(probe: Probe, attribute: str) -> str:
    counts = getattr(probe.population, attribute, None)
    if not counts or set(counts) == {"not known"}:
        return UNKNOWN
    return "Patients, " + ", ".join(f"{value}: {count}" for value, count in counts.items()) + "."


def _dates(probe: Probe) -> str:
    dates = probe.population.study_dates if probe.population else None
    if dates is None:
        return UNKNOWN
    return f"Studies of {dates[0]} to {dates[1]}; where the home shifts dates, these are shifted ones."


def _eligibility(probe: Probe) -> str:
    chosen = " and ".join(probe.where)
    rule = f"Cases that fit the filter {chosen}" if chosen else "All cases of the archive"
    return f"{rule} of which at least one label was known."


def _exclusions(probe: Probe) -> str:
    lines = [
        f"{one.label}: {one.unknown} cases were left out because the label was not known"
        for one in probe.labels
        if one.unknown
    ]
    return _lines(
        [*(lines or ["No case lacked a label."]), "Labels that were left out are among the warnings."]
    )


def _number(probe: Probe) -> str:
    cases = "cases" if probe.split is None else "cases of the test part"
    each = [f"{one.label}: {one.positive} of {one.n} {cases} positive" for one in probe.labels]
    groups = f"{probe.groups} groups of patients; those with identical pictures are one."
    return _lines([groups, *each, "The number was not planned."])


def _labels(probe: Probe) -> str:
    sources = {"csv": "a CSV of labels", "stored": "labels stored in the archive"}
    source = sources.get(probe.label_source or "", UNKNOWN)
    kind = "classes of which each case has one" if probe.exclusive else "each for itself: present or absent"
    names = ", ".join(one.label for one in probe.labels)
    return f"{names} ({kind}), from {source}. How the labels were defined and decided is {UNKNOWN}."


def _readers() -> str:
    return f"Who labelled, knowing what of the case, and how well readers agree: {UNKNOWN}."


def _images(probe: Probe) -> str:
    pooled = {
        "mean": "the mean of the vectors of its pictures",
        "max": "the greatest score of its pictures",
    }[probe.pooling]
    what = "" if probe.level == "image" else f" A {probe.level} has {pooled}."
    return (
        f"Rendered and embedded as the space {probe.space} says; no pixel was looked at by the probe.{what}"
    )


def _model(probe: Probe, model: str | None) -> str:
    strengths = ", ".join(f"{one.label} {one.c:g}" for one in probe.labels if one.c is not None)
    kind = "multinomial" if probe.exclusive else "binary"
    held = "the validation part" if (probe.parts or {}).get("validation") else "inner folds by patient"
    return (
        f"{kind.capitalize()} logistic regression with L2 penalty on unit vectors of the space {probe.space}"
        f"{f' (model {model})' if model else ''}; C by the least log-loss on {held}: "
        f"{strengths or UNKNOWN}."
    )


def _split(probe: Probe) -> str:
    if probe.split is not None and probe.parts is not None:
        parts = ", ".join(f"{name} {count}" for name, count in probe.parts.items())
        return (
            f"Given by {probe.split}, patients: {parts}. Figures are of the test part; no patient, and none "
            "who shares a picture, is in two parts."
        )
    return (
        f"{probe.folds or 'several'} folds by patient, stratified by label; patients who share identical "
        "pictures are together. Every figure here is out of fold: of cases whose patient the probe of that "
        "fold had not seen. The probe that is kept was then trained on all of them."
    )


def _balance(probe: Probe) -> str:
    shares = ", ".join(f"{one.label} {one.positive / max(one.n, 1):.0%}" for one in probe.labels)
    weights = {"balanced": "Both classes weighed the same, so that scores exceed the share of positives."}
    where = "" if probe.split is None else " of the test part"
    return f"Positive{where}: {shares}. {weights.get(probe.class_weight or '', 'Cases were not weighted.')}"


def _version(probe: Probe) -> str:
    rows = f"; hash of the training rows {probe.training_rows}" if probe.training_rows else ""
    when = f", trained {probe.trained_at}" if probe.trained_at else ""
    named = f"{probe.name}, version {probe.version or 1}{when}{rows}"
    return f"{named}. It is never changed: training again gives the next version."


def _discrimination(probe: Probe) -> str:
    def one(label: ProbeLabel) -> str:
        caution = f" ({label.caution})" if label.caution else ""
        return (
            f"{label.label}: AUROC {_with_interval(label.auroc, label.auroc_ci)}, average precision "
            f"{_with_interval(label.auprc, label.auprc_ci)}{caution}"
        )

    intervals = "Intervals are 95 %, by patient; they do not include how another training set would do."
    return _lines([*(one(label) for label in probe.labels), intervals])


def _points(probe: Probe) -> str:
    def one(point: OperatingPoint) -> str:
        rule = RULES[point.rule].format(target=point.target or 0)
        return (
            f"for {rule}, a score of at least {point.threshold:.3f}: sensitivity "
            f"{_with_interval(point.sensitivity, point.sensitivity_ci)}, specificity "
            f"{_with_interval(point.specificity, point.specificity_ci)}"
        )

    lines = [f"{label.label}, {one(point)}" for label in probe.labels for point in label.operating_points]
    if not lines:
        return "None was measured by the version that trained the probe."
    others = "test patients"
    if probe.split is None:
        others = "folds"
        lines.append(
            "They were tried with the probes of the folds: the one that is kept has learned from more cases, "
            "and intervals hold what it is worth at these limits less often than 95 times of 100."
        )
    return _lines(
        [
            *lines,
            f"Limits were chosen on other {others} than they were tried on; none is recommended.",
            "They are limits of uncalibrated scores: a calibration changes scores, and not these limits.",
        ]
    )


def _calibration(probe: Probe, calibrated: Sequence[str]) -> str:
    kept = f"A calibration is stored for {', '.join(calibrated)} (`calibrate show probe:{probe.name}`)."
    lines = [
        f"{one.label}: expected calibration error "
        f"{_with_interval(one.calibration_error, one.calibration_error_ci)}"
        for one in probe.labels
        if one.calibration_error is not None
    ]
    return _lines(
        [
            *(lines or ["Not measured: that takes 20 patients, and a probe of this version."]),
            *([kept] if calibrated else []),
            "Scores are uncalibrated unless `calibrate --probe` was run, and mean something else where the "
            "share of positives differs.",
        ]
    )


def _subgroups(probe: Probe) -> str:
    warnings = [
        f"{label.label}, {one.attribute.removeprefix('patient_')} {one.value}: {one.warning}"
        for label in probe.labels
        for one in label.subgroups
        if one.warning
    ]
    looked = {one.attribute.removeprefix("patient_") for label in probe.labels for one in label.subgroups}
    if not looked:
        return "None could be told apart: sex, age, manufacturer and site are not known, or all are alike."
    found = warnings or ["None was small or found to be worse."]
    caution = "What was not found to be worse is not shown to be as good."
    return _lines([f"Looked at by {', '.join(sorted(looked))}.", *found, caution])


def _learning(probe: Probe) -> str:
    def one(label: ProbeLabel) -> str:
        steps = ", ".join(f"{point.auroc or 0:.3f} with {point.groups}" for point in label.learning_curve)
        return f"{label.label}: AUROC {steps} patients"

    lines = [one(label) for label in probe.labels if len(label.learning_curve) > 1]
    return _lines(lines or ["Not measured: few patients, a given split, or very many cases."])


def _suspects(probe: Probe) -> str:
    lines = [f"{one.label} {one.suspects}" for one in probe.labels if one.suspects is not None]
    if not lines:
        return "Not looked for by the version that trained the probe."
    where = "They are in the figures as they are; `probe suspects` lists them."
    return f"Cases, by cleanlab: {', '.join(lines)}. {where}"


def _external() -> str:
    return (
        "None here. `evaluate probe` judges it on patients that it has not seen; how it does at another "
        "hospital only cases of that hospital can say."
    )


def _intended(probe: Probe) -> str:
    return (
        f"Ordering, searching and preselecting cases like those it was trained on, each one {probe.level}, "
        "for people who look at the images themselves."
    )


def _not_for(probe: Probe) -> str:
    kinds = sorted({one for values in (probe.modalities or {}).values() for one in values if one})
    pictures = ", ".join(kinds) or "those it was trained on"
    return (
        "Not a medical device: not for diagnosis, decisions on treatment, or leaving an image unread. "
        f"Not for other pictures than {pictures}{_of_each(probe)}, other parts of the body, other ages, or "
        "another model "
        f"than that of the space {probe.space}. Not for patients it was trained on: it knows the answers."
    )


def _of_each(probe: Probe) -> str:
    """The modalities of each label, in brackets, where these differ."""
    kinds = {label: ", ".join(filter(None, known)) for label, known in (probe.modalities or {}).items()}
    if probe.exclusive or len(set(kinds.values())) < 2:
        return ""
    return f" ({'; '.join(f'{label} {known or UNKNOWN}' for label, known in kinds.items())})"


def _unknown(probe: Probe) -> str:
    told = {
        "sex": _counts(probe, "patient_sex"),
        "age": _counts(probe, "age"),
        "manufacturer": _counts(probe, "manufacturer"),
        "site": _counts(probe, "site"),
        "dates": _dates(probe),
    }
    lacking = [name for name, said in told.items() if said == UNKNOWN]
    also = f"{', '.join(lacking)} of the patients; " if lacking else ""
    return (
        f"{also}ethnicity, treatment, symptoms and referral; who labelled and how; how it does at other "
        "hospitals, on newer scanners, and over time (`evaluate drift`)."
    )


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _with_interval(value: float | None, interval: tuple[float | None, float | None] | None) -> str:
    if value is None:
        return "not known"
    if interval is None or interval[0] is None or interval[1] is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
