"""A randomised ad experiment among the customers of a simulated shop.

In: `Experiment`, its parameters; customers and their lives without it. Out: `assign` deals the arms, `lifts` says how
much each customer would respond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.simulate.limits import amount, check_limits, check_whole, count, share
from shoptoolkit.simulate.shoppers import Shoppers, Table

_RECENT_DAYS = 60
HORIZON_DAYS = 90  # from the assignment on, over which the truth is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Who is assigned, who sees the ad, and what it does. Every effect is a number with a unit, and can be zero.

    Customers known on `start_day` are assigned at its midnight, at random within strata (source of the first order, and
    whether they ordered in the last 60 days). In the flight a session of watching may win an ad slot; the first that
    does makes a customer eligible, in both arms alike (ghost ads), and in treatment the ad is then shown, or not
    (one-sided non-compliance). What it does begins the day after:

    - new orders, on top of the customer's own, at `lift` times the own rate, for `effect_days`;
    - own orders of those days are `displaced`: they come in through the ad, and nothing is won at once;
    - own orders of the `borrow_days` after those are pulled forward into them, and nothing is won in the end.

    Parameters
    ----------
    start_day
        Day of the log (0 is the first). None: 98 days before the end, so that 90 whole days can be looked at.
    flight_days, treated_share
        Length of the flight; planned share in treatment.
    win_share
        Chance that one session of watching in the flight wins a slot.
    compliance
        Share of the eligible in treatment who are really shown the ad.
    lift, effect_days
        New orders per order to be expected in the `effect_days` after exposure, on average over customers.
    lift_by_sensitivity
        How much of the lift goes with a customer's price sensitivity: lift_i = lift x (1 - w + w x sensitivity / mean).
        0: the same for all.
    win_back
        Of those who have dropped out, the rate to which the lift applies, as a share of their old one.
    displaced
        Share of an exposed customer's own orders in the `effect_days` that come in through the ad.
    pulled_forward, borrow_days
        Share of an exposed customer's own orders in the `borrow_days` after the `effect_days` that are placed early.
    delay_days
        Mean of the (geometric, whole) days from the click of a new order to the order.

    Raises
    ------
    ValueError
        A number is out of its range.
    TypeError
        A parameter is no number.
    """

    start_day: int | None = None
    flight_days: int = count(21)
    treated_share: float = share(0.5)
    win_share: float = share(0.3)
    compliance: float = share(0.85)
    effect_days: int = count(14)
    lift: float = amount(0.5)
    lift_by_sensitivity: float = share(0.6)
    win_back: float = share(0.3)
    displaced: float = share(0.3)
    pulled_forward: float = share(0.2)
    borrow_days: int = count(28)
    delay_days: float = amount(1.5)

    def __post_init__(self) -> None:
        check_limits(self)
        if self.start_day is not None:
            check_whole(start_day=self.start_day)
        if self.treated_share in (0, 1):
            raise ValueError(f"treated_share is {self.treated_share}; both arms need customers, e.g. 0.5.")
        if (works := self.flight_days + self.effect_days + self.borrow_days) > HORIZON_DAYS:
            raise ValueError(
                f"flight_days, effect_days and borrow_days add up to {works}; at most {HORIZON_DAYS}, the days over "
                "which the truth is told, so that what is borrowed is paid back by then."
            )

    def starts(self, days: int) -> int:
        """The day of assignment in a log of so many days."""
        start = days - HORIZON_DAYS - 8 if self.start_day is None else self.start_day
        if not 0 < start <= days - HORIZON_DAYS:
            told = f"{days} - {HORIZON_DAYS + 8}" if self.start_day is None else repr(self.start_day)
            raise ValueError(
                f"start_day is {told} in a log of {days} days; it must be 1 or more, as only known customers are "
                f"assigned, and {HORIZON_DAYS} days before the end. Simulate more days, or pass experiment=None."
            )
        return start


def lifts(experiment: Experiment, shoppers: Shoppers, people: Table) -> Floats:
    """New orders per order expected, for each customer."""
    if not shoppers.price_sensitivity:
        return np.full(len(people), experiment.lift)
    weight = experiment.lift_by_sensitivity
    return experiment.lift * (1 - weight + weight * people["sensitivity"] / shoppers.price_sensitivity)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arms:
    """Which customers are assigned, their stratum (source x recent), arm, and who is `shown` the ad if treated."""

    assigned: npt.NDArray[np.bool_]
    recent: npt.NDArray[np.bool_]
    treated: npt.NDArray[np.bool_]
    shown: npt.NDArray[np.bool_]


def assign(experiment: Experiment, people: Table, last_order: Ints, start_day: int, rng: np.random.Generator) -> Arms:
    """Deal the arms within strata: the planned share of each, and what is left of a whole number by chance.

    `last_order` is each customer's last day with an order before the assignment.
    """
    assigned = people["joined"] < start_day
    recent = assigned & (last_order >= start_day - _RECENT_DAYS)
    treated = np.zeros(len(people), bool)
    for stratum in range(2 * (int(people["source"].max(initial=0)) + 1)):
        members = np.flatnonzero(assigned & (2 * people["source"] + recent == stratum))
        n_treated = int(len(members) * experiment.treated_share + rng.random())
        treated[rng.permutation(members)[:n_treated]] = True
    shown = (people["eligible"] >= 0) & (rng.random(len(people)) < experiment.compliance)
    return Arms(assigned=assigned, recent=recent, treated=treated, shown=shown)
