"""`python -m shoptoolkit.datasets` (`make data`): every public set into the data folder, its content checked.

In: nothing. Out: one line per set, what to put where for those that could not be had; then the exit status is 1.
"""

from __future__ import annotations

import sys

from shoptoolkit.datasets import DownloadError, fetch, tidy
from shoptoolkit.datasets.registry import SETS, find


def main() -> int:
    """Fetch what is missing, check all of it; the number of the exit status."""
    failed = 0
    for name in SETS:
        try:
            path = find(name) or fetch(name)
            tidy(name, path)
            print(f"{name}: ok, {SETS[name].rows:,} rows, {path}", flush=True)
        except (DownloadError, ValueError) as error:
            failed += 1
            print(f"{name}: FAILED. {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
