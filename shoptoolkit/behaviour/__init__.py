"""Why people buy: what comes without ads, how likely a purchase is from what was known, what is looked at next."""

from shoptoolkit.behaviour.intent import IntentFit, fit_intent, load_intent
from shoptoolkit.behaviour.next_item import NextItemFit, fit_next_item
from shoptoolkit.behaviour.organic import organic_share
from shoptoolkit.behaviour.prefixes import session_features, session_prefixes
from shoptoolkit.behaviour.propensity import PropensityFit, fit_propensity, load_propensity

__all__ = [
    "organic_share",
    "fit_propensity",
    "PropensityFit",
    "load_propensity",
    "session_features",
    "session_prefixes",
    "fit_intent",
    "IntentFit",
    "load_intent",
    "fit_next_item",
    "NextItemFit",
]
