"""What would be lost without a signal: SHAP, permutation and leave-one-out importance side by side.

In: a function that refits on chosen features, the frame to fit on, and rows to judge on. Out: `importances` ->
`Importances`, with what the three say of each signal in words, where they disagree too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, estimate_row, refused_row, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level, check_number
from shoptoolkit.contract.estimates import error_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.signals import members, owners
from shoptoolkit.explain.stability import added_up, check_signals, customers_of
from shoptoolkit.explain.values import Explainable, shap_values

APART = 2  # ranks that lie further apart disagree
_LEAST = 20  # customers; with fewer an interval covers less often than it says
_ESTIMANDS = {
    "permuted": "loss added when dealt to other customers",
    "left_out": "loss added by a refit without it, of these two fits",
}
_WORDS = {  # leaned on, missed
    (True, True): "leaned on, and missed when left out",
    (True, False): "leaned on, but not clearly missed when left out: others may stand in for it",
    (False, True): "not clearly leaned on, but missed when left out",
    (False, False): "makes no clear difference",
}


class Judged(Explainable, Protocol):
    """A fit that can be explained and says what it missed. `behaviour.PropensityFit` and `survival.HazardFit` do."""

    def losses(self, frame: pl.DataFrame) -> Floats:
        """By row of a frame that holds the outcome, how far the forecast misses it; less is better."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Importances:
    """Three answers to how much a signal matters to the model. Draw it with `figures.importances`.

    `table`, by SHAP's rank: signal, features, mean_size (mean absolute contribution, on the explanation's
    scale), mean_size_rank, permuted (loss per row added when the signal is dealt to other customers), permuted_low,
    permuted_high, permuted_rank, left_out (loss per row added by a refit without it), left_out_low, left_out_high,
    left_out_rank, disagree, words. Losses in the units of the fit's, nats for those of this package; null where
    refused. `estimates`: the same losses as Estimates, a group per signal.

    `disagree`: of a signal that is leaned on (permuted_low > 0) or missed (left_out_low > 0), but not both, or of which
    mean_size_rank and left_out_rank lie more than 2 apart. `loss`: mean loss of the whole model on the `n` rows.
    """

    table: pl.DataFrame
    estimates: EstimateTable
    loss: float
    level: float
    n: int
    n_customers: int
    repeats: int
    scale: str

    def __repr__(self) -> str:
        lead = f"Importances on {self.n:,} rows of {self.n_customers:,} customers, loss {self.loss:.4f} per row"
        return f"{lead}\n{self.table.select('signal', 'mean_size', 'permuted', 'left_out', 'words')}"

    def _repr_html_(self) -> str:
        note = (
            f"{self.n:,} test rows of {self.n_customers:,} customers; mean loss {self.loss:.4f}; "
            f"{100 * self.level:g} % intervals, for left_out of these two fits. The model, not the cause."
        )
        return html_table(self.table.drop("features"), title="What would be lost without it?", note=note)


def importances(
    refit: Callable[[pl.DataFrame, Sequence[str] | None], Judged],
    frame: Any,
    test: Any,
    *,
    rng: int | np.random.Generator,
    signals: Mapping[str, str] | None = None,
    explain: Callable[..., Explanation] = shap_values,
    id: str = "customer_id",
    rows: int | None = 1_000,
    repeats: int = 10,
    level: float = 0.95,
) -> Importances:
    """How much does the forecast lean on each signal, and how much worse is it without?

    Three questions. SHAP: how far does the signal move the forecasts? Permutation: how much worse are the forecasts of
    this model where the signal says something wrong? Leaving out: how much worse is a model that never had it? Signals
    that go together stand in for each other when one is left out, and not when one is permuted.

    Parameters
    ----------
    refit
        Takes a frame like `frame` and a list of features (None: all), returns a fit, e.g. `lambda frame, features:
        behaviour.fit_propensity(frame, "bought", features=features, split_at=..., rng=1)`.
    frame
        What the model is fitted on, once as it is and once without each signal.
    test
        Rows that no fit has seen, with the outcome, to judge on.
    rng
        Seed or Generator: the rows explained, and who is dealt whose values.
    signals
        Feature -> signal, e.g. of `signals_of`; features of one signal are dealt, left out and added up together. A
        feature that it does not name is a signal by itself.
    explain
        As in `stability`.
    id
        Column of the customers in `test`.
    rows
        Rows explained (None: all of `test`). Losses are of all rows.
    repeats
        How often values are dealt to others; the mean over them counts.
    level
        Coverage of the intervals, one at a time.

    Returns
    -------
    Importances
        `permuted`: each row gets the signal's columns, all together, from a row of another customer, every row
        giving once. Combinations arise that no customer shows; what goes together with the signal stays, and the model
        may read it wrongly. The interval is for new customers, who receive and give: a two-sample V-statistic, by its
        first projections summed over each customer's rows. `left_out`: mean difference of losses, row by row, by
        customer; its interval is conditional on the two fits, and does not say how far another training sample or
        another seed would change them. With 20 to 50 customers, intervals for 0.95 hold about 9 times in 10.

    Raises
    ------
    ContractError
        `id` is missing or null, or a fit cannot read the frames.
    ValueError
        Fewer than two signals, signals of no feature, a customer with more than half of the rows, numbers out of
        range.

    References
    ----------
    Fisher, Rudin and Dominici (2019), JMLR 20 (177), model reliance and its U-statistic; Lei et al. (2018), JASA 113,
    1094-1111, leaving covariates out.
    """
    check_level(level)
    check_number("repeats", repeats, least=1, whole=True)
    rng = np.random.default_rng(rng)
    table, judged = to_polars(frame), to_polars(test)
    rows_of = customers_of(judged, id, name="importances")
    judged, customer = judged[rows_of.explode()], np.repeat(np.arange(len(rows_of)), rows_of.list.len())
    fit = refit(table, None)
    signal_of = owners([name for name in fit.features if name in judged.columns], signals or {})
    check_signals(signals or signal_of, signal_of)
    parts = members(signal_of)
    if len(parts) < 2:
        raise ValueError(f"there is one signal, {', '.join(parts)}; to leave one out, at least 2 are needed.")
    explanation = explain(fit, judged, rows=rows, rng=rng)
    now = fit.losses(judged)
    deals = [_deal(customer, rng) for _ in range(repeats)]
    told = []
    for signal, part in parts.items():
        receive, give = _permuted(fit, judged, part, deals, now)
        without = _without(refit, table, [name for name in signal_of if name not in part], judged, signal) - now
        words: dict[str, Any] = {"level": level, "group": signal}
        told.append(_row(receive, receive + give, customer, metric="permuted", **words))
        told.append(_row(without, without, customer, metric="left_out", **words))
    estimates = EstimateTable.from_rows(told)
    return Importances(
        table=_beside(added_up(explanation, signal_of).importance(), estimates.table, parts),
        estimates=estimates,
        loss=float(now.mean()),
        level=level,
        n=len(now),
        n_customers=len(rows_of),
        repeats=int(repeats),
        scale=explanation.scale,
    )


