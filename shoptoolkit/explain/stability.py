"""Would the explanation be the same with other customers? Ranks and signs over refits on customers drawn anew.

In: a function that refits, and its frame. Out: `stability` -> `Stability`; `customers_of` -> the rows of each customer.
Which features can stand in for each other is found in clusters.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_keys, check_level, check_number
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.clusters import bins_of, clusters_of
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.signals import owners
from shoptoolkit.explain.values import Explainable, shap_values

PLACES, KEPT = 2, 0.9  # a stable rank moves by at most so many places; a stable direction is kept so often
_BESIDE = ["mean_rank", "rank_low", "rank_high", "sign_agreement", "share_in_top_k"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stability:
    """How far the ranking of features and the direction of their contributions hold. Draw it with `figures.stability`.

    `table`, most important first: feature, mean_rank (1 = largest mean absolute contribution; ties share), rank_low,
    rank_high (the middle `level` of the refits' ranks), sign_agreement (the share of the first fit's contributions, by
    size, whose sign a refit keeps, over refits; 1 = always, about 0.5 = a coin, null = not used there), share_in_top_k
    (refits that rank it `top` or better), verdict. `draws`: replicate, feature, mean_size, rank, sign_agreement.

    `clusters`: the same with features that can stand in for each other as one: cluster (its members, the most important
    first), members, and the columns above, of ranks among clusters. Two are interchangeable where either one alone
    tells at least nine tenths of what both together tell of the sum of their contributions (on 20 rows or more).

    A cluster's verdict is "stable" where rank_low and rank_high lie at most 2 places apart and the direction is kept in
    at least 90 %, else "unstable" and why, or "never used". A feature that shares a cluster "shares with ..." the
    others; one by itself is stable where it is so among features or among clusters. `of`: "features" or "signals".
    """

    table: pl.DataFrame
    clusters: pl.DataFrame
    draws: pl.DataFrame
    level: float
    replicates: int
    top: int
    n_customers: int
    of: str

    @property
    def verdict(self) -> str:
        """Whether the most important features hold, in one sentence."""
        used = self.clusters.filter(pl.col("verdict") != "never used").head(self.top)
        held = (used["verdict"] == "stable").sum()
        lead = f"Over {self.replicates} refits with other customers"
        if used.is_empty():
            return f"{lead}, the model uses none of its {self.of}."
        together = " (those that can stand in for each other counted as one)"
        most, does, do = f"{len(used)} most important {self.of}", "keep", "keep"
        if len(used) == 1:
            most, does, do = f"most important {self.of[:-1]}", "keeps", "does not keep"
        most = f"the {most}{together if len(self.clusters) < len(self.table) else ''}"
        if held == len(used):
            return f"{lead}, {most} {does} rank and direction."
        failed = used.filter(pl.col("verdict") != "stable").select("cluster", "verdict").rows()
        told = "; ".join(f"{name} ({why.removeprefix('unstable: ')})" for name, why in failed)
        few = f"{held or 'none'} of {most}" if len(used) > 1 else most
        return f"{lead}, {few} {do} rank and direction. Not stable: {told}."

    def __repr__(self) -> str:
        lead = f"Stability over {self.replicates} refits ({self.n_customers:,} customers drawn anew)"
        return f"{lead}: {self.verdict}\n{self.clusters.drop('members')}"

    def _repr_html_(self) -> str:
        note = (
            f"{self.verdict} {self.n_customers:,} customers drawn anew in each; ranks: the middle "
            f"{100 * self.level:g} %; top k: {self.top}. The model, not the cause."
        )
        shown = self.clusters.select("cluster", *_BESIDE, "verdict")
        return html_table(shown, title="Does the explanation hold?", note=note)


def stability(
    refit: Callable[[pl.DataFrame], Explainable],
    frame: Any,
    *,
    replicates: int,
    rng: int | np.random.Generator,
    signals: Mapping[str, str] | None = None,
    explain: Callable[..., Explanation] = shap_values,
    id: str = "customer_id",
    rows: int | None = 1_000,
    top: int = 5,
    level: float = 0.95,
) -> Stability:
    """Would other customers have given the same ranking and the same directions?

    Parameters
    ----------
    refit
        Takes a frame like `frame`, returns a fit, e.g.
        `lambda frame: behaviour.fit_propensity(frame, "bought", split_at=..., rng=1)`.
    frame
        What the model was fitted on. Each replicate draws as many customers with replacement, each with all its rows
        and its id: a refit that cuts off its validation part by customer or by time keeps copies together, as those
        of this package do; one that cuts by row would see them on both sides.
    replicates
        Refits, at least 2; some 20 to see the ranks, 100 for their bounds.
    rng
        Seed or Generator of the draws.
    signals
        Feature -> signal, e.g. of `signals_of`: contributions are added up by signal before they are ranked.
    explain
        Takes a fit, a frame, `rows` and `rng`, returns an Explanation. For a hazard fit e.g.
        `lambda fit, frame, *, rows, rng: explain_survival(fit, frame, rows=rows, rng=rng)`; of several periods, rows
        and periods are compared alike.
    id
        Column of the customers.
    rows
        All fits are explained on the same sample of the frame, of this size (None: all rows).
    top
        What counts as top, for share_in_top_k and `Stability.verdict`.
    level
        Coverage of rank_low to rank_high.

    Returns
    -------
    Stability
        The draws say how the sample of customers moves the explanation. Neither the order of rows nor the customers'
        names decide anything.

    Raises
    ------
    ContractError
        `id` is missing or null.
    ValueError
        `replicates` below 2, `top` below 1, fewer than 2 customers, signals of no feature, or refits with other
        features than the first.

    References
    ----------
    Field and Welsh (2007), JRSS B 69, 369-390 (bootstrap of clusters).

    Examples
    --------
    >>> from shoptoolkit.survival import fit_hazard
    >>> visits, came = np.arange(400) % 7, (np.arange(400) * 37) % 60 + 1.0
    >>> spells = pl.DataFrame({"customer_id": np.arange(400), "duration_days": came / (1 + visits), "visits": visits,
    ...                        "repurchased": came < 50, "luck": (np.arange(400) * 11) % 13})
    >>> def explained(fit, frame, *, rows, rng):
    ...     return shap_values(fit, frame.with_columns(period=1), rows=rows, rng=rng)
    >>> told = stability(lambda frame: fit_hazard(frame, rng=1, rounds=9), spells, replicates=3, rng=1,
    ...                  explain=explained, top=1)
    >>> told.verdict
    'Over 3 refits with other customers, the most important feature keeps rank and direction.'
    """
    check_level(level)
    check_number("replicates", replicates, least=2, whole=True)
    check_number("top", top, least=1, whole=True)
    rng = np.random.default_rng(rng)
    table = to_polars(frame)
    rows_of = customers_of(table, id)
    first = explain(refit(table), table, rows=rows, rng=rng)
    sample = table[first.table["row"].unique().sort()]
    reference, names = _matrix(first, signals)
    again = np.empty((replicates, *reference.shape))
    for replicate in range(replicates):
        drawn = table[rows_of.gather(rng.integers(len(rows_of), size=len(rows_of))).explode()]
        try:
            told, known = _matrix(explain(refit(drawn), sample, rows=None, rng=rng), signals)
        except Exception as error:
            error.add_note(f"in replicate {replicate} of stability(), on customers drawn anew")
            raise
        if known != names:
            raise ValueError(f"a refit explains {', '.join(known)}; the first fit {', '.join(names)}.")
        again[replicate] = told
    draws = _draws(reference, again, names)
    ranks: dict[str, Any] = {"level": level, "top": top}
    alone = _summary(draws, **ranks)
    groups = _together(first, signals, again, names, alone["feature"].to_list())
    clusters = _clusters(reference, again, names, groups, **ranks)
    return Stability(
        table=_shared(alone, clusters),
        clusters=clusters,
        draws=draws,
        replicates=int(replicates),
        n_customers=len(rows_of),
        of="signals" if signals else "features",
        **ranks,
    )


def customers_of(table: pl.DataFrame, id: str, *, name: str = "stability") -> pl.Series:
    """The row numbers of each customer, as lists, in an order that neither their names nor the rows' order decide."""
    check_keys(table, id, frame=name)
    content = pl.struct(pl.exclude(id)).rank("dense").alias("content")
    owned = table.select(pl.col(id).alias("customer"), content).with_row_index("row")
    rows = owned.sort("content").group_by("customer", maintain_order=True).agg("content", "row").sort("content")["row"]
    if len(rows) < 2:
        raise ValueError(f"the frame has {len(rows)} customers; {name} needs at least 2.")
    return rows


