"""Why a model says what it says: SHAP values as long tables, and whether they hold. About the model, not the cause."""

from shoptoolkit.explain.card import Judged, ModelCard, model_card
from shoptoolkit.explain.drift import Drift, drift
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.signals import signals_of
from shoptoolkit.explain.stability import Stability, stability
from shoptoolkit.explain.uplift import explain_uplift
from shoptoolkit.explain.values import Explainable, shap_values

__all__ = [
    "Drift",
    "Explainable",
    "Explanation",
    "Judged",
    "ModelCard",
    "Stability",
    "drift",
    "explain_uplift",
    "model_card",
    "shap_values",
    "signals_of",
    "stability",
]
