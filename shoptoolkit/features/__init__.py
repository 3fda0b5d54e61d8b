"""Events -> orders, what they say of a customer, and what was known of a customer at a moment."""

from shoptoolkit.features.as_of import FeatureSpec, as_of_features
from shoptoolkit.features.leaks import LeakSearch, search_leaks
from shoptoolkit.features.orders import orders, rfm
from shoptoolkit.features.sequences import sequences

__all__ = ["orders", "rfm", "as_of_features", "FeatureSpec", "sequences", "search_leaks", "LeakSearch"]
