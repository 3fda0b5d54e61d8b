"""What cells print: progress bars and paths of the machine are no part of a report."""

import subprocess
import sys

import pytest

from shoptoolkit.report.messages import tidy_stream

WARNED = '/home/ann/shop/stats.py:12: UserWarning: few rows\n  warnings.warn("few rows")\n'


def test_a_warning_is_told_without_the_paths_of_the_machine():
    assert tidy_stream(WARNED) == "UserWarning: few rows\n"
    windows = r"C:\Users\ann\x.py:3: FutureWarning: soon: gone" + "\n  x()\nrest"
    assert tidy_stream(windows) == "FutureWarning: soon: gone\nrest"


def test_a_warning_of_many_is_told_once():
    assert tidy_stream(WARNED * 3 + "done\n") == "UserWarning: few rows (3 times)\ndone\n"


def test_a_real_warning_of_python_is_understood():
    code = "import warnings\nfor n in range(2): warnings.warn('two\\nlines', stacklevel=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "UserWarning: two" in tidy_stream(done.stderr)
    assert "<string>" not in tidy_stream(done.stderr)


@pytest.mark.parametrize(
    "bar",
    [
        "  0%|          | 0/3 [00:00<?, ?it/s]\r 33%|###       | 1/3\r100%|##########| 3/3 [00:00<00:00, 9.1it/s]\n",
        "shops: 17it [00:02,  8.10it/s]\n",
        "fit: 3 rows [00:02, 1 rows/s]\n",
        "Working ━━━━━━━━━━╸━━━━ 60% 0:00:01\n",
    ],
)
def test_a_progress_bar_leaves_nothing(bar):
    assert tidy_stream(bar).strip() == ""


def test_a_real_bar_of_tqdm_leaves_nothing():
    code = "from tqdm import tqdm\nfor n in tqdm(range(3), desc='shops'): pass\nfor n in tqdm(iter('abc')): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "it/s" in done.stderr
    assert tidy_stream(done.stderr).strip() == ""


@pytest.mark.parametrize("line", ["50% of shops | 3", "a [00:01] b", "10% | 20%", "see x.py:12: no", "100% done"])
def test_ordinary_lines_stay(line):
    assert tidy_stream(f"\x1b[31m10%\r{line}\x1b[0m\r\n") == f"{line}\n"
