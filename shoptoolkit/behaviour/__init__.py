"""Why people buy: the probability that they do, from what was known before; and what comes without ads."""

from shoptoolkit.behaviour.organic import organic_share
from shoptoolkit.behaviour.propensity import PropensityFit, fit_propensity, load_propensity

__all__ = ["PropensityFit", "fit_propensity", "load_propensity", "organic_share"]
from shoptoolkit.behaviour.intent import IntentFit, fit_intent, load_intent
from shoptoolkit.behaviour.next_item import NextItemFit, fit_next_item
from shoptoolkit.behaviour.prefixes import session_features, session_prefixes

__all__ = [
    "IntentFit",
    "NextItemFit",
    "PropensityFit",
    "fit_intent",
    "fit_next_item",
    "fit_propensity",
    "load_intent",
    "load_propensity",
    "session_features",
    "session_prefixes",
]
