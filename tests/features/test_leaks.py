"""A search for leaks finds those that were planted, and none in what looks at the past alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError, Events, check
from shoptoolkit.features import FeatureSpec, as_of_features, orders, rfm, rhythm, search_leaks, sequences
from shoptoolkit.features.leaks import _perturbed
from shoptoolkit.simulate import shop

WORLD = shop(n_customers=40, days=60, rng=2)
LOG = WORLD.events
# Moments within sessions, as a score while a customer shops would have them.
ASKED = LOG.filter(pl.col("event") == "view").sample(60, seed=3).select("customer_id", as_of="at")
ROW = "__request"


def joined(events, requests):
    """Every request with every row of its customer, future or not."""
    return requests.with_row_index(ROW).join(events, on="customer_id", how="left").with_columns(_known())


def _known():
    return pl.coalesce("^known_at$", "at").alias("known_at")


def per_request(rows, requests, feature):
    found = requests.with_row_index(ROW).join(rows.group_by(ROW).agg(feature), on=ROW, how="left")
    return found.sort(ROW).drop(ROW)


def past_views(events, requests):
    rows = joined(events, requests).filter(pl.col("known_at") < pl.col("as_of"))
    return per_request(rows, requests, pl.len())


def session_in_progress(events, requests):
    """Length of the session that holds the moment, though it goes on."""
    rows = joined(events, requests).sort(ROW, "at")
    start = (pl.col("at").diff() > timedelta(minutes=30)) | (pl.col(ROW) != pl.col(ROW).shift())
    rows = rows.with_columns(session=start.fill_null(True).cum_sum())
    ends = rows.group_by(ROW, "session").agg(
        began=pl.min("at"), ended=pl.max("at"), n=pl.len(), as_of=pl.first("as_of")
    )
    here = ends.filter(pl.col("as_of").is_between("began", "ended"))
    return per_request(here, requests, pl.col("n").sum().alias("session_rows"))


def recency_from_the_last_event(events, requests):
    last = (pl.col("as_of") - pl.col("at")).dt.total_seconds().min()
    return per_request(joined(events, requests), requests, last.alias("seconds_since_last"))


def target_encoding_over_all_time(events, requests):
    """How often the rows of the last category seen were purchases, ever."""
    rate = events.group_by("category").agg(rate=(pl.col("event") == "purchase").mean())
    rows = joined(events, requests).filter(pl.col("known_at") < pl.col("as_of")).sort(ROW, "at", "event", "category")
    return per_request(rows.join(rate, on="category", maintain_order="left"), requests, pl.col("rate").last())


def known_at_ignored(events, requests):
    rows = joined(events, requests).filter(pl.col("at") < pl.col("as_of"))
    return per_request(rows, requests, pl.len().alias("rows_before"))


def the_moment_itself(events, requests):
    """Rows that become known at the very moment of the request count already."""
    return per_request(joined(events, requests).filter(pl.col("known_at") <= pl.col("as_of")), requests, pl.len())


def normalised_by_a_global_maximum(events, requests):
    rows = joined(events, requests).filter(pl.col("known_at") < pl.col("as_of"))
    share = pl.col("watch_seconds").sum() / events["watch_seconds"].max()
    return per_request(rows, requests, share.alias("watched"))


def position_from_the_end(events, requests):
    """How many rows of the log stand below the customer's last known one."""
    rows = joined(events.with_row_index("line"), requests).filter(pl.col("known_at") < pl.col("as_of"))
    return per_request(rows, requests, (len(events) - pl.col("line").max()).alias("below"))


def normalised_by_the_batch(events, requests):
    """Divided by the largest among all requests, of which some are later."""
    table = as_of_features(events, requests, spec=FeatureSpec(windows_days=(365,)))
    return table.select((pl.col("views_365d") / pl.col("views_365d").max()).alias("views_of_largest"))


def columns_from_the_log(events, requests):
    """One column per source that the log has."""
    rows = joined(events, requests).filter(pl.col("known_at") < pl.col("as_of"))
    counts = [(pl.col("source") == name).sum().alias(name) for name in events["source"].unique().sort()]
    return per_request(rows, requests, counts)


