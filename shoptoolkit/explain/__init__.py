"""Why a model says what it says: SHAP values as long tables, and whether they hold. About the model, not the cause."""

from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.interactions import Interactions, interactions
from shoptoolkit.explain.signals import signals_of
from shoptoolkit.explain.stability import Stability, stability
from shoptoolkit.explain.survival import explain_survival
from shoptoolkit.explain.uplift import explain_uplift
from shoptoolkit.explain.values import Explainable, shap_values

__all__ = [
    "Explainable",
    "Explanation",
    "Interactions",
    "Stability",
    "explain_survival",
    "explain_uplift",
    "interactions",
    "shap_values",
    "signals_of",
    "stability",
]
