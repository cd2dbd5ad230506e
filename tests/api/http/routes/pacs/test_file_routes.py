"""Files are released and fetched again over HTTP, from a real PACS."""

from __future__ import annotations

import pydicom

from medsiglip.answers.pacs import FetchReport, ReleaseReport
from tests.api.http.routes.pacs.conftest import Beside
from tests.api.http.routes.pacs.test_pacs_routes import refused


def test_files_go_and_come_back(beside: Beside) -> None:
    held = beside.held[3]
    uid = held.study_instance_uid
    with beside.service.client("write") as writer:
        assert writer.wait(writer.pacs_pull("main", [uid])).status == "done"
        before = writer.study(uid)
        assert (before.files, before.came_from) == ("here", ("main",))
        released = writer.wait(writer.pacs_release("main", [uid]))
        report = ReleaseReport.model_validate(released.result)
        assert (report.studies, report.kept) == (1, 0)
        assert report.files >= held.instances, "and copies, where other tests had it sent again"
        gone = writer.study(uid)
        assert (gone.files, gone.images) == ("fetchable", before.images)
        for source in ("old", None):
            fetched = writer.wait(writer.fetch_files(uid, connection=source))
            came = FetchReport.model_validate(fetched.result)
            assert (came.files, came.instances) == ("here", held.instances if source else 0)
        assert writer.study(uid).came_from == ("old", "main")
        assert refused(writer.fetch_files, "1.2.3.4") == "unknown-study"
        assert refused(writer.fetch_files, uid, connection="unheard") == "unknown-pacs"
        assert refused(writer.pacs_release, "unheard") == "unknown-pacs"
        everything = writer.wait(writer.pacs_release("old"))
        assert ReleaseReport.model_validate(everything.result).studies >= 1
    with beside.service.client() as admin:
        actions = [one.action for one in admin.audit_events(limit=50).events]
        assert {"pacs-fetch", "pacs-release"} <= set(actions)
    left = (beside.service.home / "received").rglob("*.dcm")
    assert uid not in {pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID for path in left}
