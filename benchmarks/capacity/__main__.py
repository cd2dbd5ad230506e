"""`python -m benchmarks.capacity`: write docs/capacity.md anew."""

from pathlib import Path

from benchmarks.capacity.page import capacity_page
from benchmarks.results_file import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"


def main() -> None:
    PAGE.write_text(capacity_page(RESULTS), encoding="utf-8")
    print(f"written: {PAGE.name}")


if __name__ == "__main__":
    main()
