"""What figures on a terminal say beside their tables."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from medsiglip.answers.figures import LabelFigures, Probe, ProbeLabel, RetrievalEvaluation, ZeroShotEvaluation
from medsiglip.answers.figures import LabelRetrieval as Retrieval
from medsiglip.api.cli.presentation.figures import show_label_figures, show_probe, show_retrieval
from medsiglip.api.cli.presentation.tables import print_table, show_warnings

NAN = float("nan")
CAUTION = "4 patients with the label are few: [sic]"


def shown(show: Callable[[Console, Any], None], answer: Any) -> str:
    out = StringIO()
    show(Console(file=out, width=100), answer.to_json())
    return out.getvalue()


def probe() -> Probe:
    label = ProbeLabel(
        label="rare", n=40, positive=4, auroc=1.0, auroc_ci=(0.7, 1.0), auprc=1.0, caution=CAUTION, c=1.0
    )
    return Probe(name="p", space="s", groups=40, labels=(label,), macro_auroc=1.0, level="study")


def zero_shot() -> ZeroShotEvaluation:
    label = LabelFigures(
        label="rare",
        n=40,
        positive=4,
        unknown=0,
        auroc=1.0,
        auroc_ci=(0.7, 1.0),
        reason=None,
        caution=CAUTION,
    )
    return ZeroShotEvaluation(
        prompts="x", level="study", space="s", labels=(label,), unlabelled=(), macro_auroc=1.0
    )


@pytest.mark.parametrize(("show", "answer"), [(show_probe, probe()), (show_label_figures, zero_shot())])
def test_what_few_patients_cannot_show_is_printed(show: Any, answer: Any) -> None:
    assert f"  rare: {CAUTION}\n" in shown(show, answer)


def test_labels_and_warnings_are_printed_beside_a_reason() -> None:
    """Of all labels together no query has a figure, and one label has."""

    def figures(queries: int, value: float, reason: str | None) -> dict[str, Any]:
        ranks = {"1": value, "5": value, "10": value}
        counts: dict[str, Any] = {"queries": queries, "excluded": 3, "unknown": 0, "reason": reason, "ci": {}}
        return counts | {"precision_at": ranks, "recall_at": ranks, "map": value, "chance": value}

    text = shown(
        show_retrieval,
        RetrievalEvaluation(
            level="study",
            space="s",
            **figures(0, NAN, "nothing to compare"),
            labels=(
                Retrieval(label="a", **figures(7, 0.5, None)),
                Retrieval(label="b", **figures(0, NAN, "no b")),
            ),
            warnings=("two patients are one",),
        ),
    )
    assert text.startswith("no figure: nothing to compare\n")
    assert "two patients are one" in text
    assert "a: 7 queries, precision@5 0.500 (chance -), mAP 0.500 (chance -)" in text
    assert "b: 0 queries, no b" in text


def test_what_a_terminal_would_obey_is_shown_as_bytes() -> None:
    """A label of somebody's file, and a header of DICOM, may hold any character."""
    out = StringIO()
    console = Console(file=out, width=100)
    print_table(console, "", ("label", "labels"), [("\x1b[31mred", {"\x9b2J": 1.0})])
    show_warnings(console, {"warnings": ["“\x1b]0;title\x07” is out of scope"]})
    table, warning = out.getvalue().split("warning: ")
    assert r"\x1b[31mred" in table
    assert r"\x9b2J=1" in table
    assert warning == "“\\x1b]0;title\\x07” is out of scope\n"