def leaky_in_pandas(events, requests):
    return recency_from_the_last_event(events, requests).to_pandas()


def leaky_lists(events, requests):
    rows = joined(events, requests).sort(ROW, "at", "event")
    return per_request(rows, requests, pl.col("event").cast(pl.String).tail(3).alias("Last kinds"))


LEAKS = {
    session_in_progress: ["session_rows"],
    recency_from_the_last_event: ["seconds_since_last"],
    target_encoding_over_all_time: ["rate"],
    known_at_ignored: ["rows_before"],
    the_moment_itself: ["len"],
    normalised_by_a_global_maximum: ["watched"],
    position_from_the_end: ["below"],
    leaky_in_pandas: ["seconds_since_last"],
    leaky_lists: ["Last kinds"],
    normalised_by_the_batch: ["views_of_largest"],
}


@pytest.mark.parametrize(("build", "columns"), LEAKS.items(), ids=[build.__name__ for build in LEAKS])
def test_a_planted_leak_is_found(build, columns):
    log = LOG
    if build is known_at_ignored:  # a log in which every row is a day late
        log = LOG.with_columns(known_at=pl.col("at") + timedelta(days=1))
    if build is the_moment_itself:
        log = LOG.drop("known_at")
    found = search_leaks(build, log, ASKED, rng=1)
    assert found.leaks
    assert found.columns == columns
    assert found.verdict.startswith("leak found: ")
    assert f"'{columns[0]}' went from" in found.example


def test_columns_that_come_and_go_with_the_future_are_told():
    early = ASKED.with_columns(as_of=LOG["at"].min() + timedelta(hours=6))
    found = search_leaks(columns_from_the_log, LOG, early, rng=1, n_requests=3)
    assert found.leaks
    gone = found.changes.filter(pl.col("perturbation") == "removed")
    assert gone["after"].null_count() > 0


