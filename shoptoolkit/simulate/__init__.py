"""Shops whose true behaviour is known, so that an estimate can be laid beside the truth."""

from shoptoolkit.simulate.shop import Shop, shop

__all__ = ["Shop", "shop"]
