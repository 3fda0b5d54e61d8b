"""Which features say the same thing: all windows of one count are one signal.

In: names of features. Out: `signals_of` -> feature -> signal; `owners` -> the same, as a caller says; `members` ->
signal -> its features.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from shoptoolkit.contract.check import listed

_WINDOW = re.compile(r"_\d+d$")  # what `features.as_of_features` puts behind a name


def signals_of(features: Iterable[str], signals: Mapping[str, str] | None = None) -> dict[str, str]:
    """Which signal each feature belongs to: its name without the window, or as `signals` says.

    Examples
    --------
    >>> signals_of(["spend_28d", "spend_91d", "days_since_view"])
    {'spend_28d': 'spend', 'spend_91d': 'spend', 'days_since_view': 'days_since_view'}
    """
    own = signals or {}
    told = owners(listed(features, name="features"), own)
    return {name: signal if name in own else _WINDOW.sub("", name) for name, signal in told.items()}


def owners(features: Iterable[str], signals: Mapping[str, str], *, name: str = "signals") -> dict[str, str]:
    """The signal (or label) of each feature, as the caller says; one that is not named stays by itself."""
    what = name.removesuffix("s")
    if not isinstance(signals, Mapping):
        raise TypeError(
            f"{name} is a {type(signals).__name__}; it must map feature -> {what}, as `Dictionary.{name}` does."
        )
    if wrong := {feature: one for feature, one in signals.items() if not isinstance(one, str)}:
        raise TypeError(f"{name} has {wrong!r}; a {what} must be text.")
    return {feature: signals.get(feature, feature) for feature in features}


def members(signals: Mapping[str, str]) -> dict[str, list[str]]:
    """The features of each signal, in their order."""
    told: dict[str, list[str]] = {}
    for feature, signal in signals.items():
        told.setdefault(signal, []).append(feature)
    return told
