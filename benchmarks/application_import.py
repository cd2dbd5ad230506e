"""What a program waits for before the application is there, against the libraries that it stands on."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Outcome, alternate

TITLE = "`import torch, fastapi` ÷ `import medsiglip.api.http.app`, time of a whole process each"
GOAL = 1 / 1.2  # ours at most 1.2 times the peer's
GUARD = "the module makes an application with its routes, and has loaded no library of models or vectors"
HEAVY = ("torch", "open_clip", "timm", "transformers", "faiss", "pyarrow", "matplotlib", "SimpleITK")
ROOT = Path(__file__).parent.parent
_EXAMINE = f"""
import json, sys
import medsiglip.api.http.app
loaded = [name for name in {HEAVY!r} if name in sys.modules]
from medsiglip.api.settings import Settings
print(json.dumps({{"loaded": loaded, "paths":
list(medsiglip.api.http.app.create_app(Settings()).openapi()["paths"])}}))
"""


def measure(folder: Path, rounds: int) -> Outcome:
    found = json.loads(_run(_EXAMINE))
    if found["loaded"] or "/readyz" not in found["paths"]:
        failure = f"loaded {', '.join(found['loaded'])}" if found["loaded"] else "no route /readyz"
        return Outcome(TITLE, GOAL, GUARD, 1, failure=failure)
    ours, peer = alternate(
        lambda: _run("import medsiglip.api.http.app"), lambda: _run("import torch, fastapi"), rounds
    )
    return Outcome(TITLE, GOAL, GUARD, 1, ours, peer)


def _run(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
