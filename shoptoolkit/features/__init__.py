"""Events -> orders and what they say of a customer."""

from shoptoolkit.features.orders import orders, rfm

__all__ = ["orders", "rfm"]
