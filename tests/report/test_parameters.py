"""Parameters: read from the tagged cell, typed by their default, data and never code."""

import pytest
from tiny_notebooks import code, notebook

from shoptoolkit.report.outcome import has_tag
from shoptoolkit.report.parameters import NOT_PLAIN, inject, read_injected, read_parameters, typed


@pytest.fixture
def nb():
    source = "within_days: int = 90  # a comment\nlevel = 0.95\nname = 'shop'\nas_of = None\nat = date(2024, 1, 1)"
    return notebook(code("import x"), code(source, "parameters"), code("other = 1"))


def test_only_the_tagged_cell_counts(nb):
    assert read_parameters(nb) == {"within_days": 90, "level": 0.95, "name": "shop", "as_of": None, "at": NOT_PLAIN}


@pytest.mark.parametrize(
    ("text", "default", "value"),
    [
        ("60", 90, 60),
        ("-3", 90, -3),
        ("1", 0.5, 1.0),
        ("true", False, True),
        ("No", True, False),
        ("90", "shop", "90"),
        ("__import__('os')", "shop", "__import__('os')"),
        ("[1, 2]", (3,), (1, 2)),
        ("['a']", [], ["a"]),
        ("2024-01-01", None, "2024-01-01"),
        ("7", None, 7),
        ("None", None, None),
        ("true", None, True),
        ("FALSE", None, False),
        ("none", None, None),
        ("0", None, 0),
        ("-7", None, -7),
        ("0.95", None, 0.95),
        (".5", None, 0.5),
        ("20111209", None, "20111209"),
        ("20111399", None, 20111399),
        ("007", None, "007"),
        ("-007.5", None, "-007.5"),
        ("1e5", None, "1e5"),
        ("", None, ""),
        ("-", None, "-"),
        ("['a', 'b']", None, ["a", "b"]),
        ("{'ts': 'at'}", None, {"ts": "at"}),
        ("[log].csv", None, "[log].csv"),
        ("{'ts': 'at'}", {}, {"ts": "at"}),
    ],
)
def test_a_text_takes_the_type_of_the_default(text, default, value):
    found = typed("key", text, default)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "default", "message"),
    [
        ("90.5", 90, "key='90.5' does not fit; it must be a whole number. The default is 90"),
        ("nan", 0.5, "it must be a finite number"),
        ("maybe", True, "it must be true or false"),
        ("f(1)", [1], r"it must be a list such as \[1, 2\]"),
        (3, "shop", "it must be of type str"),
        (True, 90, "it must be a whole number"),
        (object(), None, "does not fit; it must be plain data"),
        ("{ts: at}", None, "key='{ts: at}' does not fit; it must be plain data: a text, a number, true, false, none"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value, default, message):
    with pytest.raises(ValueError, match=message):
        typed("key", value, default)


def test_a_default_that_is_code_cannot_be_set():
    with pytest.raises(ValueError, match="at cannot be set: its default in the notebook is an expression"):
        typed("at", "2024-01-01", NOT_PLAIN)


def test_values_are_injected_as_data_after_the_tagged_cell(nb):
    nasty = "'; import os; os.system('x') #\n"
    new = inject(nb, {"name": nasty, "within_days": 7})
    assert has_tag(new.cells[2], "injected-parameters")
    space = {}
    exec(new.cells[2].source, space)
    assert space["name"] == nasty
    assert read_injected(new) == {"name": nasty, "within_days": 7}
    assert len(nb.cells) == 3
    assert len(inject(new, {"within_days": 8}).cells) == 4
    assert len(inject(new, {}).cells) == 3
