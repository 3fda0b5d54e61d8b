"""`shoptoolkit check`: whatever a file holds, its owner is told what is made of it, and nothing in it is run."""

import gzip
import json
import shlex
from pathlib import Path

import polars as pl
import pytest
from bs4 import BeautifulSoup
from check_reports import network_requests

from shoptoolkit.report.check_file import plain
from shoptoolkit.report.cli import main

OURS = "customer_id,at,event,price\n"
GOOD = OURS + "1,2024-01-01 10:00:00,purchase,5.5\n2,2024-01-02 11:00:00,view,\n"
THEIRS = "user_id,ts,event_type,amount\n" + "".join(
    f"{i % 20},2024-01-{i % 28 + 1:02d} 10:{i % 60:02d},{('buy', 'pageview', 'dance')[i % 3]},{i}.5\n"
    for i in range(90)
)


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Run the command on a text or bytes of a file: status, lines of the terminal, page."""
    monkeypatch.chdir(tmp_path)

    def run(content: str | bytes, *words: str, name: str = "log.csv") -> tuple[int, str, str]:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        status = main(["check", name, *words])
        page = Path("reports/check_log.html")
        return status, capsys.readouterr().out, page.read_text(encoding="utf-8") if page.exists() else ""

    return run


def test_a_clean_log_is_understood(check):
    status, told, page = check(GOOD)
    assert status == 0
    assert "every row of it is good" in told
    assert "every row of it is good" in page
    assert not Path("reports/check_log_quarantine.csv").exists()


def test_rows_set_aside_are_told_and_written_with_reason_and_row(check):
    status, told, page = check(f"{GOOD}3,2024-01-03,dance,\n=1+1,never,view,-5\n")
    assert status == 0
    assert "2 of 4 rows are set aside" in told
    assert "1 quarantined: event is none of" in told
    assert "event is none of" in page
    rows = pl.read_csv("reports/check_log_quarantine.csv", infer_schema=False)
    assert rows["row"].to_list() == ["2", "3"]
    assert "cannot be read as a time" in rows["reason"][1]
    assert rows["customer_id"][1] == "'=1+1", "a spreadsheet must not run it"
    assert rows["price"][1] == "-5", "a number stays a number"
    check(GOOD)
    assert not Path("reports/check_log_quarantine.csv").exists(), "the last run's file goes"


def test_other_names_are_refused_guessed_and_ready_to_paste(check):
    status, told, page = check(THEIRS)
    assert status == 1
    assert "'customer_id' is missing" in told
    assert "if the guess is right" in told
    assert "if the guess is right" in page
    again = next(line for line in told.splitlines() if line.strip().startswith("shoptoolkit check"))
    words = shlex.split(again)
    assert json.loads(words[words.index("--kinds") + 1]) == {"buy": "purchase", "pageview": "view"}
    status, told, _ = check(THEIRS, *words[3:])
    assert status == 0
    assert "30 of 90 rows are set aside" in told
    assert "dance                           ?" in told
    assert '-p \'columns={"user_id": "customer_id"' in told


def test_a_list_of_orders_gets_code_that_makes_it_readable(check, tmp_path):
    lines = "".join(f"C{i % 7},{i % 28 + 1}.01.2024,{-1 if i % 10 == 0 else 2},{i},9\n" for i in range(60))
    status, told, page = check("client,date,qty,unit_price,day\n" + lines)
    assert status == 1
    assert "a refund where 'qty' is below zero" in told
    code = BeautifulSoup(page, "html.parser").select("#paste pre")[0].get_text()
    exec(compile(code, "pasted", "exec"), {})
    made = tmp_path / "log_events.parquet"
    assert main(["check", str(made)]) == 0
    events = pl.read_parquet(made)
    assert events["event"].value_counts(sort=True).rows() == [("purchase", 54), ("refund", 6)]
    assert f"{len(events)}" in told


@pytest.mark.parametrize(("name", "suffix"), [("s", 1), ("ms", 1000), ("us", 10**6)])
def test_counts_since_1970_are_recognised(check, name, suffix):
    rows = "".join(f"u{i % 5},{(1704100000 + i) * suffix},view\n" for i in range(50))
    status, told, _ = check("user_id,ts,event\n" + rows)
    assert status == 1
    assert f"pass datetime_format='{name}'" in told
    assert "2024-01-01 09:06 UTC" in told
    words = ["--columns", '{"user_id": "customer_id", "ts": "at"}', "--datetime-format", name]
    assert check("user_id,ts,event\n" + rows, *words)[0] == 0


BROKEN = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "header only": (OURS, "0 rows"),
    "no header": ("1,2024-01-01,purchase,5\n2,2024-01-02,view,7\n", "looks like data"),
    "no header, twice the same": ("1,2024-01-01,1,5\n2,2024-01-02,1,6\n", "looks like data"),
    "rubbish": (bytes(range(256)) * 40, "binary file"),
    "another separator": (GOOD.replace(",", "^"), "separate the columns by"),
    "both day and month first": ("user,ts,type\n1,01/02/2024,buy\n2,03/04/2024,buy\n", "the day may come first"),
    "with and without a zone": ("user,ts,type\n1,2024-01-01T10:00Z,buy\n2,2024-01-01 10:00,buy\n", "mixes timestamps"),
    "a name twice": ("user,ts,ts\n1,2024-01-01,2024-01-01\n", "more than once"),
    "too many values": (f"{GOOD}1,2,3,4,5,6\n", "line 4 has 6 values"),
    "all rows bad": (OURS + "1,2024-01-01,dance,5\n" * 9, "No row of log.csv is good"),
    "nothing of a shop": ("x,y\nfoo,bar\n", "'customer_id' is missing"),
    "a workbook": (b"PK\x03\x04xxxx", "an Excel workbook"),
    "half a gzip": (gzip.compress(GOOD.encode() * 99)[:40], "cannot be unpacked"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_told_with_its_mend(check, content, said):
    status, told, page = check(content)
    assert status == 1
    assert said in told
    assert said in BeautifulSoup(page, "html.parser").get_text()


FINE = {
    "one row": ("user,ts,type,price\n1,2024-01-01 10:00:00,buy,5\n", "Good rows: 1"),
    "latin-1": ("user,ts,type,price,city\n1,2024-01-01,buy,5,Zürich\n".encode("latin-1"), "Zürich"),
    "decimal commas": ("user;ts;type;price\n1;31.12.2023;buy;18,81\n2;30.12.2023;buy;1.234,50\n", "Good rows: 2"),
    "two formats of dates": ("user,ts,type\n" + "1,2024-01-05,view\n2,15/01/2024,view\n" * 5, "Good rows: 10"),
    "UTF-16": ("user\tts\ttype\tprice\n1\t2024-01-01\tbuy\t5\n".encode("utf-16"), "Good rows: 1"),
}


@pytest.mark.parametrize(("content", "said"), FINE.values(), ids=FINE)
def test_an_odd_file_is_understood_by_the_guess(check, content, said):
    status, told, _ = check(content)
    assert status == 1, "the guess is shown, and not taken for told"
    assert "with the guesses below it is" in told
    assert said in told


def test_lists_and_records_go_to_a_parquet_quarantine(check):
    row = {"customer_id": "a", "at": "2024-01-01T10:00:00Z", "tags": ["x"], "meta": {"y": 1}}
    lines = [json.dumps(row | {"event": kind}) for kind in ("view", "dance")]
    assert check("\n".join(lines), name="log.jsonl")[0] == 0
    assert pl.read_parquet("reports/check_log_quarantine.parquet")["tags"].to_list() == [["x"]]


def test_a_glob_is_one_log_and_the_check_sees_every_row(check, capsys):
    many = OURS + "1,2024-01-01,view,\n" * 30_000
    for name in ("part1.csv", "part2.csv"):
        check(f"{many}1,2024-01-01,dance,\n", name=name)
    assert main(["check", "part*.csv"]) == 0
    told = capsys.readouterr().out
    assert "2 files" in told
    assert "2 of 60,002 rows are set aside" in told


@pytest.mark.parametrize(
    "words",
    [
        ["nowhere.csv"],
        ["."],
        ["log.csv", "--columns", "user"],
        ["log.csv", "--columns", '{"user": 1}'],
        ["log.csv", "--kinds", '{"buy": "bought"}'],
        ["log.csv", "--clock", "Europe/Nowhere"],
        ["log.csv", "--out", "log.csv"],
        [],
    ],
)
def test_a_wrong_command_is_2_and_writes_nothing(check, words, capsys):
    Path("log.csv").write_text(GOOD)
    assert main(["check", *words]) == 2
    assert capsys.readouterr().err
    assert not Path("reports").exists()


EVIL = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><iframe src="javascript:alert(1)">',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</pre></code></style><h1>x",
    "<!--",
    "=HYPERLINK('http://x')",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
    "a\rb\x00c".replace("\x00", "\x7f"),
    "x" * 10_000,
    "';rm -rf $HOME;'`id`",
]


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_nothing_in_the_file_is_run_or_reaches_the_terminal_raw(check, evil):
    row = {f"{evil} {i}": evil for i in range(3)} | {"customer_id": evil, "at": "2024-01-01", "event": evil}
    status, told, page = check("\n".join(map(json.dumps, [row, row | {"event": "view"}])), name="log.jsonl")
    assert status == 0
    assert all(line.isprintable() for line in told.splitlines())
    soup = BeautifulSoup(page, "html.parser")
    assert len(soup.find_all("script")) == 1
    assert not soup.find_all(["img", "iframe"])
    assert not [name for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert network_requests(page) == []
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_plain_text_is_one_short_line():
    assert plain("a\nb\u202ec\ud800") == r"a\nb\u202ec\ud800"
    assert len(plain("x" * 1000)) == 400


@pytest.mark.reference
def test_online_retail_as_it_is_published(check, public_data, tmp_path):
    path = public_data("online_retail/online_retail.parquet")
    pl.read_parquet(path).write_csv("log.csv", datetime_format="%m/%d/%Y %H:%M")
    status, told, _ = check(Path("log.csv").read_bytes())
    assert status == 1, "no column tells purchases from returns"
    for said in ("Customers: 4,372", "135,080 quarantined: customer_id is null", "where 'Quantity' is below zero"):
        assert said in told


@pytest.mark.reference
def test_cdnow_amounts_are_of_a_line(check, public_data):
    pl.read_parquet(public_data("cdnow/master.parquet")).write_csv("log.csv")
    _, told, page = check(Path("log.csv").read_bytes())
    assert "Customers: 23,570" in told
    assert '"quantity": "pieces"' in told
    assert "may be the total of a line" in page


def test_a_parquet_file_so_damaged_that_polars_panics_is_told(check, monkeypatch):
    def panic(*_, **__):
        raise pl.exceptions.PanicException("called unwrap on None")

    monkeypatch.setattr(pl, "read_parquet", panic)
    status, told, _ = check(b"PAR1xxxxPAR1", name="log.parquet")
    assert status == 1
    assert "log.parquet cannot be read as parquet" in told
