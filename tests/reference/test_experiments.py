"""Published experiments: what the e-mails of Hillstrom's test added. Source: SOURCES.md."""

from __future__ import annotations

import pytest

from shoptoolkit import datasets, incrementality

ADDED = {
    ("mens - none", "visited"): (0.07659, 0.00339),
    ("mens - none", "converted"): (0.006805, 0.00092),
    ("mens - none", "spend"): (0.7698, 0.1452),
    ("womens - none", "visited"): (0.04523, 0.00323),
    ("womens - none", "converted"): (0.003111, 0.00082),
    ("womens - none", "spend"): (0.4244, 0.1303),
}
DIGITS = {"visited": 5e-6, "converted": 5e-6, "spend": 5e-5}  # half of the last one told


@pytest.fixture(scope="module")
def customers(public_data):
    return datasets.load("hillstrom", folder=public_data("hillstrom/email_test.parquet").parent.parent)


@pytest.mark.reference
def test_the_mails_brought_the_visits_conversions_and_spend_that_are_known(customers):
    found = incrementality.lift(customers, control="none", metrics=list(DIGITS), relative=None).table
    rows = {(row["contrast"], row["metric"]): row for row in found.to_dicts()}
    assert set(rows) == set(ADDED)
    for key, (added, error) in ADDED.items():
        assert rows[key]["estimate"] == pytest.approx(added, abs=DIGITS[key[1]])
        assert rows[key]["standard_error"] == pytest.approx(error, abs=DIGITS[key[1]])


@pytest.mark.reference
def test_the_mails_were_dealt_as_planned(customers):
    found = incrementality.check_split(customers, by=["pre_zip_code", "pre_channel", "pre_history_segment"])
    assert not found.blocked
    assert found.plan == "by probability"
    assert not found.table.filter(verdict="warning").height
