"""What an administrator wants to know of the connection to a catalogue."""

from __future__ import annotations

from medsiglip.index.catalogue.database import Database


class CatalogueHealth:
    """Whether the catalogue of a home can be written, and how its database does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def kind(self) -> str:
        """What the database is: `sqlite` or `postgresql`."""
        return self._database.url.get_backend_name()

    def check_writable(self) -> None:
        """Raise `CatalogError` `database-read-only` for a server that takes no writes, such as a standby, and
        `read-only-home` for a file that cannot be written.
        """
        self._database.check_writable()

    def seconds(self) -> float:
        """How long a connection and the smallest statement take."""
        return self._database.measure_seconds()

    def connections(self) -> tuple[int, int]:
        """Connections of this process that are in use, and the most that there may be."""
        return self._database.pool()
