"""What a feature is called and how its value is said in a sentence: the words of figures, tables and reasons.

In: names of features, by the patterns of `features.as_of_features`, `behaviour.session_features`,
`survival.landmark_spells` and `incrementality.outcomes`; further words for one's own. Out: `dictionary` ->
`Dictionary`, with `labels` (for figures), `signals` (for everything that takes `signals=`), and `say`.

The vocabulary itself is in vocabulary.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import polars as pl

from shoptoolkit.contract.check import check_span, listed
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.numbers import counted, in_words
from shoptoolkit.explain.vocabulary import AGE, CART, LATELY, OFTEN, RHYTHM, VISIT, VOCABULARY, Word, share_of

_WINDOW = re.compile(r"(.+)_(\d+)d")  # what `features.as_of_features` puts behind a name
_SUFFIXES = ("seconds", "minutes", "days", "share")  # units live in names
_GAP = re.compile(r"(\b(for|from|by|on a|on) )?\{\}")
Value: TypeAlias = float | bool | str | None  # a number, yes or no, a category; None where it is missing
Own: TypeAlias = Mapping[str, Mapping[str, str]]
_GIVEN = ("label", "unit", "signal", "said", "none", "missing")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dictionary:
    """Features in words. `words`: feature -> its label, unit, signal, and sentences."""

    words: Mapping[str, Word]

    @property
    def labels(self) -> dict[str, str]:
        """Feature -> label, for figures."""
        return {name: word.label for name, word in self.words.items()}

    @property
    def signals(self) -> dict[str, str]:
        """Feature -> the signal it belongs to: features that say the same thing in other windows or other ways."""
        return {name: word.signal for name, word in self.words.items()}

    @property
    def table(self) -> pl.DataFrame:
        """One row per feature: feature, label, unit, signal, said (the sentence with a gap for the value)."""
        told = [(name, word.label, word.unit, word.signal, word.said + word.when) for name, word in self.words.items()]
        columns = dict.fromkeys(("feature", "label", "unit", "signal", "said"), pl.String)
        return pl.DataFrame(told, schema=columns, orient="row")

    def __repr__(self) -> str:
        return f"Dictionary of {len(self.words)} features in {len(set(self.signals.values()))} signals\n{self.table}"

    def _repr_html_(self) -> str:
        return html_table(self.table, title="The features in words", note="features of one signal say the same thing")


def dictionary(
    features: str | Iterable[str],
    *,
    currency: str | None = None,
    words: Own | None = None,
    pre_days: float | None = None,
) -> Dictionary:
    """How would a shopkeeper call these features, and which of them say the same thing?

    Parameters
    ----------
    features
        Their names, e.g. `fit.features`.
    currency
        A word for money, e.g. "EUR".
    words
        Your own features, or other words for known ones: {"loyalty_tier": {"label": "loyalty tier", "said": "Is a {}
        member", "signal": "loyalty"}}. A name without a window serves all its windows. Each of these may be left out:

        - label: for figures; should tell the unit.
        - said: a sentence that begins with a verb, of which the customer is the subject; {} is where the value goes.
        - none, missing: the sentence for 0 (or no), and for a missing value.
        - unit: "number", "times" (once, twice), "money", "share", "seconds", "minutes", "days", "days ago", "months
          ago", "hour", "weekday", "flag" (said for yes, none for no), or a noun to be counted, such as "coupon".
        - signal: features with the same one are told as one.
    pre_days
        How long before the experiment the metrics of `incrementality.outcomes` (`pre_orders` ...) look.

    Returns
    -------
    Dictionary
        One word for each feature. A name nobody knows is told as it is, without underscores, as its own signal.

    Raises
    ------
    TypeError
        `words` is not a mapping of mappings of text; `currency` or a feature is no text.
    ValueError
        `pre_days` is no number > 0; a word has an unknown key, a sentence without a gap, or an empty name; two features
        have the same label.

    Examples
    --------
    >>> known = dictionary(["spend_91d", "days_since_watch", "tier"], currency="EUR", words={"tier": {"said": "Is {}"}})
    >>> known.labels
    {'spend_91d': 'EUR spent, 91 days', 'days_since_watch': 'days since last watching', 'tier': 'tier'}
    >>> known.signals
    {'spend_91d': 'money spent', 'days_since_watch': 'watching', 'tier': 'tier'}
    """
    if not (currency is None or isinstance(currency, str)):
        raise TypeError(f"currency is {currency!r}; it must be a word for money, e.g. 'EUR', or None.")
    if pre_days is not None:
        check_span("pre_days", pre_days, example="28")
    own = {name: _given(name, word) for name, word in _mapping("words", words or {}).items()}
    told = {name: _word(name, own, pre_days) for name in listed(features, name="features")}
    money = currency or ""
    told = {
        name: replace(word, label=word.label.replace("{money}", money or "money"), currency=money)
        for name, word in told.items()
    }
    of_label: dict[str, list[str]] = {}
    for name, word in told.items():
        of_label.setdefault(word.label, []).append(name)
    if twice := {label: names for label, names in of_label.items() if len(names) > 1}:
        label, names = next(iter(twice.items()))
        raise ValueError(
            f"{' and '.join(map(repr, names))} have the same label, {label!r}; give one another by words=."
        )
    return Dictionary(words=told)


def sentence(word: Word, value: Value, typical: Value) -> str:
    """What is known of a customer beside what is typical, without a full stop.

    Examples
    --------
    >>> known = dictionary(["purchase_days_28d", "days_since_watch"]).words
    >>> sentence(known["purchase_days_28d"], 3, 1)
    'Bought on 3 days in the last 28 days; a typical customer on 1 day'
    >>> sentence(known["days_since_watch"], None, 36)
    'Has not watched yet; a typical customer last watched 5 weeks ago'
    """
    told = _clause(word, value)
    bare = replace(word, when="")
    is_typical = _clause(bare, value) == _clause(bare, typical)
    beside = ", as is typical" if is_typical else f"; a typical customer{_beside(bare, value, typical)}"
    return f"{told[:1].upper()}{told[1:]}{beside}"


def _clause(word: Word, value: Value) -> str:
    if value is None:
        return word.missing + word.when if word.missing else f"{word.label}: not known"
    if not value and word.none:
        return word.none + word.when
    if not word.said or (word.unit == "flag" and not value):
        return f"{word.label}: {_phrase(word, value)}"
    return word.said.replace("{}", _phrase(word, value)) + word.when


def _phrase(word: Word, value: float | bool | str) -> str:
    if isinstance(value, str):
        return value
    return in_words(value, "flag" if isinstance(value, bool) else word.unit, word.currency)


def _beside(word: Word, value: Value, typical: Value) -> str:
    """The same of a typical customer, as short as grammar allows."""
    if typical is None and not word.missing:
        return ": not known"
    if typical is not None and (typical or not word.none):
        if not word.said or word.said.endswith(": {}") or (word.unit == "flag" and not typical):
            return f": {_phrase(word, typical)}"
        has_value = value is not None and (value or not word.none)
        if has_value and word.unit not in ("number", "flag") and (gap := _GAP.search(word.said)):
            return f" {gap[0].replace('{}', _phrase(word, typical))}"
    told = _clause(word, typical)
    return f" {told if told[1:2].isupper() else told[:1].lower() + told[1:]}"


def _word(name: str, own: Own, pre_days: float | None) -> Word:
    """One feature's word: the user's, that of its whole name, or that of its stem, and when that was."""
    if name in own:
        word = _word(name, {other: given for other, given in own.items() if other != name}, pre_days)
        return replace(word, **own[name], **({"when": ""} if "said" in own[name] else {}))
    if name in VOCABULARY:
        return VOCABULARY[name]
    if name.startswith("pre_"):
        return _before(*_window(name[4:]), own, pre_days)
    stem = name.removeprefix("session_")
    stem = f"distinct_{stem}" if name in ("session_items", "session_categories") else stem
    if stem != name and stem in VOCABULARY:
        word = _word(stem, own, pre_days)
        here = VISIT if word.signal == OFTEN else f"{word.signal}, this visit"
        signal = CART if stem in ("carts", "checkouts") else here
        return replace(word, label=f"{word.label}, this visit", when=" so far in this visit", signal=signal)
    stem, days = _window(name)
    if days:
        word, span = _windowed(stem, own), counted(days, "day")
        return replace(word, label=f"{word.label}, {span}", when=f" in the last {span.removeprefix('1 ')}")
    plain, unit = name.replace("_", " "), name.rpartition("_")[2]
    return Word(label=plain, unit=unit if unit in _SUFFIXES else "number", signal=plain)


def _window(name: str) -> tuple[str, int]:
    """A name without its window, and the window's days (0: none)."""
    found = _WINDOW.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)


def _windowed(stem: str, own: Own) -> Word:
    is_source = stem.endswith("_share") and stem not in own
    return share_of(stem.removesuffix("_share")) if is_source else _word(stem, own, None)


def _before(stem: str, days: float, own: Own, pre_days: float | None) -> Word:
    """Before an experiment: within so many days, or at its beginning."""
    word = _windowed(stem, own) if days else _word(stem, own, None)
    is_state = word.unit == "days ago" or word.signal in (RHYTHM, AGE, LATELY)
    if is_state or not (days := days or pre_days or 0):
        when = "" if is_state else " before the experiment"
        return replace(word, label=f"{word.label}, before the experiment", when=when)
    before = f"{counted(days, 'day')} before the experiment"
    return replace(word, label=f"{word.label}, {before}", when=f" in the {before.removeprefix('1 ')}")


def _given(name: object, word: object) -> dict[str, str]:
    """A word of the user's, checked."""
    given = _mapping(f"words[{name!r}]", word)
    if unknown := given.keys() - set(_GIVEN):
        raise ValueError(
            f"words[{name!r}] has {', '.join(map(repr, sorted(unknown)))}; it may have {', '.join(_GIVEN)}."
        )
    for key, text in given.items():
        if not isinstance(text, str):
            raise TypeError(f"words[{name!r}] has {key}={text!r}; it must be text.")
        if not text and key in ("label", "unit", "signal"):
            raise ValueError(f"words[{name!r}] has an empty {key}; leave it out, or name it.")
    if "{}" not in given.get("said", "{}") and given.get("unit") != "flag":
        raise ValueError(
            f"words[{name!r}] says {given['said']!r}; write {{}} where its value goes, e.g. 'Is a {{}} member'."
        )
    return dict(given)


def _mapping(name: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        example = "{'tier': {'label': 'loyalty tier', 'said': 'Is a {} member'}}"
        raise TypeError(f"{name} is {given!r:.60}; words maps features to their words, e.g. {example}.")
    return given
