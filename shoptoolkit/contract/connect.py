"""A log that lies in a table or a database: Delta, Iceberg, SQL. Polars reads it; here its words become ours.

In: the source of `read_events`, and for a database a query. Out: `kind_of` (which of the three, if any), `read_table`
(its rows), `without_password` (any text that may hold an address, fit to be shown), `shown` (a source, the same).
"""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl

from shoptoolkit.contract.schemas import ContractError

_NEEDS = {
    "Delta table": ("deltalake", "lake"),
    "Iceberg table": ("pyiceberg", "lake"),
    "database": ("connectorx", "sql"),
}
_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433, "sqlite": 0}
_ADDRESS = re.compile(
    r"(?P<scheme>\w+)://([^/@:?#\s]*(:[^/@?#\s]*)?@)?(?P<rest>[^/@:?#\s]*(:\d+)?(/[^/@?#]*)*)(\?[^@]*)?"
)
_PASSWORD = re.compile(r"(\w://[^\s:/@\"'<>]*:)[^\s\"'<>]*@|([?&;]password=)[^\s&\"'<>]+", re.IGNORECASE)
_NEARLY = re.compile(rf"\s*(jdbc:)?({'|'.join(_PORTS)})(\+\w+)?:|.*\b(password|pwd)\s*=", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r'(\w+|"[^"]+")(\.(\w+|"[^"]+"))*')
_SELECT = re.compile(r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*(SELECT|WITH|VALUES)\b", re.IGNORECASE | re.DOTALL)


def kind_of(source: Any) -> str | None:
    """Tell "Delta table", "Iceberg table" or "database"; None: files or a frame.

    Raises ContractError for an address of something else, such as a cloud's storage, and for one without "://".
    """
    library = type(source).__module__.split(".")[0]
    known = {module: kind for kind, (module, _) in _NEEDS.items()}
    if not isinstance(source, str | Path):
        is_table = hasattr(source, "table_uri") or hasattr(source, "metadata_location")  # not a catalog, nor a scan
        return known.get(library) if is_table else None
    if str(source).endswith(".metadata.json"):
        return "Iceberg table"
    if "://" not in str(source):
        if _NEARLY.match(str(source)):  # not shown, as it may hold a password
            raise ContractError(
                "source looks like the address of a database, and is none: write it as text, like "
                "'postgresql://user:$PASSWORD@server:5432/shop' or 'sqlite:///path/of/shop.db'."
            )
        return "Delta table" if os.path.isdir(os.path.join(source, "_delta_log")) else None
    if str(source).split("://")[0] not in _PORTS:
        raise ContractError(
            f"source is {shown(source)!r}; of addresses, those of databases are read ({', '.join(_PORTS)}). For a "
            "cloud's storage pass a frame (polars.scan_parquet reads it), a deltalake.DeltaTable or a pyiceberg Table."
        )
    return "database"


def read_table(source: Any, kind: str, *, query: str | None = None) -> pl.DataFrame:
    """All rows of a table as it stands now, or those of a query; one ContractError says why there are none."""
    module, extra = _NEEDS[kind]
    if find_spec(module) is None:
        raise ContractError(f"a {kind} needs {module}, which is not here: pip install 'shoptoolkit[{extra}]'")
    if kind == "database":
        return _from_database(source, query)
    where, what = source, f"source is {shown(source)!r}, no {kind} that can be read"
    if kind == "Delta table":
        return _told(lambda: pl.read_delta(source), what)
    if isinstance(source, str | Path) and "://" not in str(source):
        where = os.path.abspath(source)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*polars_iceberg")  # there is a faster planner
        return _told(lambda: pl.scan_iceberg(where).collect(), what)


def _from_database(uri: str, query: str | None) -> pl.DataFrame:
    if not isinstance(query, str) or not query.strip():
        raise ContractError(
            f"source is {shown(uri)!r}, a database, and query is {query!r}; say what to read: query='events', a table, "
            "or query='SELECT ...'."
        )
    what, known, name = f"source is {shown(uri)!r}, query is {query!r}", os.environ, query.strip("; \t\r\n")
    if not (is_name := _NAME.fullmatch(name)) and not _SELECT.match(query):  # a driver would run a DROP as well
        raise ContractError(
            f"{what}; it must be the name of a table (an odd one in quotes, '\"my events\"') or a SELECT."
        )
    uri = re.sub(r"\$(\w+)", lambda found: quote(known[found[1]], safe="") if found[1] in known else found[0], uri)
    _must_answer(uri)
    sql = f"SELECT * FROM {name}" if is_name else f"{query}\n"  # in brackets later; the line ends a last comment
    return _told(lambda: pl.read_database_uri(sql, uri, engine="connectorx"), what)


def _must_answer(uri: str) -> None:
    """Raise ContractError where nobody listens; the driver would try for half a minute, or make an empty file."""
    scheme, _, rest = uri.partition("://")
    if scheme == "sqlite":
        if not Path(unquote(rest.partition("?")[0])).is_file():
            raise ContractError(f"source is {shown(uri)!r}: no such file. Write its path after sqlite://.")
        return
    found = _ADDRESS.fullmatch(uri)
    if found is None:  # a driver would tell what it stumbles over: parts of the password
        raise ContractError(
            f"source is {shown(uri)!r}, which cannot be read as {scheme}://user:password@server:5432/database. Write "
            "the signs @ / ? # of a password as %40 %2F %3F %23, or keep it in the environment and write $NAME."
        )
    host, _, port = found["rest"].partition("/")[0].partition(":")
    if not host or "%" in host:  # a socket
        return
    try:
        if (number := int(port or _PORTS[scheme])) > 65535:  # some systems would ask what it leaves of 65536
            raise OSError("a port is at most 65535")
        socket.create_connection((host, number), timeout=10).close()
    except OSError as error:
        raise ContractError(f"source is {shown(uri)!r}, where no server answers: {error}.") from error


def _told(read: Callable[[], pl.DataFrame], what: str) -> pl.DataFrame:
    try:
        return read()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # every driver has errors of its own, and a panic is no Exception
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ContractError(f"{what}: {without_password(lines[0])}") from None  # it may hold the address


def shown(source: Any) -> str:
    """A source to tell of: a path as it is, a database without user and password, a table by its name."""
    if not isinstance(source, str | Path):
        kind = kind_of(source)
        names = {"Delta table": lambda: source.table_uri, "Iceberg table": lambda: ".".join(source.name())}
        return str(names[kind]()) if kind else f"the {type(source).__name__}"
    if "://" not in str(source):
        return str(source)
    found = _ADDRESS.fullmatch(str(source))
    return f"{found['scheme']}://{found['rest']}" if found else f"{str(source).split('://')[0]}://..."


def without_password(text: str) -> str:
    """A text in which no address tells its password."""
    return _PASSWORD.sub(lambda found: f"{found[1]}***@" if found[1] else f"{found[2]}***", text)
