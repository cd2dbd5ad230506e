"""What is known about the machine, and the file that keeps its figures."""

import json
import os
import platform
import re
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome

RESULTS = Path(__file__).parent / "results"
_FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_LIBRARIES = ("numpy", "pillow", "pydicom", "torch", "faiss-gpu", "pyarrow")


def machine_facts() -> dict[str, Any]:
    """Processor, cores, memory and versions; nothing that names the machine or its owner."""
    return {
        "processor": _processor(),
        "features": features(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def features() -> list[str]:
    """Those of the processor's instructions that decide how fast matrices are multiplied, where known."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8").split("\nflags", 1)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return []
    return [name for name in _FEATURES if name in flags]


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(features())


def save(outcomes: dict[str, Outcome], facts: dict[str, Any]) -> Path:
    """Put the outcomes into the machine's file, beside the ratios that were not measured this time."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{facts['processor']} {facts['cores']} cores".lower()).strip("-")
    path = RESULTS / f"{slug}.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    ratios = content.get("ratios", {})
    ratios.update({name: _described(outcome) for name, outcome in outcomes.items()})
    content = {
        "machine": facts,
        "ratios": dict(sorted(ratios.items(), key=lambda item: _order(item[0]))),
    }
    RESULTS.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def _order(key: str) -> tuple[str, int, str]:
    """A2 before A20, and A20 before A20R, a second ratio of the same matter."""
    letter, number, rest = re.fullmatch(r"(\D)(\d+)(.*)", key).groups()  # type: ignore[union-attr]
    return letter, int(number), rest


def _described(outcome: Outcome) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "title": outcome.title,
        "goal": outcome.goal,
        "ratio": outcome.ratio,
        "spread": outcome.spread,
        "guard": outcome.guard,
        "guard_failure": outcome.failure,
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    if outcome.failure is None:
        entry |= {
            "items": outcome.items,
            "rounds": len(outcome.ours),
            f"ours_{outcome.unit}": statistics.median(outcome.ours),
            f"peer_{outcome.unit}": statistics.median(outcome.peer),
        }
    return {key: _rounded(value) for key, value in entry.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return re.sub(r"\((R|TM)\)", "", line.split(":", 1)[1]).strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _version(name: str) -> str | None:
    try:
        return version(name)
    except Exception:
        return None
