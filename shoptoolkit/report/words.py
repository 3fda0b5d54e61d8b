"""What a notebook says of an answer: its number with its interval, or why there is none.

- `in_words`: a row of estimates in words, for titles and sentences.
- `part`: the answer of a part of a notebook, or a remark in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from shoptoolkit.report.pieces import Piece, callout

__all__ = ["in_words", "part"]

T = TypeVar("T")


def in_words(row: Mapping[str, Any], *, scale: float = 1.0, digits: int | None = None, unit: str = "") -> str:
    """Say an estimate with its interval: "52.1 % (36.3 to 69.3)".

    Parameters
    ----------
    row
        A row of estimates: estimate, low, high, verdict.
    scale
        What the numbers are multiplied by, such as 100 for a share told in %.
    digits
        Decimals; None: about three figures of the largest number.
    unit
        Stands after the estimate.

    Returns
    -------
    str
        "refused" or "any number" where there is no interval.

    Examples
    --------
    >>> in_words({"estimate": 0.521, "low": 0.363, "high": 0.693, "verdict": "ok"}, scale=100, unit="%")
    '52.1 % (36.3 to 69.3)'
    """
    ends = [row[end] for end in ("estimate", "low", "high")]
    if None in ends:
        return "refused" if row["verdict"] == "refused" else "any number"
    ends = [scale * end for end in ends]
    digits = _digits(max(map(abs, ends))) if digits is None else digits
    estimate, low, high = (f"{end:,.{digits}f}" for end in (round(end, digits) + 0.0 for end in ends))
    return f"{' '.join(filter(None, (estimate, unit)))} ({low} to {high})".replace("-", "\u2212")


def _digits(most: float) -> int:
    if most >= 0.1 or most == 0:
        return 0 if most >= 100 else 1 if most >= 10 else 2
    return min(9, 1 - math.floor(math.log10(most)))


def part(
    answer: Callable[[], T],
    *needs: str,
    held: Collection[str] = (),
    refused: str | None = None,
    title: str = "This log cannot tell",
) -> tuple[T, None] | tuple[None, Piece]:
    """What a part of a notebook finds; or nothing, and a remark why.

    Parameters
    ----------
    answer
        Finds it; may raise ValueError (ContractError is one) or OSError, whose words become the remark.
    needs
        What it takes, each in words: "column exposed of outcomes".
    held
        What there is, in the same words.
    refused
        Why nothing may be said at all; None: something may.
    title
        Of the remark, where `answer` refuses.

    Returns
    -------
    tuple
        (what was found, None), or (None, a callout to show).
    """
    if refused is not None:
        return None, callout("No number here: the arms cannot be compared", refused, kind="trap")
    if missing := [need for need in needs if need not in held]:
        return None, callout("This part needs more", f"There is no {', and no '.join(missing)}.")
    try:
        return answer(), None
    except (ValueError, OSError) as refusal:
        return None, callout(title, str(refusal))
