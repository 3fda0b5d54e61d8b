"""Events -> orders, sessions, paths and habits, and what was known of a customer at a moment; a search for leaks."""

from shoptoolkit.features.affinity import Affinity, affinity
from shoptoolkit.features.as_of import FeatureSpec, as_of_features
from shoptoolkit.features.funnel import Funnel, funnel
from shoptoolkit.features.leaks import LeakSearch, search_leaks
from shoptoolkit.features.lifecycle import Lifecycle, lifecycle
from shoptoolkit.features.orders import orders, rfm
from shoptoolkit.features.paths import Transitions, transitions
from shoptoolkit.features.rhythm import Rhythm, rhythm
from shoptoolkit.features.sequences import sequences
from shoptoolkit.features.sessions import sessions, summarise_sessions

__all__ = [
    "orders",
    "rfm",
    "sessions",
    "summarise_sessions",
    "funnel",
    "Funnel",
    "transitions",
    "Transitions",
    "rhythm",
    "Rhythm",
    "lifecycle",
    "Lifecycle",
    "affinity",
    "Affinity",
    "as_of_features",
    "FeatureSpec",
    "sequences",
    "search_leaks",
    "LeakSearch",
]
