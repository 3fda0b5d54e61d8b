"""Moments of customers, the step between lives and rows: a kind, a day, a way in. Shared by loops and frames."""

from __future__ import annotations

import numpy as np

WATCH, VISIT, ORDER, IMPRESSION, CLICK, LATER = range(6)  # LATER: an order whose click came on an earlier day
ORGANIC, SEARCH, PAID, LIVE = range(4)
NO_CAMPAIGN, ALWAYS_ON, EXPERIMENT = range(3)
MOMENT = np.dtype(
    [
        ("customer", "i4"),
        ("day", "i4"),
        ("second", "i4"),
        ("kind", "u1"),
        ("source", "u1"),
        ("campaign", "u1"),
        ("watched", "f4"),
    ]
)
