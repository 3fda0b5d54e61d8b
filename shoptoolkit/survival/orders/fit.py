"""Who will order again, and how often? Customers order at a rate of their own until, unseen, they leave.

In: the frame of `summarise_orders`. Out: `fit_orders` -> `OrdersFit`, which tells who is still a customer, how many
orders to expect, and draws what may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract import to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, check_span, choose, days_asked, listed
from shoptoolkit.contract.estimates import delta_error, z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.orders.histories import MODELS, Histories, Model, parameters, read_histories, slopes
from shoptoolkit.survival.orders.optimum import climb, parameter_table
from shoptoolkit.survival.orders.summaries import HISTORY

_X, _LATE, _AGE = HISTORY
_FEW = 8_000  # histories enough to find the best start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrdersFit:
    """A buy-till-you-die model. Draw its forecasts with `figures.orders_forecast` and `figures.p_alive`.

    `table`: parameter, estimate, standard_error, low, high, reason (why a parameter is not identified: then it has no
    interval; forecasts may still be good). `log_likelihood` is in the unit of the ages, summed over `n` customers.
    `at` and `covariance` are of the logs of the four parameters, then of the coefficients of covariates.
    """

    table: pl.DataFrame
    model: str
    log_likelihood: float
    n: int
    level: float
    unit_days: float
    covariates_rate: tuple[str, ...]
    covariates_dropout: tuple[str, ...]
    at: Floats
    covariance: Floats

    def __repr__(self) -> str:
        told = ", ".join(f"{row['parameter']} {row['estimate']:.4g}" for row in self.table.to_dicts())
        return f"{self.model} of {self.n:,} customers: {told}; log-likelihood {self.log_likelihood:,.2f}"

    def _repr_html_(self) -> str:
        note = f"log-likelihood {self.log_likelihood:,.2f}, n = {self.n:,}, unit {self.unit_days:g} days"
        return html_table(self.table, title=f"Orders: {self.model}", note=f"{note}; {100 * self.level:g} % intervals")

    def p_alive(self, frame: Any) -> pl.DataFrame:
        """How likely is each of these still a customer, on the last day seen?

        Parameters
        ----------
        frame
            As from `summarise_orders`, in the unit of the fit, with the covariates of the fit.

        Returns
        -------
        pl.DataFrame
            customer_id (if there), repeat_orders, last_order_age, age, p_alive, p_alive_low, p_alive_high, reason.
            The interval covers the error of the parameters (delta method, on the logit). `reason` is told where p_alive
            = 1 is an artefact: in the BG/NBD nobody leaves before a repeat order (the MBG/NBD mends it).
        """
        table, rows, place = self._rows(frame)
        logit, reach = self._with_reach(lambda theta: _logit(self._alive(theta, rows)), rows)
        bounds = [1 / (1 + np.exp(-np.clip(one, -700, 700))) for one in (logit, logit - reach, logit + reach)]
        names = ("p_alive", "p_alive_low", "p_alive_high")
        is_artefact = (pl.col(_X) == 0) & pl.lit(self.model == "bg_nbd")
        why = pl.when(is_artefact).then(pl.lit("no repeat order: the model lets nobody leave before one"))
        return table.with_columns(
            *(pl.Series(name, one[place]) for name, one in zip(names, bounds, strict=True)), reason=why
        )

    def expected_orders(self, frame: Any, *, horizon_days: float, discount_rate: float = 0.0) -> pl.DataFrame:
        """How many orders (days with an order) will each of these place within the horizon, on average?

        Parameters
        ----------
        frame
            As in `p_alive`.
        horizon_days
            Days after the last day seen; for the BG/BB a whole number of opportunities.
        discount_rate
            Per year: an order a year away counts 1 / (1 + discount_rate).

        Returns
        -------
        pl.DataFrame
            customer_id (if there), repeat_orders, last_order_age, age, expected_orders, expected_orders_low,
            expected_orders_high. The interval covers the error of the parameters (delta method, on the log), not the
            chance in one customer's own orders: for that see `draw_orders`.
        """
        table, rows, place = self._rows(frame)
        orders = self._orders(rows, self._horizon(horizon_days), self._discount(discount_rate))
        logs, reach = self._with_reach(lambda theta: np.log(orders(theta)), rows)
        names = ("expected_orders", "expected_orders_low", "expected_orders_high")
        values = zip(names, (logs, logs - reach, logs + reach), strict=True)
        return table.with_columns(pl.Series(name, np.exp(np.minimum(one, 700))[place]) for name, one in values)

    def draw_orders(
        self, frame: Any, *, horizon_days: float, draws: int, rng: int | np.random.Generator
    ) -> pl.DataFrame:
        """What may happen: numbers of orders within the horizon, drawn for each customer given the own history.

        `frame` and `horizon_days` as in `expected_orders`. Each of the `draws` worlds has parameters of its own (normal
        on the logs, so their error is in), and in it each customer a hidden rate and a time of leaving. So sums over
        customers of one draw are draws of the total.

        Returns
        -------
        pl.DataFrame
            customer_id (if there), repeat_orders, last_order_age, age, orders (an array of `draws` numbers;
            `["orders"].to_numpy()` has one row per customer).
        """
        rng = np.random.default_rng(rng)
        table, counts, _ = self.live(frame, self.draw_parameters(draws, rng), horizon_days, rng)
        return table.with_columns(pl.Series("orders", np.ascontiguousarray(counts.T)))

    def draw_parameters(self, draws: int, rng: np.random.Generator) -> Floats:
        """Parameters as `at` has them, one row each, normal around it."""
        check_number("draws", draws, least=1, whole=True)
        return rng.multivariate_normal(self.at, self.covariance, size=draws, method="eigh")

    def live(
        self,
        frame: Any,
        worlds: Floats,
        horizon_days: float,
        rng: np.random.Generator,
        *,
        discount_rate: float = 0.0,
        spend: Floats | None = None,
        mean: Floats | None = None,
    ) -> tuple[pl.DataFrame, npt.NDArray[np.int32], Floats]:
        """What is told of each row, its orders in each world and their discounted value (a row per world).

        `worlds` has the parameters of a world in each row, and `spend` those of its Gamma-Gamma model (p, q, gamma),
        with the `mean` value of each customer's repeat orders; without them orders have no value.
        """
        from shoptoolkit.survival.orders.kernels import draw

        table, rows, place = self._rows(frame)
        horizon, discount, model = self._horizon(horizon_days), self._discount(discount_rate), MODELS[self.model].place
        x, age, money = rows.x[place], rows.age[place], np.empty(0) if mean is None else mean
        of_spend = np.empty((len(worlds), 0)) if spend is None else spend
        counts, values = np.empty((len(worlds), len(x)), np.int32), np.zeros((len(worlds), len(money)))
        for k, at in enumerate(worlds):
            theta = self._theta(rows, at)
            alive, mine = self._alive(theta, rows)[place], theta[place] if len(theta) > 1 else theta
            draw(model, mine, alive, x, age, horizon, discount, of_spend[k], money, rng, counts[k], values[k])
        return table, counts, values

    def mean_orders(self, frame: Any, horizon_days: float) -> tuple[pl.DataFrame, Floats]:
        """What is told of each row, and its expected orders, without intervals and in a tenth of the time."""
        table, rows, place = self._rows(frame)
        return table, self._orders(rows, self._horizon(horizon_days))(self._theta(rows))[place]

    def total(self, frame: Any, each: Floats, horizon_days: float, discount_rate: float) -> tuple[Floats, Floats]:
        """Expected orders of each row, and the slopes in `at` of their sum, an order of a row counted as `each`."""
        _, rows, place = self._rows(frame)
        orders = self._orders(rows, self._horizon(horizon_days), self._discount(discount_rate))
        value, slopes = self._with_slopes(orders, rows)
        return value[place], slopes @ np.bincount(place, weights=each, minlength=len(value))

    def expected_new(self, days: float | Sequence[float]) -> pl.DataFrame:
        """How many repeat orders does a new customer place, on average, by each of these days after the first order?

        Covariates, if any, are taken as 0. Columns: duration_days, expected_orders, expected_orders_low and
        expected_orders_high.
        """
        wanted = days_asked(days, positive=True)
        covariates = dict.fromkeys((*self.covariates_rate, *self.covariates_dropout), 0.0)
        frame = pl.DataFrame({_X: [0], _LATE: [0.0], _AGE: [0.0], **covariates})
        parts = [self.expected_orders(frame, horizon_days=day).drop(*HISTORY) for day in wanted]
        return pl.concat(parts).select(pl.Series("duration_days", wanted), pl.all())

    def _discount(self, rate: float) -> float:
        """Continuous discount per unit of time, of a rate per year."""
        if not isinstance(rate, Real) or not 0 <= rate < np.inf:
            raise ValueError(f"discount_rate is {rate!r}; it must be a rate per year >= 0, e.g. 0.1 for 10 %.")
        return float(np.log1p(rate) * self.unit_days / 365.25)

    def _horizon(self, days: float) -> float:
        check_span("horizon_days", days)
        horizon = days / self.unit_days
        if self.model == "bg_bb" and (abs(horizon - round(horizon)) > 1e-9 * horizon or horizon < 1):
            raise ValueError(
                f"horizon_days is {days}; bg_bb forecasts whole opportunities: a multiple of {self.unit_days:g} days."
            )
        return horizon

    def _rows(self, frame: Any) -> tuple[pl.DataFrame, Histories, npt.NDArray[np.int64]]:
        """What is told of each row, the different histories, and which of them a row has."""
        table = to_polars(frame)
        rows = read_histories(table, self.model, (self.covariates_rate, self.covariates_dropout), None, self.unit_days)
        kept = [name for name in ("customer_id", *HISTORY) if name in table.columns]
        return table.select(kept), rows, rows.places()

    def _theta(self, rows: Histories, at: Floats | None = None) -> Floats:
        return parameters(self.at if at is None else at, MODELS[self.model], rows.designs)

    def _alive(self, theta: Floats, rows: Histories) -> Floats:
        from shoptoolkit.survival.orders.kernels import likelihood

        return likelihood(MODELS[self.model].place, theta, rows.x, rows.late, rows.age)[1]

    def _orders(self, rows: Histories, horizon: float, discount: float = 0.0) -> Callable[[Floats], Floats]:
        """Expected orders per history, as a function of the parameters."""
        from shoptoolkit.survival.orders.kernels import orders_if_alive

        x, age, back = rows.x, rows.age, np.arange(len(rows.x))
        if not (self.covariates_rate or self.covariates_dropout):  # the same for many
            pairs, back = np.unique(x + 1j * age, return_inverse=True)
            x, age = pairs.real.astype(np.int64), pairs.imag.copy()

        def of(theta: Floats) -> Floats:
            ahead = orders_if_alive(MODELS[self.model].place, theta, x, age, horizon, discount)
            return np.maximum(self._alive(theta, rows) * ahead[back], 1e-300)

        return of

    def _with_slopes(self, of: Callable[[Floats], Floats], rows: Histories) -> tuple[Floats, Floats]:
        """A function of the parameters, one value per history, and its slopes in `at`, one row each."""
        by = 1e-4 * np.eye(len(self.at))
        slopes = [(of(self._theta(rows, self.at + h)) - of(self._theta(rows, self.at - h))) / 2e-4 for h in by]
        return of(self._theta(rows)), np.array(slopes)

    def _with_reach(self, of: Callable[[Floats], Floats], rows: Histories) -> tuple[Floats, Floats]:
        """The function, and how far its interval reaches either way (delta method)."""
        value, slopes = self._with_slopes(of, rows)
        return value, z_of(self.level) * delta_error(slopes.T, self.covariance)


def fit_orders(
    summary: Any,
    *,
    model: str = "bg_nbd",
    covariates_rate: Sequence[str] = (),
    covariates_dropout: Sequence[str] = (),
    weight: str = "weight",
    level: float = 0.95,
    unit_days: float = 1.0,
    starts: Sequence[Mapping[str, float]] = (),
) -> OrdersFit:
    """How do customers order, and how do they leave? Fits a buy-till-you-die model.

    Parameters
    ----------
    summary
        As from `summarise_orders`: repeat_orders (x; lifetimes' frequency), last_order_age (t_x; its recency), age (T),
        and, for counts, `weight`.
    model
        "bg_nbd": leaves after an order, with a chance of the customer's own. "mbg_nbd": may also leave right after the
        first. "pareto_nbd": leaves at any time. "bg_bb": orders at most once at each of `age` opportunities.
    covariates_rate, covariates_dropout
        Numeric columns, fixed in time. A unit more multiplies a customer's order rate (BG/BB: the mean odds of
        ordering) by exp(coefficient), and the mean odds of leaving (Pareto/NBD: the rate) by exp(coefficient):
        alpha_i = alpha exp(-b'z); a_i = a exp(c'z), beta_i = beta exp(-c'z).
    weight
        Column with the number of customers of a row.
    level
        Coverage of the intervals, here and in forecasts.
    unit_days
        Length of the unit of last_order_age and age, in days. Horizons are asked for in days.
    starts
        Further starting values, by name of the parameter.

    Returns
    -------
    OrdersFit

    Raises
    ------
    ContractError
        Columns are missing or hold values that no history can have.
    ValueError
        An argument cannot be used, nobody ordered again, a covariate tells nothing, or no optimum was found.

    References
    ----------
    Fader, Hardie and Lee (2005), Marketing Science 24, 275-284. Batislam, Denizel and Filiztekin (2007), IJRM 24.
    Schmittlein, Morrison and Colombo (1987), Management Science 33, 1-24. Fader, Hardie and Shang (2010), Marketing
    Science 29, 1086-1108. Covariates: Fader and Hardie (2007), brucehardie.com/notes/019.

    Examples
    --------
    >>> counts = pl.DataFrame({"repeat_orders": [0, 1, 1, 2, 5], "last_order_age": [0.0, 9, 20, 25, 28],
    ...                        "age": 30.0, "weight": [60, 10, 14, 12, 4]})
    >>> fit_orders(counts).n
    100
    """
    check_level(level)
    choose("model", model, MODELS)
    check_span("unit_days", unit_days, example="7.0 for weeks")
    if isinstance(starts, str | Mapping):
        raise TypeError(f"starts is {starts!r}; give a list of starts, each {{parameter: value}}.")
    form, covariates = MODELS[model], (tuple(listed(covariates_rate)), tuple(listed(covariates_dropout)))
    rows = read_histories(summary, model, covariates, weight, unit_days)
    if not rows.x.any():
        raise ValueError(
            f"summary: none of {rows.weight.sum():,.0f} customers ordered again, so no rate can be told. Take a later "
            "as_of or more customers."
        )
    names = [*form.names, *(f"rate:{name}" for name in covariates[0]), *(f"dropout:{name}" for name in covariates[1])]
    spread = [_spread(one, rows.weight, chosen) for one, chosen in zip(rows.designs, covariates, strict=True)]
    scale = np.concatenate([np.ones(4), *spread])
    first = _starts(model, rows, len(names)) + [_own_start(start, names) * scale for start in starts]
    objective, n = _objective(form, rows, scale), float(rows.weight.sum())
    few = _objective(form, rows.every(len(rows.x) // _FEW), scale) if len(rows.x) >= 2 * _FEW else None
    found = climb(objective, first, n, f"fit_orders of {model}", rehearsal=few)
    found = replace(found, at=found.at / scale, information=found.information * np.outer(scale, scale))
    return OrdersFit(
        table=parameter_table(found, names, 4, level),
        model=model,
        log_likelihood=found.log_likelihood,
        n=int(rows.weight.sum()),
        level=level,
        unit_days=float(unit_days),
        covariates_rate=covariates[0],
        covariates_dropout=covariates[1],
        at=found.at,
        covariance=found.covariance(),
    )


def _objective(form: Model, rows: Histories, scale: Floats) -> Callable[[Floats], tuple[float, Floats]]:
    """Log-likelihood per customer and its slopes, in parameters times `scale` (covariates get a spread of 1)."""
    from shoptoolkit.survival.orders.kernels import likelihood

    share = rows.weight / rows.weight.sum()

    def objective(at: Floats) -> tuple[float, Floats]:
        theta = parameters(at / scale, form, rows.designs)
        value, _, slope = likelihood(form.place, theta, rows.x, rows.late, rows.age)
        return float(share @ value), slopes(slope, share, form, rows.designs) / scale

    return objective


def _starts(model: str, rows: Histories, size: int) -> list[Floats]:
    """Few starts of different kind, in the time of the data: customers alike or not, leaving soon or late."""
    orders, age = float(rows.weight @ rows.x), float(rows.weight @ rows.age)
    if model == "bg_bb":
        odds = orders / max(age - orders, 1.0)
        guesses = [(k * odds, k, dropout, 1.0) for k, dropout in ((1.0, 0.2), (3.0, 0.05), (0.5, 1.0))]
    else:
        wait, long = age / orders, age / rows.weight.sum()
        last = (
            [(0.5, 3.0), (1.0, 2.0), (2.0, 20.0)]
            if model != "pareto_nbd"
            else [(0.5, long / 2), (1.0, long), (3.0, 9 * long)]
        )
        guesses = [(r, r * wait / 2, *pair) for r, pair in zip((0.5, 0.25, 2.0), last, strict=True)]
    return [np.concatenate([np.log(guess), np.zeros(size - 4)]) for guess in guesses]


def _own_start(start: Mapping[str, float], names: Sequence[str]) -> Floats:
    if set(start) != set(names) or not all(start[name] > 0 for name in names[:4]):
        raise ValueError(f"starts has {dict(start)}; each start names {', '.join(names)}, the first four above 0.")
    values = np.array([start[name] for name in names], dtype=float)
    return np.concatenate([np.log(values[:4]), values[4:]])


def _spread(design: Floats, weight: Floats, names: Sequence[str]) -> Floats:
    """Standard deviations of covariates; refuses those that tell nothing of their own."""
    if not names:
        return np.empty(0)
    share = weight / weight.sum()
    centred = design - share @ design
    spread = np.sqrt(share @ centred**2)
    if alike := [name for name, one in zip(names, spread, strict=True) if not one > 1e-12 * (1 + np.abs(design).max())]:
        raise ValueError(f"covariates: {', '.join(map(repr, alike))} is the same for all customers; leave it out.")
    _, upper = np.linalg.qr(np.sqrt(share)[:, None] * centred / spread)
    if copies := [name for name, one in zip(names, np.abs(np.diag(upper)), strict=True) if one < 1e-7]:
        raise ValueError(
            f"covariates: {', '.join(map(repr, copies))} is a sum of multiples of the others; leave it out."
        )
    return spread


def _logit(share: Floats) -> Floats:
    return np.log(np.maximum(share, 1e-300)) - np.log(np.maximum(1 - share, 1e-16))
