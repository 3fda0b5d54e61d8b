"""What parameters of a world may be: `share`, `amount`, `count` declare a field, `check_limits` holds it to it."""

from __future__ import annotations

import math
from dataclasses import field, fields
from numbers import Integral, Real
from typing import Any

Limits = tuple[float, float, bool]  # least, most, whether the least itself is allowed


def share(default: float) -> Any:
    """A field between 0 and 1."""
    return field(default=default, metadata={"limits": (0, 1, True), "words": "a share, from 0 to 1"})


def amount(default: float, *, zero: bool = True) -> Any:
    """A field from 0 on (or above 0)."""
    words = "0 or more" if zero else "above 0"
    return field(default=default, metadata={"limits": (0, math.inf, zero), "words": f"{words}, and finite"})


def count(default: int, *, least: int = 1, most: float = math.inf) -> Any:
    """A whole number."""
    words = f"whole, {least} or more" if most == math.inf else f"whole, from {least} to {most}"
    return field(default=default, metadata={"limits": (least, most, True), "words": words, "whole": True})


def check_limits(world: Any) -> None:
    """Hold each declared field of a dataclass to its limits."""
    for one in fields(world):
        if one.metadata:
            _check_limit(one.name, getattr(world, one.name), **one.metadata)


def check_whole(**values: Any) -> None:
    """Hold arguments to being whole numbers from 1 on."""
    for name, value in values.items():
        _check_limit(name, value, **count(1).metadata)


def _check_limit(name: str, value: Any, *, limits: Limits, words: str, whole: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        raise TypeError(f"{name} is {value!r}; it must be a {'whole ' if whole else ''}number: {words}.")
    least, most, included = limits
    number = float(value)
    if not (least <= number <= most and math.isfinite(number)) or (number == least and not included):
        raise ValueError(f"{name} is {value}; it must be {words}.")