def _deal(customer: Ints, rng: np.random.Generator) -> Ints:
    """For each row the row that it gets its values from: of another customer, each giving once, all about as likely."""
    n, most = len(customer), int(np.bincount(customer).max())
    if 2 * most > n:
        raise ValueError(f"one customer has {most:,} of the {n:,} rows; to deal with others, at most half is allowed.")
    line = np.lexsort((rng.random(n), rng.permutation(int(customer.max()) + 1)[customer]))
    giver = np.empty(n, dtype=np.int64)
    giver[line] = np.roll(line, -int(rng.integers(most, n - most + 1)))
    return giver


def _permuted(
    fit: Judged, judged: pl.DataFrame, part: Sequence[str], deals: Sequence[Ints], now: Floats
) -> tuple[Floats, Floats]:
    """The mean loss added to each row by others' values of this signal, and by each row's values to others."""
    receive, give = np.zeros(len(now)), np.zeros(len(now))
    for giver in deals:
        added = (fit.losses(judged.with_columns(judged.select(part)[giver])) - now) / len(deals)
        receive += added
        give[giver] += added
    return receive, give


def _without(
    refit: Callable[..., Judged], table: pl.DataFrame, features: Sequence[str], judged: pl.DataFrame, signal: str
) -> Floats:
    try:
        return refit(table, features).losses(judged)
    except Exception as error:
        error.add_note(f"in importances(), the refit without {signal!r}")
        raise


def _row(values: Floats, spread: Floats, customer: Ints, *, level: float, metric: str, **words: Any) -> dict[str, Any]:
    """One row of Estimates: the mean of `values`; its error from the sums of `spread` by customer."""
    n, customers = len(values), int(customer.max()) + 1
    words |= {"question": "What would be lost without it?", "metric": metric, "n": n, "level": level}
    words |= {"estimand": _ESTIMANDS[metric], "measure": "loss per row", "method": "mean over rows, errors by customer"}
    if customers < _LEAST:
        return refused_row(reason=f"{customers} customers; an interval takes at least {_LEAST}. Test on more.", **words)
    error, degrees = error_of((spread - spread.mean()) / n, pl.Series(customer))
    return estimate_row(estimate=float(values.mean()), standard_error=error, degrees=degrees, **words)


def _beside(sizes: pl.DataFrame, estimates: pl.DataFrame, parts: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """One row per signal: the three importances with their ranks, and what they say together."""
    features = [", ".join(part) for part in parts.values()]
    table = pl.DataFrame({"signal": list(parts), "features": features}).join(
        sizes.select(pl.col("feature").alias("signal"), "mean_size"), on="signal", how="left"
    )
    table = table.with_columns(_rank("mean_size"))
    for metric in _ESTIMANDS:
        part = estimates.filter(pl.col("metric") == metric)
        named = part.select(signal="group", **{metric: "estimate", f"{metric}_low": "low", f"{metric}_high": "high"})
        table = table.join(named, on="signal").with_columns(_rank(metric))
    said = [_said(one) for one in table.to_dicts()]
    told = pl.DataFrame(said, schema={"disagree": pl.Boolean, "words": pl.String}, orient="row")
    return table.hstack(told).sort("mean_size_rank", "signal")


def _rank(name: str) -> pl.Expr:
    return pl.col(name).rank("average", descending=True).alias(f"{name}_rank")


def _said(row: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Do the three disagree, and what they say together."""
    if row["permuted"] is None:
        return None, "too few customers to say"
    leans, missed = row["permuted_low"] > 0, row["left_out_low"] > 0
    words = _WORDS[leans, missed]
    if row["left_out_high"] < 0:
        words = (
            "leaned on, but the refit without it forecasts better" if leans else "the refit without it forecasts better"
        )
    far = (leans or missed) and abs(row["mean_size_rank"] - row["left_out_rank"]) > APART
    if far:
        words += f"; SHAP ranks it {row['mean_size_rank']:g}, leaving it out {row['left_out_rank']:g}"
    return leans != missed or far, words
