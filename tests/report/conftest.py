"""The tests of this room share `tiny_notebooks.py`, beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
