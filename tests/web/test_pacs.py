"""The page PACS against a real Orthanc: found and brought in by keys, states and reasons, what goes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.api.archive.pacs.orthanc import Orthanc, needs_orthanc
from tests.api.live_service import LiveService
from tests.web.browsing import Watched, violations, watched
from tests.web.filled import Filled
from tests.web.test_journeys import Keyboard

pytestmark = needs_orthanc
# What Chromium itself writes where a PACS does not answer, and for a study that is not here.
_NO_PACS = ("error: Failed to load resource: the server responded with a status of 424",)
_NOT_THERE = ("error: Failed to load resource: the server responded with a status of 404",)


@dataclass(frozen=True)
class Pacs:
    """An Orthanc that the service knows as `main`, and the studies in it: patient IDs by StudyInstanceUID."""

    orthanc: Orthanc
    patients: dict[str, str]

    def other_than(self, *used: str) -> str:
        """A study that no test has brought in."""
        return next(uid for uid in self.patients if uid not in used)


@pytest.fixture(scope="module")
def pacs(service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    folder = tmp_path_factory.mktemp("pacs")
    for study in make_studies(12, 91, ["skin"]):
        write_study(study, folder / "dicom")
    of_patient: dict[str, tuple[Path, pydicom.Dataset]] = {}
    for path in sorted((folder / "dicom").rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        of_patient.setdefault(str(header.PatientID), (path, header))
    files, headers = zip(*list(of_patient.values())[:3], strict=True)
    with Orthanc(folder / "orthanc") as orthanc, service.http() as http:
        assert len(orthanc.upload(files)) == len(files)
        options = {"url": orthanc.dicomweb_url}
        http.put("/v1/pacs/main", json=options).raise_for_status()
        yield Pacs(orthanc, {str(one.StudyInstanceUID): str(one.PatientID) for one in headers})
        http.delete("/v1/pacs/main").raise_for_status()


@pytest.fixture
def admin(browser: Browser, service: LiveService) -> Iterator[Watched]:
    with watched(browser, service.url, service.keys["admin"], allowed=_NO_PACS) as one:
        yield one
        one.assert_clean()


def told(one: Watched) -> str:
    """All that addresses and the browser's storage hold after what was asked for."""
    kept = one.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    return " ".join([*one.requests, one.page.url, one.page.title(), kept])


def ask(page: Page, patient: str) -> None:
    """Ask for the studies of a patient, and wait for the answer."""
    page.get_by_label("Patient ID").fill(patient)
    page.get_by_role("button", name="Find", exact=True).click()
    expect(page.get_by_role("region", name="Studies of the PACS")).to_be_visible()


def test_find_in_the_pacs_bring_in_and_see_it_among_cases(
    browser: Browser, service: LiveService, pacs: Pacs
) -> None:
    study = pacs.other_than()
    with watched(browser, service.url, service.keys["admin"], reduced_motion="reduce") as one:
        keyboard, page = Keyboard(one), one.open("/app/")
        keyboard.press("g", "p")
        page.wait_for_url("**/app/pacs")
        one.settle()
        keyboard.to(keyboard.named("tab", "Connections"))
        keyboard.press("ArrowRight")
        page.wait_for_url("**/app/pacs?tab=find*")
        one.settle()
        keyboard.to(page.get_by_role("combobox", name="PACS"))
        keyboard.write("main")
        keyboard.to(page.get_by_label("Patient ID"))
        keyboard.write(pacs.patients[study])
        keyboard.press("Enter")
        row = page.get_by_role("row").filter(has_text=pacs.patients[study])
        expect(row).to_contain_text("not here")
        keyboard.use("button", re.compile("^Bring in the study"))
        expect(row).to_contain_text("1 image")
        expect(page.get_by_role("region", name="Job pacs-pull").get_by_text("done")).to_be_visible()
        assert violations(page) == []
        keyboard.use("link", "Show the newest cases")
        page.wait_for_url("**/app/cases?sort=-added_at")
        one.settle()
        first = page.locator("a.tile-picture").first
        assert (first.get_attribute("href") or "").endswith(study)
        assert pacs.patients[study] not in told(one)
        one.assert_clean()
    with service.client() as client:
        assert client.study(study).study_instance_uid == study


