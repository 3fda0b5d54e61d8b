"""The house rules of the package, read off its syntax trees.

Imports between rooms run down only, files and functions stay small, heavy libraries load where they are used, and no
error is swallowed or left to `assert`.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "shoptoolkit"
FLOORS = (
    ("contract",),
    ("engine", "trees"),
    ("features", "survival", "simulate", "datasets"),
    ("behaviour", "incrementality", "strategy", "explain"),
    ("figures",),
    ("report",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ("shap", "xgboost", "seaborn", "lifelines", "matplotlib.pyplot")
FILE_LINES, BODY_LINES = 400, 40
Found = Iterator[tuple[int, str]]


def faults(package: Path) -> list[str]:
    """Say where the files of a package break the rules."""
    found = []
    for path in sorted(package.rglob("*.py")):
        text, inside = path.read_text(encoding="utf-8"), path.relative_to(package)
        tree = ast.parse(text, str(path))
        for rule in (long_file(text), long_bodies(tree), imports_up(tree, inside), heavy_imports(tree), silence(tree)):
            found += [f"{inside}:{line}: {what}" for line, what in rule]
    return found


def long_file(text: str) -> Found:
    if (lines := text.count("\n")) >= FILE_LINES:
        yield lines, f"{lines} lines; a file stays under {FILE_LINES}"


def long_bodies(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[ast.get_docstring(node) is not None :]
            if body and (lines := body[-1].end_lineno - body[0].lineno + 1) >= BODY_LINES:
                yield node.lineno, f"{node.name} has a body of {lines} lines; it stays under {BODY_LINES}"


def imports_up(tree: ast.Module, inside: Path) -> Found:
    room = inside.parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    if room not in FLOOR:
        yield 1, f"{room} is no room of the house"
        return
    for line, module in imported(ast.walk(tree), ("shoptoolkit", *inside.parts[:-1])):
        top, other, *_ = (*module.split("."), "")
        if top == "shoptoolkit" and other != room and FLOOR.get(other, -1) >= FLOOR[room]:
            yield line, f"{room} imports {other}, which is not on a lower floor"


def heavy_imports(tree: ast.Module) -> Found:
    for line, module in imported(at_import_time(tree)):
        if any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY):
            yield line, f"{module} is heavy; import it inside the function that uses it"


def silence(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert; raise an error that says what to mend"
        if isinstance(node, ast.ExceptHandler) and all(ast.unparse(child) in ("pass", "...") for child in node.body):
            yield node.lineno, "an error is swallowed in silence"


def imported(nodes: Iterable[ast.AST], package: tuple[str, ...] = ()) -> Found:
    """Each import with its full dotted name; `from a import b` counts as a.b, since b may be a module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = (*base, node.module) if node.module else base
            yield from ((node.lineno, ".".join((*start, alias.name))) for alias in node.names)


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk only what runs when the module is imported: no function bodies, nothing for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node = ast.Module(body=node.orelse, type_ignores=[])
        yield node
        yield from at_import_time(node)


def test_the_package_keeps_the_house_rules():
    assert faults(PACKAGE) == []


def test_every_room_has_one_floor():
    assert len(FLOOR) == sum(map(len, FLOORS)) == 13


PLANTED = {
    "a room imports a higher one": ("survival/curves.py", "from shoptoolkit import figures\n", "imports figures"),
    "a room imports a neighbour": ("survival/curves.py", "from ..features.orders import orders\n", "imports features"),
    "a relative import of the roof": ("survival/curves.py", "from .. import report\n", "imports report"),
    "a plain import": ("contract.py", "import shoptoolkit.engine\n", "imports engine"),
    "an import inside a function": ("engine.py", "def f():\n    from . import datasets\n", "imports datasets"),
    "a module in no room": ("helpers.py", "x = 1\n", "no room"),
    "a long file": ("contract.py", "x = 1\n" * 400, "400 lines"),
    "a long function": ("contract.py", "def f():\n" + "    x = 1\n" * 40, "body of 40 lines"),
    "a heavy import": ("figures.py", "import matplotlib.pyplot as plt\n", "heavy"),
    "a heavy import by name": ("figures.py", "from matplotlib import pyplot\n", "heavy"),
    "a heavy import in a class": ("explain.py", "class A:\n    import shap\n", "heavy"),
    "a heavy import behind a try": (
        "explain.py",
        "try:\n    from xgboost import DMatrix\nfinally:\n    x = 1\n",
        "heavy",
    ),
    "a silent except": ("contract.py", "try:\n    x = 1\nexcept KeyError:\n    pass\n", "swallowed"),
    "an assert": ("contract.py", "def f(x):\n    assert x\n", "assert"),
}
ALLOWED = {
    "a lower room": ("figures.py", "from shoptoolkit import __version__, survival\nfrom .contract import check\n"),
    "its own room": ("survival/curves.py", "from . import spells\nfrom shoptoolkit.survival.spells import x\n"),
    "a heavy import in a function": ("figures.py", "def draw():\n    import seaborn\n    return seaborn\n"),
    "a heavy import for types": ("explain.py", "if TYPE_CHECKING:\n    import xgboost\n"),
    "a long docstring": ("contract.py", 'def f():\n    """Long.\n' + "\n" * 50 + '    """\n    return 1\n'),
    "the face of the house": ("__init__.py", "from . import figures\n"),
}


def planted(folder: Path, name: str, text: str) -> list[str]:
    path = folder / "shoptoolkit" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return faults(folder / "shoptoolkit")


@pytest.mark.parametrize(("name", "text", "fault"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found(name, text, fault, tmp_path):
    found = planted(tmp_path, name, text)
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(("name", "text"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_passes(name, text, tmp_path):
    assert planted(tmp_path, name, text) == []
