"""What can be seen to be wrong is said before torch is loaded, which takes seconds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.api.conftest import Home, Phantoms

PROGRAM = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from medsiglip.api.cli.main import main
said = []
for words in json.loads(sys.argv[1]):
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        main(words)
    said.append([json.loads(out.getvalue())["error"]["code"], "torch" in sys.modules])
print(json.dumps(said))
"""


def test_what_is_wrong_is_said_before_the_model_is_loaded(
    home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    file = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    absent = tmp_path / "absent.dcm"
    (tmp_path / "text.dcm").write_text("no DICOM")
    (tmp_path / "pairs").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    shutil.copy(phantoms.labels, tmp_path / "pairs" / "metadata.csv")
    image = ("classify", "--image", file)
    wrong: list[tuple[str, tuple[object, ...]]] = [
        ("empty-text", ("search", "--text", " ?! ")),
        ("bad-filter", ("search", "--text", "lung", "--where", "modality")),
        ("bad-filter", ("search", "--image", absent.with_name("text.dcm"), "--where", "label:unheard=1")),
        ("no-such-path", ("search", "--image", absent)),
        ("not-dicom", ("search", "--image", tmp_path / "text.dcm")),
        ("unknown-study", ("search", "--study", "1.2.3")),
        ("unknown-study", ("classify", "--study", "1.2.3", "--labels", "a,b")),
        ("prompt-set-unknown", (*image, "--prompts", "unheard")),
        ("prompt-set-unknown", (*image, "--prompts", tmp_path / "absent.toml")),
        ("empty-label", (*image, "--labels", "lung,?")),
        ("no-such-path", ("classify", "--image", absent, "--image", absent, "--prompts", "phantoms")),
        ("not-a-file", ("classify", "--image", tmp_path, "--prompts", "phantoms")),
        ("no-map", ("map", "place", "lung")),
        ("one-of", ("map", "place")),
        ("unknown-probe", ("probe", "predict", "unheard", "--image", file)),
        ("bad-filter", ("evaluate", "zero-shot", "--prompts", "phantoms", "--where", "modality>CT")),
        ("unknown-label", ("evaluate", "zero-shot", "--prompts", "phantoms", "--label", "unheard")),
        ("no-labels", ("evaluate", "zero-shot", "--prompts", "phantoms", "--where", "modality=US")),
        ("no-such-path", ("embed", absent, "--out", tmp_path / "x.parquet")),
        ("nothing-to-embed", ("embed", tmp_path / "text.dcm", "--out", tmp_path / "x.parquet")),
        ("not-a-file", ("embed", file, "--out", tmp_path)),
        ("no-such-path", ("render", absent, "--out", tmp_path / "drawn")),
        ("no-such-path", ("ingest", absent)),
        ("column-missing", ("tune", "--data", tmp_path / "pairs", "--out", tmp_path / "new")),
        ("metadata-missing", ("tune", "--data", tmp_path, "--out", tmp_path / "new")),
        ("unknown-pacs", ("pacs", "echo", "unheard")),
        ("unknown-draft", ("pacs", "send", "0f8fad5b", "--to", "unheard")),
        ("unknown-pacs", ("pacs", "release", "unheard")),
        ("unknown-study", ("pacs", "fetch", "1.2.3.4")),
        ("unknown-pacs", ("pacs", "find", "unheard", "--modality", "CT")),
        ("bad-pacs-question", ("pacs", "find", "unheard", "--from-date", "today")),
        ("bad-connection", ("pacs", "add", "new", "--url", "pacs.example")),
        ("folder-not-empty", ("tune", "--data", tmp_path / "pairs", "--out", tmp_path / "full")),
    ]
    asked = [["--home", str(home.path), "--json", *map(str, words)] for _, words in wrong]
    command = [sys.executable, "-c", PROGRAM, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[code, False] for code, _ in wrong]
