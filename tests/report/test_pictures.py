"""Figures as pictures: a narrow one for phones where its words keep apart, else the wide one moves sideways."""

import base64
import struct

import pytest
from bs4 import BeautifulSoup
from matplotlib import rc_context
from matplotlib.figure import Figure

from shoptoolkit.figures.style import set_style, y_label
from shoptoolkit.report import figure
from shoptoolkit.report.pictures import PHONE_PIXELS, render


@pytest.fixture(autouse=True)
def house():
    with rc_context():
        set_style()
        yield


def curve(width=7.6):
    drawing = Figure((width, 3.0))
    ax = drawing.add_subplot()
    ax.plot([0, 180], [0.0, 0.6])
    ax.set(xlabel="Days since the order", ylabel="Share")
    return drawing


def months():
    drawing = Figure((7.6, 3.0))
    ax = drawing.add_subplot()
    for month in range(24):
        ax.text(month, 0.5, "100", ha="center")
    ax.set(xlim=(-1, 24), ylim=(0, 1))
    return drawing


def size_of(uri):
    return struct.unpack(">II", base64.b64decode(uri.partition(",")[2])[16:24])


def test_a_wide_figure_is_drawn_again_as_narrow_as_a_phone():
    drawing = curve()
    picture = render(drawing, argument="ax")
    assert picture.width > 700
    assert size_of(picture.narrow)[0] / 2 < PHONE_PIXELS
    assert size_of(picture.narrow)[1] / 2 == pytest.approx(picture.height, abs=3), "as high: in the same type"
    assert not picture.is_wide
    assert list(drawing.get_size_inches()) == [7.6, 3.0], "the figure itself stays as it was"


def test_long_names_of_the_axes_break_into_lines_on_a_phone():
    drawing = curve()
    drawing.axes[0].set_xlabel("Days since the order, counted from the moment of the assignment on, by whole days")
    y_label(
        drawing.axes[0], "Difference in the share of customers without an order since the assignment, 95 % interval"
    )
    picture = render(drawing, argument="ax")
    assert 0 < size_of(picture.narrow)[0] / 2 < 430


def test_names_that_would_leave_no_room_for_the_marks_keep_the_wide_figure():
    drawing = curve()
    drawing.axes[0].set_yticks([0, 0.5], ["days between purchases, mean, of the last year", "seconds watched"])
    drawing.axes[0].set_ylabel("")
    assert render(drawing, argument="ax").narrow == ""


def test_words_that_would_run_into_each_other_keep_the_wide_figure():
    picture = render(months(), argument="ax")
    assert picture.narrow == ""
    assert picture.is_wide


def test_a_small_figure_needs_no_second_one():
    picture = render(curve(width=5.0), argument="ax")
    assert picture.narrow == ""
    assert not picture.is_wide


def test_the_page_gives_phones_the_narrow_one_and_no_one_else():
    soup = BeautifulSoup(figure(curve(), title="It rises", alt="A line").html, "html.parser")
    assert soup.picture.source["media"] == "screen and (max-width:560px)"
    assert soup.picture.source["srcset"] != soup.picture.img["src"]
    assert not soup.select(".wide")
    wide = BeautifulSoup(figure(months(), title="It fades", alt="A map").html, "html.parser")
    assert not wide.find("picture")
    assert wide.select_one(".pic.wide")["tabindex"] == "0"


def test_slanted_names_may_stand_close_as_long_as_they_keep_apart():
    def drawn(rotation):
        drawing = Figure((7.6, 3.0))
        ax = drawing.add_subplot()
        ax.set_xticks(range(9), ["purchase"] * 9, rotation=rotation, ha="right")
        return render(drawing, argument="ax")

    assert drawn(40).narrow
    assert not drawn(0).narrow
