"""Why a model says what it says: SHAP values as long tables, and whether they hold. About the model, not the cause."""

from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.importances import Importances, Judged, importances
from shoptoolkit.explain.signals import signals_of
from shoptoolkit.explain.stability import Stability, stability
from shoptoolkit.explain.uplift import explain_uplift
from shoptoolkit.explain.values import Explainable, shap_values

__all__ = [
    "Explainable",
    "Explanation",
    "Importances",
    "Judged",
    "Stability",
    "explain_uplift",
    "importances",
    "shap_values",
    "signals_of",
    "stability",
]