def added_up(explanation: Explanation, signals: Mapping[str, str] | None) -> Explanation:
    """By signal, unless it is already, as `explain_survival` may give it."""
    known = set(explanation.table["feature"].unique())
    if not signals or known <= set(owners(signals, signals).values()):
        return explanation
    check_signals(signals, known)
    return explanation.by_signal(signals)


def check_signals(signals: Mapping[str, str], features: Iterable[str]) -> None:
    """Raise ValueError where the mapping names none of the features."""
    if not set(signals) & set(features):
        raise ValueError(
            f"signals names none of the features {', '.join(sorted(features))}; it maps feature -> signal."
        )


def _matrix(explanation: Explanation, signals: Mapping[str, str] | None) -> tuple[Floats, list[str]]:
    """Contributions, rows (and periods) x features or signals, and their names in sorted order."""
    table = added_up(explanation, signals).table.sort("row", "period", "feature")
    names = table["feature"].unique().sort().to_list()
    return table["contribution"].to_numpy().reshape(-1, len(names)), names


def _draws(reference: Floats, again: Floats, names: Sequence[str]) -> pl.DataFrame:
    """Each refit beside the first fit, by feature."""
    size, told = np.abs(reference), []
    with np.errstate(invalid="ignore"):
        weight = size / size.sum(axis=0)  # NaN where the first fit makes nothing of a feature
    for replicate, now in enumerate(again):
        kept = (weight * (np.sign(now) == np.sign(reference))).sum(axis=0).clip(max=1)
        one = {"feature": names, "mean_size": np.abs(now).mean(axis=0), "sign_agreement": kept}
        told.append(pl.DataFrame(one).with_columns(replicate=pl.lit(replicate)))
    rank = pl.col("mean_size").rank("average", descending=True).over("replicate").alias("rank")
    columns = ("replicate", "feature", "mean_size", rank, pl.col("sign_agreement").fill_nan(None))
    return pl.concat(told).select(columns)


