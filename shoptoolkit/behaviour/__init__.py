"""Why people buy: the probability that they do, from what was known before; and what comes without ads."""

from shoptoolkit.behaviour.organic import organic_share
from shoptoolkit.behaviour.propensity import PropensityFit, fit_propensity, load_propensity

__all__ = ["PropensityFit", "fit_propensity", "load_propensity", "organic_share"]
