"""A log in a Delta table, an Iceberg table or a database, each of them a real one."""

import os
import socket
import sqlite3
import subprocess
import uuid
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.contract import ContractError, read_events
from shoptoolkit.contract.connect import shown, without_password
from shoptoolkit.datasets import open_log
from shoptoolkit.report.cli import main

needs = import_module if os.environ.get("CI") else pytest.importorskip  # in CI nothing is skipped

LOG = pl.DataFrame(
    {
        "customer_id": [1, 2, 3, 4],
        "at": [datetime(2024, 3, day, 9, 0, 0, 123456) for day in (1, 2, 2, 3)],
        "event": ["view", "purchase", "purchase", "gift"],
        "price": pl.Series([None, Decimal("9.50"), Decimal("1234567.89"), None], dtype=pl.Decimal(12, 2)),
        "day": [datetime(2024, 3, day).date() for day in (1, 2, 2, 3)],
    }
)


def good(log: pl.DataFrame) -> pl.DataFrame:
    return read_events(log).good.sort("customer_id")


def is_the_log(checked, log: pl.DataFrame = LOG) -> None:
    """Whatever its way, the log is the same; the gift is set aside."""
    assert_frame_equal(checked.good.sort("customer_id").select(log.columns), good(log))
    assert checked.quarantined["event"].to_list() == ["gift"]
    assert checked.good["price"].to_list().count(1234567.89) == 1


# ---- Delta ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def delta(tmp_path):
    needs("deltalake")
    path = tmp_path / "delta"
    LOG.write_delta(path, delta_write_options={"partition_by": ["day"]})
    return path


def test_a_delta_table_is_read_by_its_folder_or_as_an_object(delta):
    from deltalake import DeltaTable

    for source in (delta, str(delta), DeltaTable(str(delta))):
        is_the_log(read_events(source))
    assert shown(DeltaTable(str(delta))).rstrip("/").endswith("/delta")


def test_rows_that_a_delta_table_no_longer_holds_are_not_read(delta):
    from deltalake import DeltaTable

    table = DeltaTable(str(delta))
    table.update(predicate="customer_id = 2", updates={"price": "CAST(1.25 AS DECIMAL(12, 2))"})
    table.delete("customer_id = 1")
    assert len(list(delta.glob("**/*.parquet"))) > 3  # the old files are still there
    checked = read_events(delta)
    assert sorted(checked.good.select("customer_id", "price").rows()) == [(2, 1.25), (3, 1234567.89)]
    with pytest.raises(
        ContractError, match=r"files of the Delta table '.*delta', where old rows lie.*Pass the table's"
    ):
        read_events(f"{delta}/**/*.parquet")


def test_notebooks_and_the_command_line_open_a_delta_table_as_well(delta, tmp_path):
    log = open_log(str(delta), as_of="2024-03-04")
    assert (log.name, len(log.checked.good)) == ("delta", 3)
    assert main(["check", str(delta), "--out", str(tmp_path / "pages")]) == 0
    assert (tmp_path / "pages" / "check_delta.html").exists()


def test_a_folder_that_is_no_delta_table_or_a_broken_one_is_told(tmp_path):
    needs("deltalake")
    with pytest.raises(
        ContractError, match=r"a folder; name its files by a glob.*It is no Delta table, as it has no _delta"
    ):
        read_events(tmp_path)
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(ContractError, match=f"source is '{tmp_path}', no Delta table that can be read: ."):
        read_events(tmp_path)


def test_a_delta_table_without_rows_is_told(tmp_path):
    needs("deltalake")
    LOG.clear().write_delta(tmp_path / "none")
    with pytest.raises(ContractError, match=r"events: 0 rows in .*none; its columns are customer_id, at, event"):
        read_events(tmp_path / "none")


# ---- Iceberg --------------------------------------------------------------------------------------------------------


