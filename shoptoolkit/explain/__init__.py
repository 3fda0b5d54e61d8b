"""Why a model says what it says: SHAP values as long tables, and whether they hold. About the model, not the cause."""

from shoptoolkit.explain.dictionary import Dictionary, dictionary
from shoptoolkit.explain.card import Judged, ModelCard, model_card
from shoptoolkit.explain.drift import Drift, drift
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.null import NullImportance, null_importance
from shoptoolkit.explain.importances import Importances, Judged, importances
from shoptoolkit.explain.reasons import Reasons, reasons
from shoptoolkit.explain.interactions import Interactions, interactions
from shoptoolkit.explain.signals import signals_of
from shoptoolkit.explain.stability import Stability, stability
from shoptoolkit.explain.truth import Comparison, compare_with_truth
from shoptoolkit.explain.survival import explain_survival
from shoptoolkit.explain.uplift import explain_uplift
from shoptoolkit.explain.values import Explainable, shap_values

__all__ = [
    "Comparison",
    "Dictionary",
    "Reasons",
    "dictionary",
    "reasons",
    "Explainable",
    "Explanation",
    "NullImportance",
    "Importances",
    "Judged",
    "Interactions",
    "Stability",
    "compare_with_truth",
    "explain_survival",
    "explain_uplift",
    "null_importance",
    "importances",
    "interactions",
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
