"""Why people buy: the probability that they do, from what was known before."""

from shoptoolkit.behaviour.fitted import PropensityFit, load_propensity
from shoptoolkit.behaviour.propensity import fit_propensity

__all__ = ["PropensityFit", "fit_propensity", "load_propensity"]