def test_an_id_that_is_typed_above_is_looked_for_in_the_pacs(admin: Watched, pacs: Pacs) -> None:
    [patient] = {pacs.patients[pacs.other_than()]}
    page = admin.open("/app/cases")
    field = page.get_by_label("Search by words or UID")
    look = page.get_by_role("button", name="Look in the PACS")
    for words in ("melanoma", "8 mm nodule", "2024", "CT"):
        field.fill(words)
        expect(look).to_have_count(0)
    field.fill(patient)
    look.click()
    page.wait_for_url("**/app/pacs?tab=find&connection=*")
    page.get_by_role("combobox", name="PACS").select_option("main")
    ask(page, patient)
    expect(page.get_by_role("row").filter(has_text=patient)).to_have_count(1)
    page.get_by_role("tab", name="Studies").click()
    admin.settle()
    page.get_by_role("tab", name="Find and bring in").click()
    expect(page.get_by_label("Patient ID")).to_have_value(patient)
    assert patient not in told(admin)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("input[type=password]")).to_be_visible()
    assert patient not in page.content()


def test_what_was_asked_is_in_no_address_and_gone_when_it_is_cleared(admin: Watched, pacs: Pacs) -> None:
    patient = pacs.patients[pacs.other_than()]
    page = admin.open("/app/cases")
    field = page.get_by_label("Search by words or UID")
    field.fill(patient)
    field.press("Enter")
    page.wait_for_url("**/app/pacs?tab=find&connection=*")
    page.get_by_role("combobox", name="PACS").select_option("main")
    ask(page, patient)
    assert patient not in told(admin)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_role("region", name="Studies of the PACS")).to_have_count(0)
    page.get_by_role("tab", name="Studies").click()
    admin.settle()
    page.get_by_role("tab", name="Find and bring in").click()
    expect(page.get_by_label("Patient ID")).to_have_value("")
    assert patient not in page.content()


def test_a_job_that_is_gone_can_be_closed(browser: Browser, service: LiveService, pacs: Pacs) -> None:
    with watched(browser, service.url, service.keys["admin"], allowed=_NOT_THERE) as one:
        page = one.open(f"/app/pacs?tab=studies&connection=main&job={'0' * 32}")
        expect(page.get_by_role("alert")).to_contain_text("unknown-job")
        page.get_by_role("alert").get_by_role("button", name="Close").click()
        expect(page.get_by_role("alert")).to_have_count(0)
        assert "job=" not in page.url
        one.assert_clean()


def test_a_job_is_followed_where_its_events_are_refused(
    browser: Browser, service: LiveService, pacs: Pacs
) -> None:
    refused = ("error: Failed to load resource: the server responded with a status of 503",)
    with service.http() as http, service.client() as client:
        job = http.post("/v1/pacs/main/pull", json={"study_instance_uids": [pacs.other_than()]}).json()["id"]
        client.wait(client.job(job))
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        answered = route.fetch()
        state = answered.json() | ({"status": "running"} if len(asked) == 1 else {})
        route.fulfill(response=answered, json=state)

    with watched(browser, service.url, service.keys["admin"], allowed=refused) as one:
        one.page.route(f"**/v1/jobs/{job}", answer)
        one.page.route("**/events", lambda route: route.fulfill(status=503))
        page = one.open(f"/app/pacs?tab=studies&connection=main&job={job}")
        shown = page.get_by_role("region", name="Job pacs-pull")
        expect(shown.get_by_text("done", exact=True)).to_be_visible()
        assert len(asked) == 2
        one.assert_clean()


def test_a_study_that_is_not_here_may_be_in_the_pacs(
    browser: Browser, service: LiveService, pacs: Pacs
) -> None:
    """The first PACS of the archive is asked at once, and it is switched off."""
    study = list(pacs.patients)[-1]
    away = ("error: Failed to load resource: the server responded with a status of 424",)
    with watched(browser, service.url, service.keys["admin"], allowed=_NOT_THERE + away) as one:
        page = one.open(f"/app/cases/{study}")
        page.get_by_role("button", name="Look in the PACS").click()
        expect(page.get_by_label("StudyInstanceUID", exact=True)).to_have_value(study)
        page.get_by_role("combobox", name="PACS").select_option("main")
        page.get_by_role("button", name="Find", exact=True).click()
        box = page.get_by_role("checkbox", name=re.compile("^Select the study"))
        expect(box).to_have_count(1)
        box.check()
        page.get_by_role("button", name="Bring in 1").click()
        expect(page.get_by_role("region", name="Job pacs-pull").get_by_text("done")).to_be_visible()
        one.assert_clean()
    with service.client() as client:
        assert client.study(study).study_instance_uid == study


