"""Shops whose true behaviour is known, so that an estimate can be laid beside the truth.

`shop` and `write_shop` make one world: customers (`Shoppers`), an ad experiment among them (`Experiment`), their log,
and the `Truth`. The geo panel, media and auctions of the same customers will join as media.py and market.py.
"""

from shoptoolkit.simulate.experiment import Experiment
from shoptoolkit.simulate.shop import Shop, shop, write_shop
from shoptoolkit.simulate.shoppers import Shoppers
from shoptoolkit.simulate.truth import Truth

__all__ = ["Experiment", "Shop", "Shoppers", "Truth", "shop", "write_shop"]
