"""What cells print, as a reader may see it: streams of a run come in, their last words go out.

- `tidy_stream`: progress bars are gone, warnings are told once, without the paths of the machine that ran.
"""

from __future__ import annotations

import re

from shoptoolkit.report.outcome import ANSI

__all__ = ["tidy_stream"]

# tqdm: "shops: 40%|####      | 4/10 [00:01<00:02, 3.1it/s]" or "17it [00:02, 8.1it/s]"; rich draws a heavy line
BAR = re.compile(r"^.*(\d+%\|[^|]*\||\b\d[\d.,kMG]*\s?(it|\w+) \[\d+:\d\d|[━╸╺]{5,}).*$")
# "/home/me/shop.py:12: UserWarning: few rows", and below it the line of code, indented
WARNING = re.compile(r"^.*?:\d+: (\w*Warning): (.*)$")


def tidy_stream(text: str) -> str:
    """The text as a terminal would show it in the end.

    Parameters
    ----------
    text
        Standard output or error of one cell.

    Returns
    -------
    str
        Without colours, overwritten lines and progress bars; each warning once, as "UserWarning: few rows (3 times)".
    """
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in ANSI.sub("", text).split("\n")]
    kept, counts, after_warning = [], dict[str, int](), False
    for line in (line for line in lines if not BAR.match(line)):
        found = WARNING.match(line)
        if after_warning and line.startswith("  "):
            after_warning = False
            continue
        after_warning = found is not None
        said = f"{found[1]}: {found[2]}" if found else line
        if found:
            counts[said] = counts.get(said, 0) + 1
        if not found or counts[said] == 1:
            kept.append(said)
    return "\n".join(f"{line} ({counts[line]} times)" if counts.get(line, 0) > 1 else line for line in kept)
