"""One feature held at a value: trees that no longer mention it, and answer as before.

In: a booster. Out: `held` -> a booster without the feature; `parted` -> the same for many values, in two parts.

A split on the feature is replaced by the child that the value goes to, which takes over the split's weight among the
training rows: TreeSHAP of the new trees is that of the old ones where the feature is always known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np

from shoptoolkit.contract.arrays import Floats, Ints

_AS_BEFORE = ("base_weights", "default_left", "loss_changes", "split_conditions", "split_type")
_READ = (*_AS_BEFORE, "split_indices", "sum_hessian", "left_children", "right_children")
_NO_PARENT = 2**31 - 1  # what XGBoost writes as the parent of a root
_LISTS = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_NOTHING: dict[str, Any] = {  # a leaf of 0; without trees, xgboost 3.2 takes the base for a margin, whatever its scale
    **{name: [0.0] for name in ("base_weights", "loss_changes", "split_conditions", "sum_hessian")},
    **{name: [0] for name in ("default_left", "split_type", "split_indices")},
    **{name: [] for name in _LISTS},
    **{"left_children": [-1], "right_children": [-1], "parents": [_NO_PARENT]},
    "tree_param": {"num_deleted": "0", "num_nodes": "1", "size_leaf_vector": "1"},
}


def held(booster: Any, *, feature: int, value: float, nthread: int) -> Any:
    """The booster for rows whose `feature` (a number, no category) is `value`; the features after it move up by one."""
    model = json.loads(booster.save_raw("json"))
    boosted = model["learner"]["gradient_booster"]["model"]
    return _loaded(model, _pruned(boosted["trees"], feature, value), boosted["tree_info"], feature, nthread)


def parted(booster: Any, *, feature: int, values: Sequence[float], nthread: int) -> tuple[Any, list[Any]]:
    """The same in two parts whose answers add up: the trees that never ask for `feature`, and the others by value."""
    model = json.loads(booster.save_raw("json"))
    boosted = model["learner"]["gradient_booster"]["model"]
    trees, info = np.array(boosted["trees"], dtype=object), np.array(boosted["tree_info"], dtype=int)
    asks = np.array([_asks(tree, feature) for tree in trees], dtype=bool)
    fixed = _loaded(model, _pruned(trees[~asks], feature, 0), info[~asks], feature, nthread)
    start = model["learner"]["learner_model_param"]
    nothing = 0.5 if model["learner"]["objective"]["name"] == "binary:logistic" else 0.0
    start["base_score"] = json.dumps(np.full(np.size(json.loads(start["base_score"])), nothing).tolist())
    return fixed, [_loaded(model, _pruned(trees[asks], feature, one), info[asks], feature, nthread) for one in values]


def _asks(tree: dict[str, Any], feature: int) -> bool:
    return any(
        split == feature and left >= 0 for split, left in zip(tree["split_indices"], tree["left_children"], strict=True)
    )


def _loaded(model: dict[str, Any], trees: list[dict[str, Any]], info: Any, feature: int, nthread: int) -> Any:
    """A booster of these trees; those of a part count as one round."""
    import xgboost

    if not trees:
        trees, info = [{**_NOTHING}], [0]
    learner = dict(model["learner"])
    width = str(int(learner["learner_model_param"]["num_feature"]) - 1)
    learner["learner_model_param"] = {**learner["learner_model_param"], "num_feature": width}
    for told in ("feature_names", "feature_types"):
        learner[told] = [*learner[told][:feature], *learner[told][feature + 1 :]]
    for number, tree in enumerate(trees):
        tree["id"], tree["tree_param"] = number, {**tree["tree_param"], "num_feature": width}
    boosted = {**learner["gradient_booster"]["model"], "trees": trees, "tree_info": list(map(int, info))}
    boosted["gbtree_model_param"] = {**boosted["gbtree_model_param"], "num_trees": str(len(trees))}
    if len(trees) < boosted["iteration_indptr"][-1]:
        boosted["iteration_indptr"] = [0, len(trees)]
    learner["gradient_booster"] = {**learner["gradient_booster"], "model": boosted}
    return xgboost.Booster(
        {"nthread": nthread}, model_file=bytearray(json.dumps({**model, "learner": learner}), "ascii")
    )


def _pruned(trees: Sequence[dict[str, Any]], feature: int, value: float) -> list[dict[str, Any]]:
    if not len(trees):
        return []
    sizes = [len(tree["left_children"]) for tree in trees]
    first = np.cumsum([0, *sizes])[:-1]
    said = {name: np.array(list(chain.from_iterable(tree[name] for tree in trees))) for name in _READ}
    child = np.column_stack([said["left_children"], said["right_children"]])
    child = np.where(child >= 0, child + np.repeat(first, sizes)[:, None], -1)
    way = child[np.arange(len(child)), np.where(np.float32(value) < said["split_conditions"].astype(np.float32), 0, 1)]
    stands = np.where((child[:, 0] >= 0) & (said["split_indices"] == feature), way, np.arange(len(way)))
    while (stands[stands] != stands).any():
        stands = stands[stands]
    tree, old, below, factor = _kept(first, stands, child, said["sum_hessian"])
    nodes: dict[str, Any] = {name: said[name][old] for name in _AS_BEFORE}
    nodes["split_indices"] = said["split_indices"][old] - (said["split_indices"][old] > feature)
    nodes["sum_hessian"] = said["sum_hessian"][old] * factor
    nodes["left_children"], nodes["right_children"] = below.T
    nodes["parents"] = np.full(len(old), _NO_PARENT)
    ends = np.searchsorted(tree, np.arange(len(trees) + 1))
    is_split = below[:, 0] >= 0
    nodes["parents"][(below + ends[tree][:, None])[is_split]] = (np.arange(len(old)) - ends[tree])[is_split, None]
    lists = {name: values.tolist() for name, values in nodes.items()}
    before = (old - first[tree]).tolist()
    parts = [slice(*pair) for pair in pairwise(ends)]
    return [
        {**one, **{name: values[part] for name, values in lists.items()}, **_categories(one, before[part])}
        | {"tree_param": {**one["tree_param"], "num_nodes": str(part.stop - part.start)}}
        for one, part in zip(trees, parts, strict=True)
    ]


def _kept(first: Ints, stands: Ints, child: Ints, weight: Floats) -> tuple[Any, ...]:
    """Of the nodes kept, tree by tree: tree, old place, its children's places in the tree, factor of its weight."""
    tree, old, factor = np.arange(len(first)), stands[first], weight[first] / weight[stands[first]]
    levels, count = [], 0
    while len(tree):
        is_split, count = child[old, 0] >= 0, count + len(tree)
        below = np.full((len(tree), 2), -1)
        below[is_split] = count + np.arange(2 * is_split.sum()).reshape(-1, 2)
        levels.append((tree, old, below, factor))
        children = child[old[is_split]].ravel()
        tree, old = np.repeat(tree[is_split], 2), stands[children]
        factor = np.repeat(factor[is_split], 2) * weight[children] / weight[old]
    tree, old, below, factor = (np.concatenate(part) for part in zip(*levels, strict=True))
    order = np.argsort(tree, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - np.searchsorted(tree[order], tree[order])
    below = np.where(below >= 0, place[below], -1)
    return tree[order], old[order], below[order], factor[order]


def _categories(tree: dict[str, Any], before: list[int]) -> dict[str, list[int]]:
    """The categories of the splits that are kept; `before`: the old places of the nodes kept."""
    if not tree["categories"]:
        return {}
    starts = dict(zip(tree["categories_nodes"], tree["categories_segments"], strict=True))
    sizes = dict(zip(tree["categories_nodes"], tree["categories_sizes"], strict=True))
    told: dict[str, list[int]] = {name: [] for name in _LISTS}
    for place, old in enumerate(before):
        if old in starts:
            told["categories_nodes"].append(place)
            told["categories_segments"].append(len(told["categories"]))
            told["categories_sizes"].append(sizes[old])
            told["categories"] += tree["categories"][starts[old] : starts[old] + sizes[old]]
    return told
