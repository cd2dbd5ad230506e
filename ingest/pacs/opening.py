"""The client of a connection, by its kind."""

from __future__ import annotations

from medsiglip.ingest.pacs.client import PacsClient, Spend, no_limit
from medsiglip.ingest.pacs.connection import Connection


def open_client(connection: Connection, spend: Spend = no_limit) -> PacsClient:
    """The client of a connection. Nothing is sent before it is used."""
    if connection.kind == "dicomweb":
        from medsiglip.ingest.pacs.dicomweb import DicomwebClient

        return DicomwebClient(connection, spend)
    from medsiglip.ingest.pacs.dimse.client import DimseClient

    return DimseClient(connection, spend)
