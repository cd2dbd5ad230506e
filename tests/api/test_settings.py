"""Settings: precedence of sources, invalid files, and their documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from medsiglip.api.errors import ServiceError
from medsiglip.api.settings import IndexKindName, Settings, printable_values, read_settings, trace_settings
from medsiglip.index.search.kinds.index_kinds import AUTO, KINDS
from tests.api.conftest import run
from tests.repository import ROOT


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "config"):
        monkeypatch.delenv(f"MEDSIGLIP_{name.upper()}", raising=False)


def test_command_line_environment_file_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "any.toml"
    file.write_text('batch_size = 3\nworkers = 3\ndevice = "cpu"\n')
    monkeypatch.setenv("MEDSIGLIP_CONFIG", str(file))
    monkeypatch.setenv("MEDSIGLIP_BATCH_SIZE", "2")
    monkeypatch.setenv("MEDSIGLIP_WORKERS", "2")
    read = trace_settings(workers=1, home=tmp_path, model=None)
    found = read.settings
    assert (found.workers, found.batch_size, found.device, found.precision) == (1, 2, "cpu", "float32")
    assert read.origins == {
        **dict.fromkeys(Settings.model_fields, "default"),
        "home": "command line",
        "workers": "command line",
        "batch_size": "MEDSIGLIP_BATCH_SIZE",
        "device": str(file),
    }


def test_a_home_may_have_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "medsiglip.toml").write_text("workers = 7\n")
    assert read_settings(home=tmp_path).workers == 7
    other = tmp_path / "other.toml"
    other.write_text("batch_size = 5\n")
    found = read_settings(other, home=tmp_path)
    assert (found.workers, found.batch_size) == (None, 5)


def test_a_file_may_set_the_home_unless_it_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "medsiglip.toml"
    file.write_text(f'home = "{tmp_path}/data"\n')
    assert read_settings(file).home == tmp_path / "data"
    with pytest.raises(ServiceError, match="home") as caught:
        read_settings(home=tmp_path)
    assert caught.value.code == "bad-config"


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("worker = 3", "bad-config", "did you mean workers?"),
        ("batch-size = 3", "bad-config", "did you mean batch_size?"),
        ("zzzzzz = 3", "bad-config", "config show"),
        ("[server]\nport = 3", "bad-config", "server"),
        ("workers = ", "bad-config", "is not TOML"),
        ("workers = 0", "bad-setting", "workers in"),
        ('log_format = "xml"', "bad-setting", "log_format in"),
        ('cors_origins = ["*"]', "bad-setting", "cors_origins in"),
        ('cors_origins = "viewer.example"', "bad-setting", "cors_origins in"),
        ('viewers = "PACS=javascript:alert({study})"', "bad-setting", "viewers in"),
        ('viewers = "PACS=JavaScript:alert({study})"', "bad-setting", "viewers in"),
        ('viewers = "PACS=https://pacs.example/"', "bad-setting", "viewers in"),
        ('viewers = "https://pacs.example/{study}"', "bad-setting", "viewers in"),
        ("receive_port = 65536", "bad-setting", "receive_port in"),
        ('receive_aet = "SEVENTEENLETTERSX"', "bad-setting", "receive_aet in"),
        ("receive_quiet_seconds = 0", "bad-setting", "receive_quiet_seconds in"),
    ],
)
def test_invalid_files(tmp_path: Path, text: str, code: str, expected: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(ServiceError) as caught:
        read_settings(file)
    assert caught.value.code == code
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    failed = run("--config", tmp_path / "absent.toml", "--json", "config", "show")
    assert failed.error["code"] == "bad-config"
    assert "no such file" in failed.error["message"]


def test_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", "/a::/b/c")
    monkeypatch.setenv("MEDSIGLIP_CORS_ORIGINS", "https://one.example/, http://two.example:8000")
    found = read_settings(home=tmp_path)
    assert found.ingest_roots == (Path("/a"), Path("/b/c"))
    assert found.cors_origins == ("https://one.example", "http://two.example:8000")
    monkeypatch.setenv("MEDSIGLIP_RECEIVE_ALLOW", "CT1, PACS@10.1.0.0/16,")
    assert read_settings(home=tmp_path).receive_allow == ("CT1", "PACS@10.1.0.0/16")
    monkeypatch.setenv("MEDSIGLIP_VIEWERS", "A=https://a.example/?uid={study} B=weasis://{study}")
    assert read_settings(home=tmp_path).viewers == ("A=https://a.example/?uid={study}", "B=weasis://{study}")
    monkeypatch.delenv("MEDSIGLIP_INGEST_ROOTS")
    (tmp_path / "medsiglip.toml").write_text('ingest_roots = ["/d", "/e"]\n')
    assert read_settings(home=tmp_path).ingest_roots == (Path("/d"), Path("/e"))


def test_config_show_has_values_and_origins_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", "postgresql+psycopg://me:hush@db/x?sslpassword=hush&a=1")
    shown = run("--home", tmp_path, "--json", "config", "show").json["settings"]
    by_name = {one["name"]: one for one in shown}
    assert list(by_name) == list(Settings.model_fields)
    assert by_name["home"]["value"] == str(tmp_path)
    assert by_name["home"]["origin"] == "command line"
    assert by_name["database_url"]["origin"] == "MEDSIGLIP_DATABASE_URL"
    assert by_name["database_url"]["value"] == "postgresql+psycopg://me:***@db/x?sslpassword=***&a=1"
    person = run("--home", tmp_path, "config", "show").out
    assert "hush" not in person
    assert "rate_limit" in person


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p:q@h:5/d", "postgresql://u:***@h:5/d"),
        ("postgresql://u:p%40x@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("postgresql://u:p/q@r@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?user=u&PASSWORD=p", "postgresql://h/d?user=u&PASSWORD=***"),
    ],
)
def test_passwords_of_urls(url: str, shown: str) -> None:
    assert printable_values(Settings(database_url=url))["database_url"] == shown


def test_the_documentation_has_every_setting_with_its_default() -> None:
    section = (ROOT / "docs/settings.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    assert list(rows) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        default = field.default
        expected = rows[name].strip("`")
        assert expected == ("" if default in (None, ()) else str(default)), name


def test_every_kind_of_index_can_be_chosen() -> None:
    assert set(get_args(IndexKindName)) == {AUTO, *KINDS}
