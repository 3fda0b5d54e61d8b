"""Why people buy: the probability that they do, from what was known before."""

from shoptoolkit.behaviour.propensity import PropensityFit, fit_propensity, load_propensity

__all__ = ["PropensityFit", "fit_propensity", "load_propensity"]
