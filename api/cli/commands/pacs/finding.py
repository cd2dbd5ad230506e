"""`pacs find`: what a PACS holds."""

from __future__ import annotations

from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.pacs.connections import Name


def find(
    context: typer.Context,
    name: Name,
    patient_id: Annotated[str | None, typer.Option(help="PatientID.")] = None,
    patient_name: Annotated[str | None, typer.Option(help="PatientName, as Doe* or Doe^John.")] = None,
    accession_number: Annotated[str | None, typer.Option(help="AccessionNumber.")] = None,
    study: Annotated[str | None, typer.Option(help="StudyInstanceUID.")] = None,
    modality: Annotated[str | None, typer.Option(help="One that the study has.")] = None,
    study_description: Annotated[str | None, typer.Option(help="StudyDescription.")] = None,
    from_date: Annotated[str | None, typer.Option(metavar="DATE", help="First day, as 2026-03-01.")] = None,
    to_date: Annotated[str | None, typer.Option(metavar="DATE", help="Last day.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
) -> None:
    """Ask a PACS for studies, and show what of them is here.

    `*` and `?` stand for characters in all but dates and UIDs. Names and numbers are shown only in a home
    that keeps them (--phi keep).

    \b
    Example: medsiglip pacs find main --modality CT --from-date 2026-03-01
             medsiglip pacs find main --patient-id 'P0*' --limit 20
    """
    from medsiglip.api.archive.pacs.finding import query_of
    from medsiglip.api.cli.presentation.pacs import show_found

    asked = {
        "patient_id": patient_id,
        "patient_name": patient_name,
        "accession_number": accession_number,
        "study_instance_uid": study,
        "modality": modality,
        "study_description": study_description,
        "from_date": from_date,
        "to_date": to_date,
    }
    query = query_of(asked, limit)
    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.pacs_find(name, query), show_found)