@pytest.fixture
def catalog(tmp_path):
    sql = needs("pyiceberg.catalog.sql")
    made = sql.SqlCatalog("here", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/lake")
    made.create_namespace("shop")
    yield made
    made.close()


@pytest.fixture
def iceberg(catalog):
    rows = LOG.to_arrow()
    table = catalog.create_table("shop.events", schema=rows.schema)
    table.append(rows)
    return table


def test_an_iceberg_table_is_read_as_an_object_or_by_its_metadata(iceberg, tmp_path, monkeypatch):
    path = iceberg.metadata_location.removeprefix("file://")
    monkeypatch.chdir(tmp_path)
    for source in (iceberg, iceberg.metadata_location, path, os.path.relpath(path)):
        is_the_log(read_events(source))
    assert shown(iceberg).endswith("shop.events")


def test_a_catalog_or_a_scan_is_no_table(catalog, iceberg):
    for source in (catalog, iceberg.scan()):
        with pytest.raises(TypeError, match=f"a frame is needed, got {type(source).__name__}"):
            read_events(source)


def test_rows_that_an_iceberg_table_no_longer_holds_are_not_read(iceberg):
    iceberg.delete("customer_id = 2")
    assert sorted(read_events(iceberg).good["customer_id"]) == [1, 3]


def test_no_warning_of_a_planner_that_was_not_asked_for(iceberg, recwarn):
    read_events(iceberg)
    assert [str(one.message) for one in recwarn if "polars_iceberg" in str(one.message)] == []


def test_ids_that_are_uuids_and_times_with_a_zone_come_from_iceberg_as_what_they_are(catalog):
    one = uuid.UUID("8b2b9b1a-6f0c-4c8e-9d4f-0123456789ab")
    rows = pa.table(
        {
            "customer_id": pa.array([one.bytes, None], pa.uuid()),
            "at": pa.array([datetime(2024, 3, 1), datetime(2024, 3, 2)], pa.timestamp("us", "UTC")),
            "event": ["view", "view"],
        }
    )
    table = catalog.create_table("shop.uuids", schema=rows.schema)
    table.append(rows)
    checked = read_events(table, timezone="Europe/Berlin")
    assert checked.good.select("customer_id", "at").rows() == [(str(one), datetime(2024, 3, 1))]
    assert checked.quarantined["reason"].to_list() == ["customer_id is null"]


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_metadata_that_is_none_is_told(tmp_path, content):
    needs("pyiceberg")
    path = tmp_path / "v1.metadata.json"
    if content:
        path.write_text(content)
    with pytest.raises(ContractError, match=f"source is '{path}', no Iceberg table that can be read: "):
        read_events(path)


# ---- bytes ----------------------------------------------------------------------------------------------------------


def test_text_that_older_parquet_has_as_bytes_is_read(tmp_path):
    log = LOG.select(
        pl.col("customer_id").cast(pl.String).cast(pl.Binary), "at", pl.col("event").cast(pl.Binary), "price"
    )
    log.write_parquet(tmp_path / "old.parquet")
    checked = read_events(tmp_path / "old.parquet")
    assert checked.good.select("customer_id", "event").rows() == [("1", "view"), ("2", "purchase"), ("3", "purchase")]
    assert checked.quarantined["event"].to_list() == [b"gift"]  # as given


def test_bytes_that_are_neither_text_nor_uuids_are_refused():
    log = LOG.with_columns(customer_id=pl.lit(b"\xff\xfe"))
    with pytest.raises(ContractError, match="'customer_id' is Binary, must be an integer below 2"):
        read_events(log)


# ---- SQLite ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def sqlite(tmp_path):
    needs("connectorx")
    with sqlite3.connect(tmp_path / "shop.db") as made:
        made.execute("CREATE TABLE events (customer_id INTEGER, at TEXT, event TEXT, price REAL)")
        rows = ((c, str(a), e, p and float(p)) for c, a, e, p in LOG.drop("day").iter_rows())
        made.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    made.close()
    return f"sqlite://{tmp_path}/shop.db"


def test_a_table_or_a_query_of_sqlite_is_read(sqlite):
    for query in ("events", " events\n", "events;", '"events"', "SELECT * FROM events;", "SELECT * FROM events -- all"):
        is_the_log(read_events(sqlite, query=query), LOG.drop("day"))
    assert len(read_events(sqlite, query="SELECT * FROM events WHERE customer_id = 1").good) == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (None, r"a database, and query is None; say what to read: query='events', a table, or query='SELECT"),
        (5, r"a database, and query is 5; say what"),
        ("  ", r"a database, and query is '  '; say what"),
        ("carts", r"query is 'carts': no such table: carts"),
        ("SELECT * FORM events", r"query is 'SELECT \* FORM events': near .FORM.: syntax error"),
        ("SELEC *", r"query is .SELEC \*.; it must be the name of a table \(an odd one in quotes, .*\) or a SELECT"),
        ("/* all */ DELETE FROM events RETURNING *", r"; it must be the name of a table .* or a SELECT"),
        ("SELECT * FROM events WHERE 1 = 0", r"events: 0 rows in sqlite:///.*shop.db; its columns are customer_id"),
        ("SELECT at AS ts FROM events", r"events: 'customer_id' is missing; 'at' is missing.*It has: ts"),
    ],
)
def test_what_a_database_cannot_give_is_told(sqlite, query, said):
    with pytest.raises(ContractError, match=said):
        read_events(sqlite, query=query)


