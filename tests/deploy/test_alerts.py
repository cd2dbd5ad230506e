"""Alert rules: of metrics that exist, and, where promtool is at hand, that they fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.repository import ROOT

FILE = ROOT / "deploy/alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["groups"][0]["rules"]
OF_PROMETHEUS = {"up"}


def exported() -> set[str]:
    """The names of series, as the code that makes them says."""
    source = (ROOT / "api/http/metrics.py").read_text()
    kinds = re.findall(r"(\w+)\(\s*\"(medsiglip_\w+)\"", source)
    found = set()
    for kind, name in kinds:
        if kind.lower().lstrip("_").startswith("counter"):
            found.add(f"{name}_total")
        elif "istogram" in kind:
            found |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"}
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_each_asks_for_what_is_exported(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\b(medsiglip_\w+|up)\b", re.sub(r"\"[^\"]*\"", "", rule["expr"])))
    assert named
    assert named <= exported() | OF_PROMETHEUS
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".") or "`" in rule["annotations"]["summary"]
    assert re.fullmatch(r"Medsiglip[A-Z]\w+", rule["alert"])


def test_what_the_documentation_says_to_watch_has_an_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text().split("## Monitor")[1].split("\n## ")[0]
    watched = set(re.findall(r"`(medsiglip_\w+)`", page.split("\n\n`medsiglip_build_info`")[0]))
    named = set(re.findall(r"\bmedsiglip_\w+", " ".join(rule["expr"] for rule in RULES)))
    assert watched <= named | {name.removesuffix("_bucket") for name in named}
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)")
def test_they_fire_when_they_should(tmp_path: Path) -> None:
    cases = (Path(__file__).with_name("alert_cases.yml")).read_text()
    file = tmp_path / "cases.yml"
    file.write_text(cases.replace("RULES", str(FILE)).replace("value: ALL", f"value: {len(RULES)}"))
    for words in (["check", "rules", str(FILE)], ["test", "rules", str(file)]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
