"""Which public sets there are, what is known of them, and where their files lie.

In: a name. Out: facts (`about`, `available`), the data folder (`home`) and a set's file in it (`find`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from shoptoolkit.contract.check import choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What the content of a set adds up to, whatever the form of its file.

    `sha256`: the hash of the canonical rows, sorted (see `tidy.fingerprint`). Of logs also `quantity`, the sum of
    pieces, and `amount`, the sum of pieces times price in hundredths of pennies (cents).
    """

    rows: int
    sha256: str
    quantity: int | None = None
    amount: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """The facts of one public data set.

    `returns`: what `load` gives. `files`: names that `load` knows, the publisher's first. `sha256`: of the download,
    where known. `page`: where a person finds it.
    """

    name: str
    returns: str
    licence: str
    citation: str
    publisher: str
    columns: tuple[str, ...]
    files: tuple[str, ...]
    page: str
    url: str
    sha256: str | None
    fingerprint: Fingerprint

    @property
    def rows(self) -> int:
        """Lines in the publisher's file."""
        return self.fingerprint.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSet(DataSet):
    """The facts of a public log: a set with customers and times.

    `timezone`: where its clock hung (its times become UTC from there). `history_known`: is every customer's first order
    ever in the log? `as_of`: the first day that is not logged in full; look no further.
    """

    returns: str = "Events"
    timezone: str
    currency: str
    history_known: bool
    first_day: date
    last_day: date
    as_of: date


LOGS: dict[str, LogSet] = {
    "online_retail": LogSet(
        name="online_retail",
        licence="CC BY 4.0",
        citation=(
            "Chen, Sain & Guo (2012), Journal of Database Marketing & Customer Strategy Management 19(3), 197-208; "
            "UCI Machine Learning Repository, doi:10.24432/C5BW33"
        ),
        publisher="UCI Machine Learning Repository 352 (Daqing Chen, London South Bank University)",
        timezone="Europe/London",
        currency="GBP",
        history_known=False,
        first_day=date(2010, 12, 1),
        last_day=date(2011, 12, 9),
        as_of=date(2011, 12, 9),  # the log stops that day at 12:50, so the last full day is the one before
        columns=(
            "InvoiceNo",
            "StockCode",
            "Description",
            "Quantity",
            "InvoiceDate",
            "UnitPrice",
            "CustomerID",
            "Country",
        ),
        files=("Online Retail.xlsx", "online_retail.csv", "online_retail.parquet"),
        page="https://archive.ics.uci.edu/dataset/352/online+retail",
        url="https://archive.ics.uci.edu/static/public/352/online+retail.zip",
        sha256=None,  # the publisher repacks its archive, so the content decides
        fingerprint=Fingerprint(
            rows=541_909,
            quantity=5_176_450,
            amount=97_477_479_340,
            sha256="15d804ee26a682d3c3a4dc8c38c62381ad5db32940fbcbc3d6147b94acad8ed7",
        ),
    ),
    "cdnow": LogSet(
        name="cdnow",
        licence="published for research by Fader & Hardie, no licence stated; fetched from a copy in an MIT project",
        citation=(
            "Fader & Hardie (2001), Interfaces 31(3:2), S94-S107; "
            "Fader, Hardie & Lee (2005), Marketing Science 24(2), 275-284"
        ),
        publisher="CDNOW, by Fader & Hardie (brucehardie.com/datasets)",
        timezone="America/New_York",
        currency="USD",
        history_known=True,  # the cohort of all who bought for the first time in the first quarter of 1997
        first_day=date(1997, 1, 1),
        last_day=date(1998, 6, 30),
        as_of=date(1998, 7, 1),
        columns=("customer_id", "date", "quantity", "value"),
        files=("CDNOW_master.txt", "cdnow_master.csv", "master.parquet"),
        page="https://www.brucehardie.com/datasets/",
        url="https://raw.githubusercontent.com/CamDavidsonPilon/lifetimes/master/lifetimes/datasets/CDNOW_master.txt",
        sha256="eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef",
        fingerprint=Fingerprint(
            rows=69_659,
            quantity=167_881,
            amount=25_003_156_300,
            sha256="aee6abae63695428bd5db8f97b458c4c9da63f8914cbeccaf8d91ca1908c7a08",
        ),
    ),
}

