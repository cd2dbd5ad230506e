"""The pages of the screen, as addresses of something that the filled archive holds."""

from __future__ import annotations

from collections.abc import Callable

from tests.web.filled import Filled

PAGES: dict[str, Callable[[Filled], str]] = {
    "cases": lambda _: "/app/cases",
    "cases-table": lambda _: "/app/cases?view=table&where=modality%3DCR",
    "case": lambda filled: f"/app/cases/{filled.plain}",
    "search": lambda _: "/app/search?text=melanoma",
    "map": lambda _: "/app/map",
    "label": lambda _: "/app/label?label=melanoma",
    "models": lambda _: "/app/models",
    "drafts": lambda _: "/app/drafts",
    "draft": lambda filled: f"/app/drafts/{filled.draft}",
    "ingest": lambda _: "/app/ingest",
    "pacs": lambda _: "/app/pacs",
    "pacs-find": lambda _: "/app/pacs?tab=find&connection=archive",
    "pacs-studies": lambda _: "/app/pacs?connection=archive&tab=studies",
    "audit": lambda _: "/app/audit",
}
WITHHELD: dict[str, Callable[[Filled], str]] = {
    **PAGES,
    "case": lambda filled: f"/app/cases/{filled.withheld}",
    "search": lambda filled: f"/app/search?study={filled.withheld}",
}
"""The same for somebody with the scope read alone, with the study whose picture is withheld."""