def test_nothing_but_a_select_is_run(sqlite):
    for query in ("DROP TABLE events", "DELETE FROM events RETURNING *", "-- x\nDROP TABLE events"):
        with pytest.raises(ContractError, match=r"; it must be the name of a table .* or a SELECT"):
            read_events(sqlite, query=query)
    assert len(read_events(sqlite, query="-- all\n/* of */ SELECT * FROM events").good) == 3


def test_a_sqlite_file_that_is_not_there_is_told_and_not_made(tmp_path):
    needs("connectorx")
    with pytest.raises(ContractError, match=r"nothing.db': no such file. Write its path after sqlite://"):
        read_events(f"sqlite://{tmp_path}/nothing.db", query="events")
    assert not (tmp_path / "nothing.db").exists()


def test_columns_of_a_database_that_are_not_there_are_named(sqlite):
    with pytest.raises(ContractError, match=r"columns names 'user', not in the log; .*It has: customer_id, at, event"):
        read_events(sqlite, query="events", columns={"user": "customer_id"})


@pytest.mark.parametrize("source", [LOG, "log.csv", "table.metadata.json"])
def test_a_query_without_a_database_is_refused(source):
    with pytest.raises(ContractError, match=r"query is 'events', and source '.*' is no database; leave query out"):
        read_events(source, query="events")


def test_the_address_of_a_cloud_is_told_what_to_pass_instead():
    with pytest.raises(
        ContractError, match=r"'s3://bucket/log.parquet'; of addresses, those of databases.*scan_parquet"
    ):
        read_events("s3://bucket/log.parquet")


@pytest.mark.parametrize(("module", "extra"), [("deltalake", "lake"), ("pyiceberg", "lake"), ("connectorx", "sql")])
def test_a_missing_extra_is_told_with_its_command(module, extra, tmp_path, monkeypatch):
    (tmp_path / "_delta_log").mkdir()
    sources = {"deltalake": tmp_path, "pyiceberg": "a.metadata.json", "connectorx": "sqlite:///a.db"}
    monkeypatch.setattr("shoptoolkit.contract.connect.find_spec", lambda name: None if name == module else name)
    with pytest.raises(
        ContractError, match=rf"needs {module}, which is not here: pip install 'shoptoolkit\[{extra}\]'"
    ):
        read_events(sources[module])


# ---- passwords ------------------------------------------------------------------------------------------------------

