import re
from datetime import date
from pathlib import Path

import pytest

from shoptoolkit.datasets import about, available, fetch, load, tidy
from shoptoolkit.datasets.registry import find, home


def test_every_set_tells_its_licence_its_clock_and_whether_it_knows_first_orders():
    sets = available()
    assert sets["name"].to_list() == ["online_retail", "cdnow", "online_shoppers", "hillstrom"]
    assert sets["rows"].to_list() == [541_909, 69_659, 12_330, 64_000]
    assert sets["history_known"].to_list() == [False, True, None, None]  # the last two are no logs
    assert not any(sets.head(2).null_count().row(0))


def test_we_look_no_further_than_the_last_day_logged_in_full():
    assert about("online_retail").as_of == date(2011, 12, 9)  # its log stops that day at 12:50
    assert about("cdnow").as_of == date(1998, 7, 1)


@pytest.mark.parametrize("door", [about, load, fetch, lambda name: tidy(name, "any.csv")])
def test_an_unknown_name_is_answered_with_the_known_ones(door):
    with pytest.raises(ValueError, match="name is 'online'; it must be one of 'online_retail', 'cdnow'"):
        door("online")


def test_notebooks_and_the_command_line_find_the_same_data_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "notebooks").mkdir()
    for place in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(place)
        assert home().resolve() == (tmp_path / "data").resolve()


def test_outside_a_project_the_data_folder_is_made_here(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()  # with neither notebooks nor pyproject.toml beside it: somebody else's
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert home() == Path.cwd() / "data"
    assert home(tmp_path) == tmp_path


def test_a_file_put_there_by_hand_is_found_under_any_spelling_of_its_name(tmp_path):
    place = tmp_path / "online_retail"
    place.mkdir()
    assert find("online_retail", folder=tmp_path) is None
    for name in ("Online Retail.xlsx", "OnlineRetail.csv", "online_retail.parquet"):  # the later, the quicker to read
        (place / name).touch()
        assert find("online_retail", folder=tmp_path) == place / name


def test_a_file_that_is_not_the_published_content_is_told_apart(tmp_path):
    place = tmp_path / "cdnow"
    place.mkdir()
    (place / "CDNOW_master.txt").write_text("00001 19970101  1  11.77\n")
    told = "is not the published cdnow: rows 1, published 69,659; pieces 1, published 167,881; amount in hundredths of "
    with pytest.raises(ValueError, match=re.escape(told)):
        load("cdnow", folder=tmp_path)
    with pytest.raises(ValueError, match="pass whole=False to tidy for a part of the data"):
        load("cdnow", folder=tmp_path)