def test_what_was_asked_for_is_listed_by_status_with_reasons(admin: Watched, pacs: Pacs) -> None:
    page = admin.open("/app/pacs?connection=main&status=here")
    here = page.get_by_role("region", name="Studies of main")
    expect(here.get_by_role("row")).not_to_have_count(1)
    assert violations(page) == []
    page.get_by_label("Status").select_option("failed")
    expect(page.get_by_role("heading", name="No study has this status")).to_be_visible()
    assert "status=failed" in page.url
    page.get_by_role("button", name="Let the failed ones wait again").click()
    expect(page.locator("main").get_by_text("No study has failed or came in part.")).to_be_visible()


def test_a_connection_says_when_it_was_seen_and_why_it_fails(
    admin: Watched, pacs: Pacs, service: LiveService
) -> None:
    page = admin.open("/app/pacs")
    card = page.get_by_role("region", name="main")
    card.get_by_role("button", name="Echo main").click()
    expect(card.get_by_text("Answered after")).to_be_visible()
    expect(card.get_by_text("answers", exact=True)).to_be_visible()
    pacs.orthanc.stop()
    try:
        card.get_by_role("button", name="Echo main").click()
        expect(card.get_by_role("alert")).to_contain_text("pacs-unreachable")
        expect(card.get_by_text("failing", exact=True)).to_be_visible()
        assert violations(page) == []
        page = admin.open("/app/pacs")
        expect(card.get_by_text("failing", exact=True)).to_be_visible()
        expect(card).to_contain_text("pacs-unreachable")
    finally:
        pacs.orthanc.start()


def test_a_connection_is_added_and_removed(admin: Watched, service: LiveService, pacs: Pacs) -> None:
    page = admin.open("/app/pacs")
    page.get_by_text("Add a connection", exact=True).click()
    form = page.get_by_role("form", name="Add a connection")
    form.get_by_label("Name", exact=True).fill("by-hand")
    form.get_by_label("DIMSE (AE title)").check()
    form.get_by_label("Host").fill("127.0.0.1")
    form.get_by_label("Port").fill(str(pacs.orthanc.dicom_port))
    form.get_by_label("Its AE title").fill("ORTHANC")
    form.get_by_label("At most so many operations a second").fill("20")
    form.get_by_label("Hours of a sync").fill("20:00-06:00")
    form.get_by_label("DICOM SR").check()
    assert violations(page) == []
    form.get_by_role("button", name="Add the connection").click()
    card = page.get_by_role("region", name="by-hand")
    card.get_by_role("button", name="Echo by-hand").click()
    expect(card.get_by_text("Answered after")).to_be_visible()
    with service.http() as http:
        listed = {one["name"]: one for one in http.get("/v1/pacs").json()["connections"]}
    assert (listed["by-hand"]["kind"], listed["by-hand"]["state"]) == ("dimse", "ok")
    options = listed["by-hand"]["options"]
    assert (options["host"], options["port"], options["rate"]) == ("127.0.0.1", pacs.orthanc.dicom_port, 20)
    assert (options["hours"], options["send_accepted"]) == ("20:00-06:00", ["sr"])
    card.get_by_role("button", name="Remove… by-hand").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(card).to_have_count(0)


def test_a_sync_is_started_and_followed(admin: Watched, service: LiveService, pacs: Pacs) -> None:
    page = admin.open("/app/pacs")
    page.get_by_role("region", name="main").get_by_role("button", name="Sync… main").click()
    dialog = page.get_by_role("dialog", name="Sync main")
    dialog.get_by_label("Modality").fill("XC")
    assert violations(page) == []
    dialog.get_by_role("button", name="Start the sync").click()
    page.wait_for_url("**/app/pacs?tab=studies&connection=main&job=*")
    job = page.get_by_role("region", name="Job pacs-sync")
    expect(job.get_by_text("done", exact=True)).to_be_visible()
    for uid in pacs.patients:
        expect(page.locator(f"code[title='{uid}']")).to_have_count(1)
    with service.client() as client:
        assert [client.study(uid).study_instance_uid for uid in pacs.patients] == list(pacs.patients)