SECRET = "hush"
ADDRESSES = [
    f"postgresql://shop:{SECRET}@127.0.0.1:{{port}}/shop",
    f"postgresql://127.0.0.1:{{port}}/shop?user=shop&password={SECRET}",
    f"mysql://shop:{SECRET}@127.0.0.1:{{port}}/shop",
    f"postgresql://shop:{SECRET}/{SECRET}@127.0.0.1:{{port}}/shop",  # what should have been escaped
    f"postgresql://shop:{SECRET}@{SECRET}@127.0.0.1:{{port}}/shop",
    f"postgresql://shop:1?{SECRET}@127.0.0.1:x/shop",
    f"oracle://shop:{SECRET}@127.0.0.1/shop",
]


@pytest.fixture
def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]  # bound, and nobody listens


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_is_in_no_error(address, closed_port):
    address = address.format(port=closed_port)
    assert SECRET not in without_password(f"a {address!r} b") + shown(address)
    with pytest.raises(ContractError) as told:
        read_events(address, query="events")
    chain = [told.value, told.value.__cause__]
    assert SECRET not in "".join(map(repr, chain))


@pytest.mark.parametrize(
    "address",
    [
        Path(f"postgresql://shop:{SECRET}@127.0.0.1/shop"),  # a path has one slash
        f"postgresql:/shop:{SECRET}@127.0.0.1/shop",
        f"jdbc:mysql:shop:{SECRET}@127.0.0.1",
        f"host=127.0.0.1 user=shop password={SECRET}",
        f"Server=127.0.0.1;User=shop;Pwd={SECRET};",
    ],
)
@pytest.mark.parametrize("query", [None, "events"])
def test_what_is_nearly_an_address_is_not_shown(address, query):
    with pytest.raises(
        ContractError, match="source looks like the address of a database, and is none: write it"
    ) as told:
        read_events(address, query=query)
    assert SECRET not in repr(told.value)


def test_a_port_that_cannot_be_is_told():
    needs("connectorx")
    with pytest.raises(ContractError, match=r"'postgresql://127.0.0.1:99999/shop', where no server answers: .*65535"):
        read_events("postgresql://127.0.0.1:99999/shop", query="events")


def test_an_address_that_cannot_be_read_is_told_how_to_write_its_password():
    needs("connectorx")
    said = (
        r"'postgresql://...', which cannot be read as postgresql://user:.*Write the signs @ / \? # of a password as %40"
    )
    with pytest.raises(ContractError, match=said):
        read_events("postgresql://shop:p@ss/word@server/shop", query="events")


def test_a_server_that_is_down_is_told_at_once(closed_port):
    needs("connectorx")
    with pytest.raises(
        ContractError, match=rf"'postgresql://127.0.0.1:{closed_port}/shop', where no server answers: .*refused"
    ):
        read_events(f"postgresql://shop:{SECRET}@127.0.0.1:{closed_port}/shop", query="events")


def test_a_password_is_in_no_page_and_no_line_to_paste():
    text = f'dataset = "postgresql://shop:{SECRET}@h/db" and https://host:8080/path; a@b'
    assert without_password(text) == 'dataset = "postgresql://shop:***@h/db" and https://host:8080/path; a@b'
    assert (
        without_password(f"postgresql:///db?user=a&password={SECRET}&x=1") == "postgresql:///db?user=a&password=***&x=1"
    )


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------

MAKE = """
CREATE TYPE kind AS ENUM ('view', 'purchase', 'gift');
CREATE TABLE {0} (customer_id numeric(12), at timestamptz, event kind, price numeric(12, 2), day date,
                  order_id uuid, quantity smallint, watch_seconds real, paid money);
INSERT INTO {0} VALUES
(1, '2024-03-01 10:00:00.123456+01', 'view', NULL, '2024-03-01', NULL, NULL, 1.5, NULL),
(2, '2024-03-02 10:00:00.123456+01', 'purchase', 9.50, '2024-03-02', '8b2b9b1a-6f0c-4c8e-9d4f-0123456789ab', 1, 2, 9),
(3, '2024-03-02 10:00:00.123456+01', 'purchase', 1234567.89, '2024-03-02', NULL, 2, NULL, NULL),
(4, '2024-03-03 10:00:00.123456+01', 'gift', NULL, '2024-03-03', NULL, NULL, NULL, NULL);
"""
KNOWN = "SELECT customer_id, at, event, price, day, order_id, quantity, watch_seconds FROM {0}"


