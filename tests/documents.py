"""The README and the pages of docs/ as values: their blocks, and the scripts that tests run of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.repository import ROOT

Kind = Literal["sh", "python", "toml", "csv"]
PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))

_MARK = "<!-- not run by tests: "
_BLOCK = re.compile(
    rf"^(?:{_MARK}(?P<reason>[^\n]+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_EXPORT = re.compile(r"^export(?: [A-Z_]+=[^\s$]+)+$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. `not_run` is the reason why no test runs it, from the comment before it."""

    page: str
    kind: str
    text: str
    not_run: str | None


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order. Every fence and every comment about one belongs to a block."""
    content = (ROOT / page).read_text(encoding="utf-8")
    found = [Block(page, one["kind"], one["text"], one["reason"]) for one in _BLOCK.finditer(content)]
    assert content.count("```") == 2 * len(found), f"{page}: a fence does not follow the pattern"
    marked = sum(one.not_run is not None for one in found)
    assert content.count(_MARK) == marked, f"{page}: a comment stands before no block"
    return found


def script(pages: Iterable[str], inputs: Mapping[str, str], port: int) -> str:
    """A bash script of all blocks that are run, as they stand.

    `inputs` are the values that a reader puts in: they replace those of lines such as `export STUDY=1.2.3`.
    Port 8000 becomes `port`.
    """
    lines = ["set -eu", "trap 'jobs -p | xargs -r kill; wait' EXIT"]
    for block in (one for page in pages for one in blocks(page) if one.not_run is None):
        if block.kind == "sh":
            lines += [_with_inputs(line, inputs) for line in block.text.splitlines()]
        elif block.kind == "python":
            lines += ["python - <<'PYTHON'", block.text.rstrip(), "PYTHON"]
    return (
        "\n".join(lines)
        .replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        .replace("--port 8000", f"--port {port}")
    )


def commands(block: Block) -> list[str]:
    """The lines of a shell block, without comments."""
    lines = (re.sub(r"(^|\s+)#.*", "", line) for line in block.text.splitlines())
    return [line for line in lines if line]


def _with_inputs(line: str, inputs: Mapping[str, str]) -> str:
    names = re.findall(r" ([A-Z_]+)=", line) if _EXPORT.match(line) else []
    if not names or not set(names) <= set(inputs):
        return line
    return "export " + " ".join(f"{name}='{inputs[name]}'" for name in names)