SETS: dict[str, DataSet] = LOGS | {
    "online_shoppers": DataSet(
        name="online_shoppers",
        returns="sessions table",
        licence="CC BY 4.0",
        citation=(
            "Sakar, Polat, Katircioglu & Kastro (2019), Neural Computing & Applications 31, 6893-6908; "
            "UCI Machine Learning Repository, doi:10.24432/C5F88Q"
        ),
        publisher="UCI Machine Learning Repository 468 (C. Okan Sakar and Yomi Kastro)",
        columns=(
            *("Administrative", "Administrative_Duration", "Informational", "Informational_Duration"),
            *("ProductRelated", "ProductRelated_Duration", "BounceRates", "ExitRates", "PageValues", "SpecialDay"),
            *("Month", "OperatingSystems", "Browser", "Region", "TrafficType", "VisitorType", "Weekend", "Revenue"),
        ),
        files=("online_shoppers_intention.csv", "online_shoppers.parquet", "sessions.parquet"),
        page="https://archive.ics.uci.edu/dataset/468/online+shoppers+purchasing+intention+dataset",
        url="https://archive.ics.uci.edu/static/public/468/online+shoppers+purchasing+intention+dataset.zip",
        sha256=None,  # the publisher repacks its archive, so the content decides
        fingerprint=Fingerprint(rows=12_330, sha256="1e03bce22e10ae4275efdb44b7ebc7ca8b32a24194f631aa66ce7c1eef23efc9"),
    ),
    "hillstrom": DataSet(
        name="hillstrom",
        returns="table of Outcomes",
        licence="posted by the publisher for anyone to analyse, no licence stated",
        citation="Hillstrom (2008), The MineThatData E-Mail Analytics and Data Mining Challenge, 20 March 2008",
        publisher="Kevin Hillstrom, MineThatData",
        columns=(
            *("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel", "segment"),
            *("visit", "conversion", "spend"),
        ),
        files=(
            "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv",
            "hillstrom.csv",
            "email_test.parquet",
        ),
        page="https://blog.minethatdata.com/2008/03/minethatdata-e-mail-analytics-and-data.html",
        url=(
            "http://www.minethatdata.com/"
            "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"
        ),
        sha256=None,  # copies differ in their line ends, so the content decides
        fingerprint=Fingerprint(rows=64_000, sha256="5bf98e1254d7403ddcb25d591fdc4b649ca8355fae7930dbdf4e0864f4dd7ead"),
    ),
}

_TOLD: tuple[str, ...] = ("name", "returns", "rows", "licence", "citation", "publisher", "timezone", "currency")
_TOLD += ("history_known", "first_day", "last_day")


def available() -> pl.DataFrame:
    """Which public data sets can be loaded, and under which licence?

    Returns
    -------
    pl.DataFrame
        One row per set: name, returns (what `load` gives), rows, licence, citation, publisher, timezone,
        currency, history_known (is each customer's first order ever in the log?), first_day, last_day (local dates);
        null from timezone on where the set is no log.
    """
    return pl.DataFrame([{fact: getattr(one, fact, None) for fact in _TOLD} for one in SETS.values()])


def about(name: str) -> DataSet:
    """What is known of a data set: dates, clock, licence, files.

    Raises
    ------
    ValueError
        No set of this name; the message lists those there are.
    """
    choose("name", name, SETS)
    return SETS[name]


def home(folder: str | Path | None = None) -> Path:
    """The data folder: `folder`, or that of the project around the working folder, or else ./data.

    The project is the nearest ancestor (the working folder included) that has a `data` folder beside a `notebooks`
    folder or a pyproject.toml; so notebooks and the command line find the same files.
    """
    if folder is not None:
        return Path(folder).expanduser().absolute()
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / "data").is_dir() and ((place / "notebooks").is_dir() or (place / "pyproject.toml").is_file()):
            return place / "data"
    return here / "data"


def find(name: str, *, folder: str | Path | None = None) -> Path | None:
    """A set's file in the data folder (parquet before text before xlsx: the quickest to read), or None."""
    place = home(folder) / name
    there = {_plain(path): path for path in sorted(place.glob("*")) if path.is_file()}
    found = (there.get(_plain(Path(file))) for file in reversed(about(name).files))
    return next((path for path in found if path is not None), None)


def _plain(path: Path) -> str:
    """A file's name without capitals, blanks and signs: 'Online Retail.xlsx' is 'online_retail.xlsx'."""
    return "".join(letter for letter in path.name.lower() if letter.isalnum())
