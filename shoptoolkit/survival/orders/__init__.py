"""Buy till you die: orders and money to come from what customers did, with errors, and whether past forecasts held.

`summaries` (by the loops of `counting`) tells histories, `fit` the models of orders (`histories`: their likelihoods, on
`kernels`; `optimum`: the climb), `spend` the money per order, `value` both, `backtest` the forecasts of the past.
"""

from shoptoolkit.survival.orders.backtest import Backtest, backtest
from shoptoolkit.survival.orders.fit import OrdersFit, fit_orders
from shoptoolkit.survival.orders.spend import SpendFit, fit_spend
from shoptoolkit.survival.orders.summaries import summarise_orders
from shoptoolkit.survival.orders.value import CustomerValue, customer_value

__all__ = [
    "Backtest",
    "CustomerValue",
    "OrdersFit",
    "SpendFit",
    "backtest",
    "customer_value",
    "fit_orders",
    "fit_spend",
    "summarise_orders",
]