@pytest.fixture(scope="module")
def postgres():
    """Give the address of a server and, in it, the name of a schema of our own."""
    address = os.environ.get("SHOPTOOLKIT_TEST_POSTGRES")
    if not address:
        why = "needs SHOPTOOLKIT_TEST_POSTGRES, the address of a PostgreSQL server to make tables in (.ci/run has one)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    needs("connectorx")
    schema = f"s{uuid.uuid4().hex[:12]}"
    tell(address, f"CREATE SCHEMA {schema}; SET search_path TO {schema}; {MAKE.format('events')}")
    yield address, schema
    tell(address, f"DROP SCHEMA {schema} CASCADE")


def tell(address: str, sql: str) -> None:
    subprocess.run(["psql", address, "-q", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True, capture_output=True)


def test_a_query_of_postgresql_is_read_with_its_types(postgres):
    address, schema = postgres
    checked = read_events(address, query=KNOWN.format(f"{schema}.events"))
    is_the_log(checked)
    assert checked.good.schema["customer_id"] == pl.Int64
    known = checked.good.filter(customer_id=2).select("order_id", "quantity").row(0)
    assert known == ("8b2b9b1a-6f0c-4c8e-9d4f-0123456789ab", 1)


def test_a_table_of_postgresql_is_read_by_its_name(postgres):
    address, schema = postgres
    tell(address, f"CREATE VIEW {schema}.plain AS {KNOWN.format(f'{schema}.events')}")
    is_the_log(read_events(address, query=f"{schema}.plain"))


def test_days_of_postgresql_begin_where_the_shop_is(postgres):
    address, schema = postgres
    query = f"SELECT customer_id, event, day AS at FROM {schema}.events WHERE customer_id = 1"
    assert read_events(address, query=query, timezone="Asia/Tokyo").good["at"].to_list() == [datetime(2024, 2, 29, 15)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("nowhere", "query is 'nowhere': db error: ERROR: relation \"nowhere\" does not exist"),
        ("SELECT 1 FORM x", 'ERROR: syntax error at or near "x"'),
        ("SELECT 1 / 0 AS at", "ERROR: division by zero"),
        ("SELECT paid FROM {0}.events", "not implemented: money"),
        ("SELECT 1 AS customer_id WHERE false", "events: 0 rows in postgresql://"),
        ("SELECT 1 AS user_id", "'customer_id' is missing.*If 'user_id' is your 'customer_id'"),
    ],
)
def test_what_postgresql_cannot_give_is_told_without_the_password(postgres, query, said):
    address, schema = postgres
    with pytest.raises(ContractError, match=said) as told:
        read_events(address, query=query.format(schema))
    assert "hush" not in str(told.value)


def test_a_password_may_lie_in_the_environment(postgres, monkeypatch):
    address, schema = postgres
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    kept = address.replace(f":{SECRET}@", ":$SHOP_PASSWORD@")
    assert kept != address
    is_the_log(read_events(kept, query=KNOWN.format(f"{schema}.events")))


def test_notebooks_and_the_command_line_open_a_database_as_well(postgres, tmp_path, capsys):
    address, schema = postgres
    query = KNOWN.format(f"{schema}.events")
    log = open_log(address, query=query, as_of="2024-03-04")
    assert log.name == address.rpartition("/")[2]
    assert SECRET not in f"{log!r}{log._repr_html_()}"
    assert main(["check", address, "--query", query, "--out", str(tmp_path)]) == 0
    pages = "".join(path.read_text() for path in tmp_path.iterdir())
    said = capsys.readouterr().out
    assert SECRET not in pages + said
    assert "query = " in pages
    assert main(["check", address, "--out", str(tmp_path)]) == 2
    assert "say what to read: query='events'" in capsys.readouterr().err
