"""Why a model says what it says: SHAP values as long tables, and whether they hold. About the model, not the cause."""

from shoptoolkit.explain.card import ModelCard, model_card
from shoptoolkit.explain.dictionary import Dictionary, dictionary
from shoptoolkit.explain.drift import Drift, drift
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.importances import Importances, Judged, importances
from shoptoolkit.explain.interactions import Interactions, interactions
from shoptoolkit.explain.null import NullImportance, null_importance
from shoptoolkit.explain.reasons import Reasons, reasons
from shoptoolkit.explain.signals import signals_of
from shoptoolkit.explain.stability import Stability, stability
from shoptoolkit.explain.survival import explain_survival
from shoptoolkit.explain.truth import Comparison, compare_with_truth
from shoptoolkit.explain.uplift import explain_uplift
from shoptoolkit.explain.values import Explainable, shap_values

__all__ = [
    "Comparison",
    "Dictionary",
    "Drift",
    "Explainable",
    "Explanation",
    "Importances",
    "Interactions",
    "Judged",
    "ModelCard",
    "NullImportance",
    "Reasons",
    "Stability",
    "compare_with_truth",
    "dictionary",
    "drift",
    "explain_survival",
    "explain_uplift",
    "importances",
    "interactions",
    "model_card",
    "null_importance",
    "reasons",
    "shap_values",
    "signals_of",
    "stability",
]