def _summary(draws: pl.DataFrame, *, level: float, top: int) -> pl.DataFrame:
    is_top = (pl.col("rank") <= top) & (pl.col("mean_size") > 0)
    told = draws.group_by("feature").agg(
        pl.col("rank").mean().alias("mean_rank"),
        pl.col("rank").quantile(0.5 - level / 2, "nearest").alias("rank_low"),
        pl.col("rank").quantile(0.5 + level / 2, "nearest").alias("rank_high"),
        pl.col("sign_agreement").mean(),
        is_top.mean().alias("share_in_top_k"),
        pl.col("mean_size").max().alias("largest"),
    )
    told = told.with_columns(verdict=pl.Series([_verdict(one) for one in told.to_dicts()], dtype=pl.String))
    return told.drop("largest").sort("mean_rank", "feature")


def _verdict(row: Mapping[str, Any]) -> str:
    if row["largest"] == 0:
        return "never used"
    low, high, kept = row["rank_low"], row["rank_high"], row["sign_agreement"]
    faults = [f"rank {low:.0f} to {high:.0f}"] if high - low > PLACES else []
    if kept is None:
        faults.append("not used by the first fit")
    elif kept < KEPT:
        faults.append(f"direction kept in {100 * kept:.0f} %")
    return f"unstable: {', '.join(faults)}" if faults else "stable"


def _together(
    first: Explanation,
    signals: Mapping[str, str] | None,
    again: Floats,
    names: Sequence[str],
    ranked: Sequence[str],
) -> list[list[str]]:
    """The names that can stand in for each other, the most important first."""
    bins: dict[str, list[Ints]] = {name: [] for name in names}
    one_period = first.table.sort("period").unique(["row", "feature"], keep="first", maintain_order=True)
    for (feature,), part in one_period.sort("feature", "row").group_by("feature", maintain_order=True):
        bins[(signals or {}).get(feature, feature)].append(bins_of(part["value"], is_code=feature in first.categories))
    mean = again.mean(axis=0).reshape(first.table["row"].n_unique(), -1, len(names)).mean(axis=1)
    number = dict(zip(names, clusters_of(list(bins.values()), mean), strict=True))
    found: dict[int, list[str]] = {}
    for name in ranked:
        found.setdefault(number[name], []).append(name)
    return list(found.values())


def _shared(table: pl.DataFrame, clusters: pl.DataFrame) -> pl.DataFrame:
    """Beside each feature the others of its cluster; one by itself holds where it does among the clusters."""
    own, words = dict(table.select("feature", "verdict").rows()), {}
    for group, verdict in clusters.select("members", "verdict").rows():
        for name in group:
            rest = ", ".join(one for one in group if one != name)
            words[name] = f"shares with {rest}" if rest else verdict if verdict == "stable" else own[name]
    return table.with_columns(verdict=pl.col("feature").replace_strict(words, return_dtype=pl.String))


def _clusters(
    reference: Floats, again: Floats, names: Sequence[str], groups: Sequence[Sequence[str]], *, level: float, top: int
) -> pl.DataFrame:
    belongs = np.array([[float(name in group) for group in groups] for name in names])
    labels = [", ".join(group) for group in groups]
    told = _summary(_draws(reference @ belongs, again @ belongs, labels), level=level, top=top)
    members = pl.Series(groups, dtype=pl.List(pl.String))
    told = told.join(pl.DataFrame({"feature": labels, "members": members}), on="feature", maintain_order="left")
    return told.select(pl.col("feature").alias("cluster"), "members", *_BESIDE, "verdict")