def test_an_accepted_draft_is_sent(
    admin: Watched, service: LiveService, pacs: Pacs, filled: Filled, tmp_path: Path
) -> None:
    """The study is in the PACS, too, whose patient the documents name."""
    with service.http() as http, service.client() as client:
        ordered = http.post("/v1/reports", json={"study_instance_uid": filled.ct}).json()["id"]
        client.wait(client.job(ordered))
        draft = http.get(f"/v1/reports/{ordered}").json()
        pacs.orthanc.upload(
            path
            for path in sorted(filled.dicom.rglob("*.dcm"))
            if pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID == filled.ct
        )
        before = set(pacs.orthanc.sops())
        page = admin.open(f"/app/drafts/{ordered}")
        assert page.get_by_role("heading", name="Send to PACS").count() == 0, "it is not accepted"
        acknowledged = [one["id"] for one in draft["concerns"]]
        accepted = {"revision": draft["revision"], "sentences": [], "acknowledge": acknowledged}
        http.post(f"/v1/reports/{ordered}/accept", json=accepted).raise_for_status()
    page = admin.open(f"/app/drafts/{ordered}")
    form = page.get_by_role("form", name="Send to PACS")
    form.get_by_label("To").select_option("main")
    form.get_by_label("PDF").uncheck()
    form.get_by_role("button", name="Send to PACS").click()
    sent = page.get_by_role("region", name="Documents of this draft that were sent").get_by_role("row")
    expect(sent).to_have_count(2)
    expect(sent.last.get_by_text("sent", exact=True)).to_be_visible()
    assert violations(page) == []
    [document] = set(pacs.orthanc.sops()) - before
    with service.http() as http:
        [delivery] = http.get(f"/v1/reports/{ordered}/deliveries").json()["deliveries"]
    assert (delivery["sop_instance_uid"], delivery["format"]) == (document, "sr")
    page = admin.open("/app/pacs?connection=main&tab=documents")
    expect(page.get_by_role("link", name=f"{ordered[:8]}…")).to_have_count(1)


def test_who_may_only_read_sees_states_and_does_nothing(
    browser: Browser, service: LiveService, pacs: Pacs
) -> None:
    with watched(browser, service.url, service.keys["read"]) as one:
        page = one.open("/app/cases")
        assert page.get_by_role("navigation", name="Pages").get_by_role("link", name="PACS").count() == 0
        page = one.open("/app/pacs?tab=find&connection=main")
        card = page.get_by_role("region", name="main")
        expect(card.get_by_text("Last seen")).to_be_visible()
        assert card.get_by_role("button").count() == 0
        assert page.get_by_text("How it is reached").count() == 0
        assert page.get_by_role("tab", name="Find and bring in").count() == 0
        one.assert_clean()


def test_files_that_are_gone_are_fetched_from_the_case(
    admin: Watched, service: LiveService, pacs: Pacs
) -> None:
    study = list(pacs.patients)[1]
    with service.http() as http, service.client() as client:
        for path in ("pull", "release"):
            order = http.post(f"/v1/pacs/main/{path}", json={"study_instance_uids": [study]}).json()
            client.wait(client.job(order["id"]))
    page = admin.open(f"/app/cases/{study}")
    gone = page.get_by_role("region", name="Files")
    expect(gone).to_contain_text("The PACS main can give them again.")
    expect(page.get_by_role("img", name="Slice 1 of 1, as a small picture")).to_have_count(1)
    assert not any("/preview" in url or "/dicom-web" in url for url in admin.requests)
    assert violations(page) == []
    gone.get_by_role("button", name="Fetch from PACS").click()
    expect(gone).to_have_count(0)
    admin.settle()
    assert any("/dicom-web" in url for url in admin.requests)
    with service.http() as http:
        assert http.get(f"/v1/studies/{study}").json()["files"] == "here"
