"""Why a model says what it says: SHAP values as long tables, and whether they hold. About the model, not the cause."""

from shoptoolkit.explain.dictionary import Dictionary, dictionary
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.reasons import Reasons, reasons
from shoptoolkit.explain.signals import signals_of
from shoptoolkit.explain.stability import Stability, stability
from shoptoolkit.explain.survival import explain_survival
from shoptoolkit.explain.uplift import explain_uplift
from shoptoolkit.explain.values import Explainable, shap_values

__all__ = [
    "Dictionary",
    "Reasons",
    "dictionary",
    "reasons",
    "Explainable",
    "Explanation",
    "Stability",
    "explain_survival",
    "explain_uplift",
    "shap_values",
    "signals_of",
    "stability",
]
