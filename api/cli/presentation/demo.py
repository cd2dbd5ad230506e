"""The demonstration as text: its ingest, figures and searches, and what to try next."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation import archive, figures, searches
from medsiglip.api.cli.presentation.tables import Payload


def show_demo(console: Console, outcome: Payload) -> None:
    """The ingest report, the three tables, two searches, and the next steps."""
    console.rule("ingest: synthetic DICOM studies from disk", align="left")
    archive.show_ingest(console, outcome["ingest"])
    console.rule("zero-shot: findings recognised from words alone", align="left")
    figures.show_label_figures(console, outcome["zero_shot"])
    found = outcome["text_search"]
    words = f"{found['query']['text']} (--where {' '.join(found['where'])})"
    console.rule(f"text search: {escape(words)}", align="left")
    searches.show_search(console, outcome["text_search"])
    console.rule("similar cases of other patients", align="left")
    for found in outcome["case_search"]:
        console.print(f"query: study {found['query']['study_instance_uid']}", soft_wrap=True)
        searches.show_search(console, found)
    console.rule("retrieval: do neighbours share the finding?", align="left")
    figures.show_retrieval(console, outcome["retrieval"])
    console.rule("probe: logistic regression on the embeddings, cross-validated by patient", align="left")
    figures.show_probe(console, outcome["probe"])
    console.rule("what to try next", align="left")
    for line in _next_steps(outcome):
        console.print(line, soft_wrap=True, markup=False)


def _next_steps(outcome: Payload) -> list[str]:
    home = outcome["home"]
    return [
        f"The studies are in {outcome['files']}, the archive is {home}.",
        f"Look at it:        medsiglip --home {home} serve",
        "                   then open http://127.0.0.1:8000/ in a browser",
        f"The contact sheet: {outcome['contact_sheet']}",
        f'Search it:         medsiglip --home {home} search --text "skin lesion suspicious for melanoma"',
        "Your own folder:   medsiglip ingest ~/dicom",
        "The real model:    accept the terms at huggingface.co/google/medsiglip-448, set HF_TOKEN, then",
        "                   medsiglip --home ~/archive --model google/medsiglip-448 ingest ~/dicom",
        "All of this is synthetic: these figures say nothing about patients. Not a medical device. "
        f"({outcome['seconds']:.0f} s)",
    ]
