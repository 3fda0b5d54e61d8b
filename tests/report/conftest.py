"""The tests of this room share `tiny_notebooks.py`, beside them, and the network check of `.ci/check_reports.py`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / ".ci")]