BUILDS = {
    "as_of_features": as_of_features,
    "sequences": lambda events, requests: sequences(events, requests, columns=("event", "item_id", "at"), last=5),
    "the past in pandas": lambda events, requests: past_views(events, requests).to_pandas(),
    "another frame": lambda events, requests: past_views(events, requests).to_arrow(),
    "lazy": lambda events, requests: past_views(events, requests).lazy(),
    "counted from the requests alone": lambda events, requests: requests.with_columns(hour=pl.col("as_of").dt.hour()),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_what_looks_back_alone_passes(build):
    found = search_leaks(build, LOG, ASKED, rng=1)
    assert not found.leaks
    assert found.verdict == "none found in 60 perturbations of 20 requests"
    assert found.example is None
    assert found.columns == []


def customers_as_of_a_day(events, requests):
    """Value and rhythm of each customer as of the day of the request, from the whole log."""

    def as_they_were(day):
        made = orders(events, as_of=day)
        habits = rhythm(made, as_of=day).table.drop("group")
        return rfm(made, as_of=day).join(habits, on="customer_id").with_columns(as_of=pl.lit(day))

    known = pl.concat(as_they_were(day) for day in requests["as_of"].unique(maintain_order=True))
    return requests.join(known, on=["customer_id", "as_of"], how="left", maintain_order="left")


def test_customers_as_of_a_day_know_nothing_of_it():
    days = LOG.filter(pl.col("event") == "purchase").sample(6, seed=2).select("customer_id")
    asked = days.with_columns(as_of=datetime(2025, 2, 1) + timedelta(days=4) * pl.int_range(pl.len()))
    found = search_leaks(customers_as_of_a_day, LOG, asked, rng=1, n_requests=6)
    assert found.n_requests == 6
    assert not found.leaks
    assert customers_as_of_a_day(LOG, asked)["clumpiness"].count() > 0


def test_the_table_counts_requests_and_names_columns():
    found = search_leaks(recency_from_the_last_event, LOG, ASKED, rng=1, n_requests=10)
    assert found.table.columns == ["perturbation", "n_requests", "n_changed", "share", "low", "high", "columns"]
    assert found.table["perturbation"].to_list() == ["removed", "corrupted", "delayed"]
    for row in found.table.to_dicts():
        mine = found.changes.filter(pl.col("perturbation") == row["perturbation"])
        assert row["n_changed"] == mine["request"].n_unique()
        assert row["share"] == row["n_changed"] / 10
        assert row["low"] <= row["share"] <= row["high"]
    assert found.table["columns"][0] == "seconds_since_last"
    one = found.changes.row(0, named=True)
    assert ASKED.row(one["request"]) == (int(one["customer_id"]), one["as_of"])
    assert recency_from_the_last_event(LOG, ASKED)["seconds_since_last"][one["request"]] == int(one["before"])


def test_a_share_of_none_still_says_how_little_was_looked_at():
    found = search_leaks(as_of_features, LOG, ASKED, rng=1, n_requests=5, level=0.9)
    assert found.table["share"].to_list() == [0, 0, 0]
    assert 0.2 < found.table["high"][0] < 0.5


def test_the_example_shows_lists_in_one_line():
    found = search_leaks(leaky_lists, LOG, ASKED, rng=1, n_requests=3)
    assert "'Last kinds' went from ['" in found.example
    assert "\n" not in found.example
    assert "'Last kinds'" in repr(found)


def test_the_same_seed_searches_the_same():
    one, two, other = (
        search_leaks(recency_from_the_last_event, LOG, ASKED, rng=seed, n_requests=5).changes for seed in (1, 1, 2)
    )
    assert one.equals(two)
    assert not one.equals(other)


def test_it_reads_well():
    found = search_leaks(recency_from_the_last_event, LOG, ASKED, rng=1, n_requests=5)
    assert repr(found).startswith("Leak found: ")
    assert "'seconds_since_last' went from" in repr(found)
    assert "Search for leaks" in found._repr_html_()
    assert "went from" in found._repr_html_()
    none = search_leaks(as_of_features, LOG, ASKED, rng=1, n_requests=5)
    assert repr(none) == "None found in 15 perturbations of 5 requests"
    assert "None found in 15 perturbations" in none._repr_html_()


TYPES = {
    "the contract's": LOG,
    "plain": LOG.with_columns(pl.col("event", "category", "source").cast(pl.String), pl.col("quantity").cast(pl.Int8)),
    "others": LOG.with_columns(
        pl.col("event").cast(pl.Categorical),
        pl.col("at", "known_at").dt.cast_time_unit("ms"),
        tags=pl.concat_list("source"),
        flag=pl.col("price") > 5,
        day=pl.col("at").dt.date(),
        share=pl.lit(0.5, pl.Float32),
    ),
    "few": LOG.select("customer_id", "at", "event").filter(~pl.col("event").is_in(["purchase", "refund"])),
    "no price known": LOG.filter(~pl.col("event").is_in(["purchase", "refund"])).with_columns(price=None),
    "one kind": LOG.select("customer_id", "at", event=pl.lit("view", pl.Enum(["view"]))),
}


@pytest.mark.parametrize("log", TYPES.values(), ids=TYPES)
def test_a_perturbed_log_keeps_its_types_the_contract_and_its_past(log):
    as_of = datetime(2025, 2, 1)
    moment = pl.coalesce("^known_at$", "at")
    future = log.select(moment >= as_of).to_series().to_numpy()
    before = log.clone()
    for name, perturbed in _perturbed(log, future, np.random.default_rng(1)):
        assert perturbed.schema == log.schema
        assert check(perturbed, Events).quarantined.is_empty()
        assert perturbed.filter(moment < as_of).equals(log.filter(~future))
        assert perturbed["at"].is_sorted()
        assert len(perturbed) == (len(log) - future.sum() if name == "removed" else len(log))
        later = perturbed.filter(moment >= as_of)
        if name != "removed":
            assert not later.equals(log.filter(future)) or (name, log.width) == ("corrupted", 3)
            assert later["customer_id"].sort().equals(log.filter(future)["customer_id"].sort())
    assert log.equals(before)


def test_every_column_of_the_future_is_corrupted():
    future = np.arange(len(LOG)) >= len(LOG) // 2
    perturbed = dict(_perturbed(LOG, future, np.random.default_rng(1)))["corrupted"]
    for name in LOG.columns:
        was, now = LOG[name].filter(future), perturbed[name].filter(future)
        changed = was.ne_missing(now).mean()
        assert (changed == 0) if name in ("customer_id", "at", "known_at", "event_id") else (changed > 0.4)
    assert perturbed["event"].filter(future).ne(LOG["event"].filter(future)).all()


def test_what_was_given_is_never_changed_even_by_a_build_that_tries():
    def careless(events, requests):
        requests.insert_column(0, pl.Series("n", range(len(requests))))
        return past_views(events, requests)

    before = ASKED.clone()
    assert not search_leaks(careless, LOG, ASKED, rng=1, n_requests=2).leaks
    assert ASKED.equals(before)


def test_requests_may_have_columns_of_any_name():
    asked = ASKED.with_columns(last=1, request=2, known_at=3, perturbation=pl.lit("x"))
    assert not search_leaks(lambda events, requests: past_views(events, ASKED), LOG, asked, rng=1, n_requests=2).leaks


def test_requests_whose_customer_has_a_future_come_first():
    once = pl.DataFrame({"customer_id": [-1] * 30, "as_of": ASKED["as_of"][:30]}, schema=ASKED.schema)
    found = search_leaks(recency_from_the_last_event, LOG, pl.concat([once, ASKED[:5]]), rng=1, n_requests=5)
    assert found.changes["request"].unique().sort().to_list() == [30, 31, 32, 33, 34]


def test_a_request_without_past_or_future_is_not_searched():
    start, end = LOG["known_at"].min(), LOG["known_at"].max()
    edge = pl.DataFrame({"customer_id": ASKED["customer_id"][0], "as_of": [start, end + timedelta(days=1)]})
    found = search_leaks(as_of_features, LOG, pl.concat([edge.cast(ASKED.schema), ASKED[:1]]), rng=1)
    assert found.n_requests == 1


def untimely(events, requests):
    if len(events) < len(LOG):
        raise KeyError("a customer who comes later")
    return past_views(events, requests)


def moody():
    rng = np.random.default_rng(1)
    return lambda events, requests: requests.with_columns(luck=pl.Series(rng.random(len(requests))))


@pytest.mark.parametrize(
    ("build", "options", "error", "message"),
    [
        (moody(), {}, ValueError, "another answer on the same log: 'luck' differ. Fix its seed"),
        (lambda events, requests: requests[1:], {}, ValueError, "returned 59 rows for 60 requests; it must return one"),
        (lambda events, requests: None, {}, TypeError, "build returned a NoneType; it must return a frame"),
        (
            untimely,
            {},
            ValueError,
            r"with the future of request \d+ removed \(KeyError: 'a customer who comes later'\)",
        ),
        ("views", {}, TypeError, "build is a str; it comes first, and must be a function"),
        (past_views, {"n_requests": 0}, ValueError, "n_requests is 0; it must be a whole number >= 1"),
        (past_views, {"level": 1}, ValueError, "level is 1; it must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_searched_says_why(build, options, error, message):
    with pytest.raises(error, match=message):
        search_leaks(build, LOG, ASKED, rng=1, **options)


def test_frames_that_cannot_be_searched_are_refused_with_the_reason():
    late = ASKED.with_columns(pl.col("as_of") + timedelta(days=1_000))
    with pytest.raises(ValueError, match="requests: none lies after the first row known"):
        search_leaks(past_views, LOG, late, rng=1)
    with pytest.raises(ContractError, match="events: 'at' is missing"):
        search_leaks(past_views, LOG.drop("at"), ASKED, rng=1)
    with pytest.raises(ContractError, match="requests: 'customer_id' is String"):
        search_leaks(past_views, LOG, ASKED.cast({"customer_id": pl.String}), rng=1)
