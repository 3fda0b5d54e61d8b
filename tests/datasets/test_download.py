"""Downloads against a server on this machine that fails in every way we know."""

import hashlib
import io
import socket
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest

from shoptoolkit.datasets import DownloadError, about, download, fetch, load
from shoptoolkit.datasets import __main__ as command
from shoptoolkit.datasets.registry import SETS

CONTENT = b"".join(b"%05d 19970101  1   11.77\r\n" % number for number in range(4000))


class Publisher(ThreadingHTTPServer):
    """Serves `content`; can it resume (`ranges`); per request, when it hangs up (`cuts`) or what it answers."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.ranges, self.cuts, self.statuses, self.asked = CONTENT, True, [], [], []

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is no fault here


class Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        status = server.statuses.pop(0) if server.statuses else 200
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(server.content):
            status = 416
        body = server.content[start:] if status == 200 else b""
        self.send_response(206 if start and body else status)
        if start and body:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def publisher(monkeypatch):
    server = Publisher()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    offer(monkeypatch, "cdnow", f"{address}/CDNOW_master.txt", CONTENT)
    offer(monkeypatch, "online_retail", f"{address}/online+retail.zip", None)
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def offer(monkeypatch, name, url, content):
    sha256 = None if content is None else hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(SETS, name, replace(about(name), url=url, sha256=sha256))


def leave_part(folder, content):
    (folder / "cdnow").mkdir()
    (folder / "cdnow" / "CDNOW_master.txt.part").write_bytes(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_good_download_is_made_once(publisher, tmp_path):
    path = fetch("cdnow", folder=tmp_path)
    assert path.read_bytes() == CONTENT
    assert fetch("cdnow", folder=tmp_path) == path
    assert publisher.asked == [None]
    assert names(tmp_path / "cdnow") == ["CDNOW_master.txt"]


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(publisher, tmp_path):
    publisher.cuts = [50_000, 30_000]
    assert fetch("cdnow", folder=tmp_path).read_bytes() == CONTENT
    first, second, third = publisher.asked
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in (second, third)]
    assert first is None
    assert 0 < starts[0] <= 50_000 < starts[1] <= 80_000


def test_what_an_earlier_session_left_half_done_is_finished(publisher, tmp_path):
    leave_part(tmp_path, CONTENT[:10_000])
    assert fetch("cdnow", folder=tmp_path).read_bytes() == CONTENT
    assert publisher.asked == ["bytes=10000-"]
    assert names(tmp_path / "cdnow") == ["CDNOW_master.txt"]


def test_a_server_that_cannot_resume_sends_all_of_it_again(publisher, tmp_path):
    publisher.ranges = False
    leave_part(tmp_path, CONTENT[:10_000])
    assert fetch("cdnow", folder=tmp_path).read_bytes() == CONTENT
    assert publisher.asked == ["bytes=10000-"]


@pytest.mark.parametrize("rotten", [CONTENT + b"more", CONTENT, b"something else", b"x" * len(CONTENT)])
def test_a_rotten_beginning_is_thrown_away(publisher, tmp_path, rotten):
    leave_part(tmp_path, rotten)
    assert fetch("cdnow", folder=tmp_path).read_bytes() == CONTENT
    assert publisher.asked[-1] is None


def test_half_a_file_is_never_taken_for_the_whole(publisher, tmp_path):
    publisher.ranges, publisher.cuts = False, [len(CONTENT) // 2] * 3
    with pytest.raises(DownloadError, match="the transfer broke off before its end"):
        fetch("cdnow", folder=tmp_path)
    assert names(tmp_path / "cdnow") == ["CDNOW_master.txt.part"]
    assert len(publisher.asked) == 3


def test_a_file_with_the_wrong_hash_is_not_kept(publisher, tmp_path):
    publisher.content = CONTENT.replace(b"11.77", b"11.78")
    with pytest.raises(DownloadError, match=r"what 127.0.0.1:\d+ sent is not the published file \(SHA256 hash"):
        fetch("cdnow", folder=tmp_path)
    assert names(tmp_path / "cdnow") == []
    assert publisher.asked == [None]


def test_a_page_that_is_gone_is_asked_for_once(publisher, tmp_path):
    publisher.statuses = [404]
    with pytest.raises(DownloadError, match=r"127.0.0.1:\d+ answered 404 Not Found"):
        fetch("cdnow", folder=tmp_path)
    assert len(publisher.asked) == 1


def test_a_server_with_a_bad_moment_is_asked_again(publisher, tmp_path):
    publisher.statuses = [503, 503]
    assert fetch("cdnow", folder=tmp_path).read_bytes() == CONTENT
    publisher.statuses = [503] * 3
    with pytest.raises(DownloadError, match="answered 503 Service Unavailable"):
        fetch("cdnow", folder=tmp_path / "other")


def test_without_a_network_we_are_told_what_to_put_where(monkeypatch, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        port = closed.getsockname()[1]
        offer(monkeypatch, "online_retail", f"http://127.0.0.1:{port}/online+retail.zip", None)
        with pytest.raises(DownloadError) as told:
            load("online_retail", folder=tmp_path)
    message = str(told.value)
    assert f"online_retail could not be fetched from http://127.0.0.1:{port}/online+retail.zip" in message
    assert f": no connection to 127.0.0.1:{port}. Try again later" in message
    assert (
        f"https://archive.ics.uci.edu/dataset/352/online+retail, and put 'Online Retail.xlsx' into {tmp_path}"
        in message
    )
    assert "'online_retail.csv' and 'online_retail.parquet' with the columns InvoiceNo, StockCode, Desc" in message


def test_a_folder_that_cannot_be_written_is_told(publisher, tmp_path):
    (tmp_path / "cdnow").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"cdnow could not be fetched from .*: (FileExists|NotADirectory)"):
        fetch("cdnow", folder=tmp_path)


def test_the_workbook_is_taken_out_of_its_archive_by_name_alone(publisher, tmp_path):
    publisher.content = zipped(**{"../../Online Retail.xlsx": b"a workbook", "readme.txt": b""})
    path = fetch("online_retail", folder=tmp_path / "data")
    assert path == tmp_path / "data" / "online_retail" / "Online Retail.xlsx"
    assert path.read_bytes() == b"a workbook"
    assert fetch("online_retail", folder=tmp_path / "data") == path
    assert publisher.asked == [None]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["Online Retail.xlsx"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>We are moving</html>", "File is not a zip file"),
        (zipped(**{"readme.txt": b""}), "the archive has no 'Online Retail.xlsx'; it has readme.txt"),
    ],
)
def test_an_archive_that_is_none_is_not_kept(publisher, tmp_path, content, told):
    publisher.content = content
    with pytest.raises(DownloadError, match=f"sent is not the published file .*{told}"):
        fetch("online_retail", folder=tmp_path)
    assert names(tmp_path / "online_retail") == []


def test_an_archive_put_there_by_hand_is_unpacked_and_kept(publisher, tmp_path):
    (tmp_path / "online_retail").mkdir()
    (tmp_path / "online_retail" / "online+retail.zip").write_bytes(zipped(**{"Online Retail.xlsx": b"a workbook"}))
    assert fetch("online_retail", folder=tmp_path).read_bytes() == b"a workbook"
    assert publisher.asked == []
    assert len(names(tmp_path / "online_retail")) == 2


@pytest.mark.reference
def test_make_data_fetches_checks_and_says_what_is_missing(public_data, publisher, monkeypatch, tmp_path, capsys):
    raw = pl.read_parquet(public_data("cdnow/master.parquet"))
    rows = "".join(f"{a} {b:%Y%m%d} {c} {d:.2f}\n" for a, b, c, d in raw.iter_rows())
    publisher.content = rows.encode()
    monkeypatch.setitem(SETS, "cdnow", replace(about("cdnow"), sha256=hashlib.sha256(rows.encode()).hexdigest()))
    monkeypatch.setattr(command, "SETS", {name: about(name) for name in ("online_retail", "cdnow")})
    monkeypatch.chdir(tmp_path)
    assert command.main() == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("online_retail: FAILED. online_retail could not be fetched from http://127.0.0.1")
    assert "not the published file (File is not a zip file)" in first
    assert second == f"cdnow: ok, 69,659 rows, {tmp_path / 'data' / 'cdnow' / 'CDNOW_master.txt'}"
    monkeypatch.setattr(command, "SETS", {"cdnow": about("cdnow")})
    publisher.asked.clear()
    assert command.main() == 0  # and the second time nothing is fetched
    assert publisher.asked == []
