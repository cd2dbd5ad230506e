"""Other viewers that the screen links a case to: OHIF where the home has it, and those of the setting."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from medsiglip.api.archive.viewers.installed import folder_of
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings

_PACS = "https://pacs.example/view?uid={study}&from=a=b"


def test_info_names_ohif_and_the_viewers_of_the_setting(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", model="tiny", viewers=(f"PACS={_PACS}",))
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/v1/info").json()["viewers"] == [{"name": "PACS", "url": _PACS}]
        folder = folder_of(tmp_path / "home")
        folder.mkdir(parents=True)
        (folder / "viewer.json").write_text('{"name": "ohif", "version": "3.12.10", "files": 1, "bytes": 1}')
        assert [one["name"] for one in client.get("/v1/info").json()["viewers"]] == ["OHIF", "PACS"]
