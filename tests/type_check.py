"""`python -m tests.type_check`: mypy over every Python file of the repository, and proof that it saw each.

mypy looks for `medsiglip.index` in the folder `medsiglip`, where it is not: the packages lie side by side and
are put under one name when they are installed. So it is shown a tree of links in which they lie as they are
imported.
"""

from __future__ import annotations

import re
import subprocess
import sys

from tests.import_graph import module_name, source_files
from tests.repository import ROOT

TREE = ROOT / ".mypy_cache" / "tree"
BESIDE = ("tests", "benchmarks")
CHECKED_FOLDERS = (str(TREE / "medsiglip"), *BESIDE)
_CHECKED = re.compile(r"(\d+) source files\)?$", re.MULTILINE)


def link_tree() -> int:
    """Update the tree of links; the number of files in it and in the folders beside the packages."""
    wanted = {}
    for file in source_files():
        parts = module_name(file).split(".")
        wanted[
            TREE.joinpath(*parts, *(["__init__.py"] if file.name == "__init__.py" else [])).with_suffix(".py")
        ] = file
    for link in [path for path in TREE.rglob("*") if path.is_symlink() and path not in wanted]:
        link.unlink()
    for link, file in wanted.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or link.readlink() != ROOT / file:
            link.unlink(missing_ok=True)
            link.symlink_to(ROOT / file)
    return len(wanted) + sum(1 for folder in BESIDE for _ in (ROOT / folder).rglob("*.py"))


def main() -> int:
    """Run mypy; 1 where it finds a fault or does not see a file."""
    expected = link_tree()
    command = [sys.executable, "-m", "mypy", *CHECKED_FOLDERS]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"MYPYPATH": f"{TREE}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    print(done.stdout + done.stderr, end="")
    seen = _CHECKED.search(done.stdout)
    if seen is None or int(seen[1]) != expected:
        print(f"mypy checked {seen[1] if seen else 'an unknown number of'} files of {expected}")
        return done.returncode or 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
