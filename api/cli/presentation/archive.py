"""What a person sees of ingests, searches, studies, the index, tuning and `doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import (
    Payload,
    positive_labels,
    print_facts,
    print_table,
    show_warnings,
)

_SHOWN_REFUSALS = 5


def show_ingest(console: Console, report: Payload) -> None:
    """Counts, then what was left out and why."""
    if report.get("dry_run"):
        console.print("[bold]dry run[/bold]: nothing was written; this is what an ingest would do")
    print_facts(
        console,
        (
            (
                "files",
                f"{report['files']}: {report['files_embedded']} embedded, "
                f"{report['files_unchanged']} unchanged, {len(report['skipped'])} skipped, "
                f"{len(report['quarantined'])} quarantined",
            ),
            (
                "images",
                f"{_most(report, 'images')}: {_most(report, 'embedded')} embedded, "
                f"{report['unchanged']} unchanged",
            ),
            (
                "studies",
                f"{report['studies']} with {report['series']} series and {report['instances']} instances",
            ),
            ("space", report["space"]),
            ("seconds", f"{report['seconds']:.1f}"),
        ),
    )
    for title in ("skipped", "quarantined"):
        _show_refusals(console, title, report[title])
    for entry in report.get("withheld", ()):
        console.print(f"pictures of {entry['files']} files are not shown: {escape(entry['reason'])}")
    for warning in report["warnings"][:_SHOWN_REFUSALS]:
        console.print(f"warning: {escape(_text(warning))}", soft_wrap=True)
    if len(report["warnings"]) > _SHOWN_REFUSALS:
        console.print(f"and {len(report['warnings']) - _SHOWN_REFUSALS} more warnings; --json lists them all")


def _most(report: Payload, count: str) -> str:
    """A count of images, or what a dry run knows of it."""
    return f"at most {report[count]}" if report.get("at_most") else str(report[count])


def _show_refusals(console: Console, title: str, entries: Sequence[Payload]) -> None:
    if not entries:
        return
    counts = Counter(entry["code"] for entry in entries)
    console.print(
        f"[bold]{title}[/bold]: " + ", ".join(f"{count} {code}" for code, count in counts.most_common())
    )
    shown: set[str] = set()
    for entry in entries:
        if entry["code"] not in shown and len(shown) < _SHOWN_REFUSALS:
            shown.add(entry["code"])
            console.print(f"  {escape(str(entry['path']))}: {escape(entry['reason'])}", soft_wrap=True)
    if len(entries) > len(shown):
        console.print(f"  and {len(entries) - len(shown)} more; --json lists them all")


def _text(warning: object) -> str:
    if isinstance(warning, Mapping):
        return ": ".join(str(warning[name]) for name in ("path", "reason") if warning.get(name))
    return str(warning)


def show_studies(console: Console, listed: Payload) -> None:
    """One line per study."""
    print_table(
        console,
        f"{len(listed['studies'])} studies",
        ("row", "study", "patient", "date", "modality", "series", "images", "labels"),
        (
            (
                row,
                study["study_instance_uid"],
                study["patient_key"],
                study["study_date"],
                study["modalities"],
                study["series"],
                study["images"],
                positive_labels(study["labels"]),
            )
            for row, study in enumerate(listed["studies"], start=1)
        ),
        numeric="row series images",
    )
    show_warnings(console, listed)


def show_study(console: Console, study: Payload) -> None:
    """One study: its facts, series and images; what else is known of an image is in the JSON answer."""
    # Short names, so that a UID of 64 characters fits beside them into 80 columns.
    names = {"study_instance_uid": "study", "patient_key": "patient", "study_description": "description"}
    facts = ((name, value) for name, value in study.items() if not isinstance(value, list))
    print_facts(console, ((names.get(name, name.rpartition("_")[2]), value) for name, value in facts))
    print_table(
        console,
        "series",
        ("series", "modality", "body part", "view", "description", "instances", "images"),
        (
            (
                one["series_instance_uid"],
                one["modality"],
                one["body_part_examined"],
                one["view_position"],
                one["series_description"],
                one["instances"],
                one["images"],
            )
            for one in study["series"]
        ),
        numeric="instances images",
    )
    print_table(
        console,
        "images",
        ("image", "instance", "frame", "slice", "rendering", "warnings", "path"),
        (
            (
                one["image_id"],
                one["sop_instance_uid"],
                one["frame"],
                one["slice_index"],
                one["rendering"],
                one["warnings"],
                one["path"],
            )
            for one in study["images"]
        ),
        numeric="image frame slice",
    )


def show_forgotten(console: Console, forgotten: Payload) -> None:
    """What was removed."""
    console.print(f"removed {forgotten['studies']} studies with {forgotten['images']} images")


def show_embedded(console: Console, written: Payload) -> None:
    """Where the embeddings are."""
    console.print(
        f"{written['images']} embeddings of dimension {written['dimension']} in {escape(written['path'])}",
        soft_wrap=True,
    )
    _show_refusals(console, "skipped", written["skipped"])
    _show_refusals(console, "quarantined", written["quarantined"])


def show_rendered(console: Console, rendered: Payload) -> None:
    """Where the PNGs are."""
    counts = Counter(image["rendering"] for image in rendered["images"])
    console.print(f"{len(rendered['images'])} images in {escape(rendered['folder'])}", soft_wrap=True)
    for rendering, count in counts.most_common():
        console.print(f"  {rendering}: {count}")
    _show_refusals(console, "skipped", rendered["skipped"])
    _show_refusals(console, "quarantined", rendered["quarantined"])


def show_verification(console: Console, outcome: Payload) -> None:
    """Whether the three layers agree."""
    verdict = "ok" if outcome["ok"] else "NOT ok"
    console.print(
        f"{verdict}: {outcome['images']} images, {outcome['vectors']} vectors, {outcome['faiss']} in FAISS"
    )
    if outcome["checksums"] is not None:
        agree, none = outcome["checksums"], outcome["without_checksum"]
        console.print(f"checksums: {agree} agree, {none} not on record (`index compact` notes them)")
    for problem in outcome["problems"]:
        console.print(f"  {escape(str(problem))}", soft_wrap=True)


def show_reembedding(console: Console, done: Payload) -> None:
    """How many images were embedded anew, which are missing, and which space the archive works in."""
    console.print(f"{done['embedded']} of {done['images']} images embedded anew with {escape(done['model'])}")
    if done["switched"]:
        console.print(f"the archive works in {done['space']} now", soft_wrap=True)
    if done["missing"]:
        console.print(
            f"{done['missing']} images are missing, for their files could not be used", soft_wrap=True
        )
        _show_refusals(console, "missing", done["missing_files"])
    if not done["finished"]:
        console.print("the archive stays as it was; --allow-missing goes on without them", soft_wrap=True)
    show_warnings(console, done)


def show_dropped_space(console: Console, dropped: Payload) -> None:
    """What was deleted."""
    console.print(f"{dropped['images']} vectors of {dropped['space']} deleted", soft_wrap=True)


def show_recovery(console: Console, recovered: Payload) -> None:
    """Vectors that were recovered, files that were set aside, and images that still have no vector."""
    console.print(
        f"{recovered['found']} vectors found again; {recovered['set_aside']} vector files set aside in "
        "trash/, where they lie for a week",
        soft_wrap=True,
    )
    if recovered["missing"]:
        console.print(
            f"{recovered['missing']} images have no vector, for they were forgotten or lost since: forget "
            f"their studies ({', '.join(recovered['studies'])}), and ingest again what is still wanted",
            soft_wrap=True,
        )


def show_exported(console: Console, exported: Payload) -> None:
    """Where the table is."""
    console.print(f"{exported['images']} images in {escape(exported['path'])}", soft_wrap=True)


def show_tuned(console: Console, report: Payload) -> None:
    """Where the checkpoint is and how its validation loss went."""
    start, best = report["start"], report["best"]
    print_facts(
        console,
        (
            ("checkpoint", report["checkpoint"]),
            (
                "pictures",
                f"{report['training_pictures']} to train, {report['validation_pictures']} to validate",
            ),
            (
                "validation loss",
                f"{start['validation_loss']:.4f} at the start, {best['validation_loss']:.4f} at best, "
                f"after epoch {best['epoch']}",
            ),
            ("curve", f"{report['checkpoint']}/curve.png"),
            ("seconds", f"{report['seconds']:.1f}"),
        ),
    )
    show_warnings(console, report)
    if report["interrupted"]:
        console.print("stopped early: the best weights so far were kept; the same command goes on from there")


def show_diagnosis(console: Console, diagnosis: Payload) -> None:
    """Every check with its outcome."""
    print_table(
        console,
        "transfer syntaxes",
        ("", "name", "decoder", "UID"),
        (
            ("ok" if syntax["ok"] else "FAILS", syntax["name"], syntax["decoder"], syntax["uid"])
            for syntax in diagnosis["transfer_syntaxes"]
        ),
    )
    model = diagnosis["model"]
    shown_model = (
        f"{model['model']}: dimension {model['dimension']}, {model['image_size']} pixels"
        if model["ok"]
        else f"FAILS: {model.get('error', 'vectors are not of unit length')}"
    )
    faiss = diagnosis["faiss"]
    shown_faiss = (
        f"{faiss['version']}, {faiss['gpus']} GPUs, {faiss['threads']} threads"
        if faiss["ok"]
        else f"FAILS: {faiss.get('error', 'wrong neighbours')}"
    )
    print_facts(console, (("device", diagnosis["device"]), ("faiss", shown_faiss), ("model", shown_model)))
    home = diagnosis["home"]
    print_facts(console, (("home", f"FAILS: {one['message']}") for one in home["problems"]))
    print_facts(
        console,
        (
            (f"generator {one['name']}", one["message"] if one["ok"] else f"NOT READY: {one['message']}")
            for one in diagnosis["generators"]
        ),
    )
    print_facts(
        console,
        (
            (
                f"worker {one['worker']}",
                f"{one['state'] if one['ok'] else 'LATE'}, last seen {one['beat_seconds_ago']:.0f} s ago",
            )
            for one in diagnosis["workers"]
        ),
    )
    print_facts(console, ((f"setting {name}", value) for name, value in diagnosis["settings"].items()))
    console.print(
        "something is missing: see the lines that say FAILS"
        if not diagnosis["ok"]
        else "everything works"
        if all(one["ok"] for one in diagnosis["generators"])
        else "everything works but generators that are NOT READY"
    )
    console.print(f"next: {_after_diagnosis(diagnosis)}", soft_wrap=True, markup=False)


def _after_diagnosis(diagnosis: Payload) -> str:
    settings = diagnosis["settings"]
    if not diagnosis["ok"]:
        return "mend what FAILS, then run `medsiglip doctor` again"
    if not settings.get("database_url") and not (Path(settings["home"]) / "catalog.db").exists():
        return "ingest a folder with `medsiglip ingest FOLDER`, or see synthetic cases with `medsiglip demo`"
    return 'search with `medsiglip search --text "pleural effusion"`, or answer HTTP with `medsiglip serve`'
