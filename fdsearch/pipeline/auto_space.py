"""`space: auto`: from facts about data, machine and budget to a search space, and why it is this one.

A pure function over the tables of `auto_space_tables`; `auto_space_facts` collects the facts, `auto_space_cost`
says what trials cost, and `auto_space_kept` keeps the answer with the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fdsearch.pipeline.auto_space_cost import Cost
from fdsearch.pipeline.auto_space_facts import Facts
from fdsearch.pipeline.auto_space_tables import (
    AUGMENTED,
    CLASS_WEIGHTING,
    DEEP_SHARE,
    DEVICES,
    METHODS,
    MIN_TRIALS,
    NATIVE,
    RECIPES,
    RELATIVE_COST,
    SCRATCH,
    SIZES,
    SMALL_NETWORKS,
    TEST_VIEWS,
    TIERS,
    TRAINED,
    UNBALANCED,
    VIEWS,
    VIEWS_SHARE,
    Device,
    Entry,
    Tier,
)
from fdsearch.pipeline.budget import SEARCH_SHARE
from fdsearch.search.opening import Named, whole
from fdsearch.space import SearchSpace
from fdsearch.space_reader import parse_space

FEW_FOR_AN_INTERVAL = 5
"""Parts a class needs before a score has an interval."""


@dataclass(frozen=True)
class AutoSpace:
    """The answer.

    Parameters
    ----------
    space : SearchSpace
    reasons : tuple of str
        Why, a sentence each.
    recipes : tuple of (name, parameters)
        Points of the space to try first.
    n_trials : int
    budget_s : float
        Seconds of the whole run.
    """

    space: SearchSpace
    reasons: tuple[str, ...]
    recipes: tuple[Named, ...]
    n_trials: int
    budget_s: float


def auto_space(facts: Facts) -> AutoSpace:
    """Choose what is searched.

    Examples
    --------
    >>> classes = {"good": 40, "bad": 9}
    >>> found = auto_space(Facts(classes, classes, 300, 300, ("efficientnet_lite0",), "cpu", 2, 5, 0.8))
    >>> found.space.values("phases"), found.space.values("image_size")
    (('probe', 'tail'), (224, 288))
    """
    device = DEVICES[facts.device]
    budget_s = device.budget_s if facts.budget_s is None else facts.budget_s
    backbones = [name for name in device.backbones if name in facts.backbones][: device.n_backbones]
    reasons = [_budget(facts, device, budget_s)]
    if not backbones:
        return _from_scratch(facts, reasons, budget_s)
    tier, sizes = _tier(facts, reasons), _sizes(facts, device, reasons)
    cost = _backbones(Cost(facts, device, backbones, sizes, SEARCH_SHARE * budget_s), tier, reasons)
    tier = _affordable(tier, cost, reasons)
    entries: dict[str, Entry] = {
        "backbone": _choices(cost.backbones),
        "image_size": _choices(sizes),
        "resize": _resize(facts, reasons),
        **METHODS,
        "class_weighting": _weighting(facts, reasons),
        "phases": _choices(tier.phases),
        "probe_c": {"type": "float", "low": tier.probe_c[0], "high": tier.probe_c[1], "log": True},
        **_views(facts, cost, reasons),
        **_trained(facts, device, tier, reasons),
    }
    space = parse_space(entries)
    recipes = tuple((name, whole(space, recipe)) for name, recipe in RECIPES.items() if recipe["phases"] in tier.phases)
    n_trials = _trials(facts, tier, cost, reasons)
    return AutoSpace(space, tuple(reasons), recipes, n_trials, budget_s)


def _budget(facts: Facts, device: Device, budget_s: float) -> str:
    stated = "as the study says" if facts.budget_s is not None else "because the study states none"
    devices = f"{facts.n_devices} {device.name}{'s' if facts.n_devices > 1 else ''}"
    return f"budget: {budget_s / 60:.0f} minutes on {devices}, {stated}"


def _tier(facts: Facts, reasons: list[str]) -> Tier:
    tier = next(tier for tier in TIERS if facts.mean_parts < tier.below)
    rarest = min(facts.parts, key=lambda name: (facts.parts[name], name))
    counted = (
        f"{facts.n} pictures, {facts.mean_parts:.0f} parts of a class in the mean, {facts.parts[rarest]} of {rarest}"
    )
    if tier.phases == ("probe", "head"):
        allowed = "no layer of a backbone is trained, and probe and head are held back strongly"
    else:
        allowed = f"the last {tier.unfreeze[0]:.0%} to {tier.unfreeze[1]:.0%} of a backbone are trained too"
    reasons.append(f"phases: to develop with there are {counted}: {tier.name}, so {allowed}")
    poor = [name for name, count in facts.parts.items() if count < FEW_FOR_AN_INTERVAL]
    if poor:
        whose = "every class" if len(poor) == len(facts.parts) else ", ".join(poor)
        fewest = f"fewer than {FEW_FOR_AN_INTERVAL} parts to develop with of {whose}"
        reasons.append(f"not to be claimed: an interval of macro F1 ({fewest}); what is given is each class's recall")
    if tier is TIERS[0]:
        reasons.append("not to be claimed: most gains over the probe; so few parts show only large ones")
    return tier


def _sizes(facts: Facts, device: Device, reasons: list[str]) -> list[int]:
    own = math.sqrt(facts.height * facts.width)
    allowed = [size for size in SIZES if size <= device.largest]
    nearest = min(allowed, key=lambda size: abs(size - own))
    sizes = [NATIVE, *([nearest] if nearest != NATIVE else [])]
    shown = " and ".join(f"{size} px" for size in sizes)
    why = f"image_size: {shown}; pictures have about {facts.width} x {facts.height} px, networks were made for {NATIVE}"
    if own > 2 * max(sizes):
        why += f"; what is narrower than {own / max(sizes):.0f} px in a picture can be lost: cut them into parts first"
    reasons.append(why)
    return sizes


def _backbones(cost: Cost, tier: Tier, reasons: list[str]) -> Cost:
    """The costs with those backbones alone whose tails fit into the search's time; at least one is left."""
    wanted = cost.backbones
    while len(cost.backbones) > 1 and cost.deep_s(tier.epochs[0]) > DEEP_SHARE * cost.search_s:
        dearest = max(cost.backbones, key=lambda name: RELATIVE_COST[name])
        cost = replace(cost, backbones=[name for name in cost.backbones if name != dearest])
    dropped = [name for name in wanted if name not in cost.backbones]
    slow = f"; a tail of {', '.join(dropped)} takes too long for this budget" if dropped else ""
    named = ", ".join(cost.backbones)
    reasons.append(f"backbone: {named}, by what has weights here and suits a {cost.device.name}{slow}")
    return cost


def _affordable(tier: Tier, cost: Cost, reasons: list[str]) -> Tier:
    """A tier whose deep trials fit into the search's time: with fewer epochs, or without them."""
    low, high = tier.epochs
    if not set(tier.phases) - {"probe", "head"}:
        return tier
    allowed = DEEP_SHARE * cost.search_s
    carried = math.floor(allowed / cost.deep_s(1))
    if carried < low:
        minutes = f"{cost.deep_s(low) / 60:.0f} of {cost.search_s / 60:.0f} minutes of search"
        reasons.append(f"phases: no tail, for one such trial would take {minutes}; a larger budget or a GPU allows it")
        return replace(tier, phases=("probe", "head"))
    if carried < high:
        reasons.append(f"epochs: at most {carried}, so that one trial leaves time for others")
        return replace(tier, epochs=(low, carried))
    return tier


def _resize(facts: Facts, reasons: list[str]) -> Entry:
    longer = max(facts.height, facts.width) / min(facts.height, facts.width)
    if longer < 2:
        return {"fixed": "stretch"}
    reasons.append(f"resize: pad beside stretch, for pictures are {longer:.1f} times as long as wide")
    return _choices(["stretch", "pad"])


def _weighting(facts: Facts, reasons: list[str]) -> Entry:
    if max(facts.pictures.values()) >= UNBALANCED * min(facts.pictures.values()):
        return CLASS_WEIGHTING
    reasons.append("class_weighting: fixed, for no class has twice the pictures of another")
    return {"fixed": 1.0}


def _views(facts: Facts, cost: Cost, reasons: list[str]) -> dict[str, Entry]:
    """Views of the probe and of the answer; a single one is always among them, for the baseline has no more."""
    views = next((count for count in VIEWS if cost.views_s(count) <= VIEWS_SHARE * cost.search_s), 1)
    test = [1, TEST_VIEWS] if facts.bounded else [TEST_VIEWS, 1]
    reasons.append(
        f"views: a probe sees up to {views} of each picture, and up to {TEST_VIEWS} mirror images give the answer; "
        "where left and right mean different things, write a space of your own"
    )
    return {"probe_views": _choices(list(dict.fromkeys((views, 1)))), "test_views": _choices(test)}


def _trained(facts: Facts, device: Device, tier: Tier, reasons: list[str]) -> dict[str, Entry]:
    """What only deeper trials have."""
    deeper = [phase for phase in tier.phases if phase != "probe"]
    tails = [phase for phase in deeper if phase != "head"]
    # At least 16 steps an epoch, as far as batches can be halved.
    steps = facts.n * facts.train_share / 16
    batches = [size for size in device.batch_sizes if size <= steps] or [16, 8]
    entries = {
        **TRAINED,
        "epochs": {"type": "int", "low": tier.epochs[0], "high": tier.epochs[1]},
        "batch_size": _choices(batches),
        "weight_decay": {"fixed": tier.weight_decay},
        "label_smoothing": {"fixed": tier.label_smoothing},
        **(AUGMENTED if device.augments and tails else {}),
    }
    found = {name: {**entry, "when": {"phases": deeper}} for name, entry in entries.items()}
    if tails:
        low, high = tier.unfreeze
        found["unfreeze"] = {"type": "float", "low": low, "high": high, "when": {"phases": tails}}
    if "head_mid_deep" in tails:
        decay = {"type": "float", "low": 0.1, "high": 1.0, "log": True}
        found["phase_decay"] = {**decay, "when": {"phases": ["head_mid_deep"]}}
    if not device.augments and tails:
        reasons.append("augmentation: none on processors, so that frozen layers are computed once")
    return found


def _trials(facts: Facts, tier: Tier, cost: Cost, reasons: list[str]) -> int:
    if facts.n_trials is not None:
        return facts.n_trials
    n_trials = cost.n_trials(tier)
    if n_trials == tier.max_trials:
        why = f"; with {tier.name} parts more would find luck"
    elif n_trials == MIN_TRIALS:
        why = ", the least; the budget may end before them"
    else:
        why = f", which is about what {cost.search_s / 60:.0f} minutes of search carry"
    reasons.append(f"n_trials: {n_trials}{why}")
    return n_trials


def _from_scratch(facts: Facts, reasons: list[str], budget_s: float) -> AutoSpace:
    remedy = "`fdsearch models fetch` or the folder FDSEARCH_WEIGHTS brings some"
    reasons.append(f"backbone: no pretrained weights are here ({remedy}), so small networks are trained from scratch")
    reasons.append("not to be claimed: a gain over the frozen probe, which needs such weights")
    entries = {
        "backbone": _choices(list(SMALL_NETWORKS)),
        **SCRATCH,
        "batch_size": _choices([16, *([32] if facts.n >= 300 else [])]),
    }
    n_trials = TIERS[0].max_trials if facts.n_trials is None else facts.n_trials
    return AutoSpace(parse_space(entries), tuple(reasons), (), n_trials, budget_s)


def _choices(values: list[str] | list[int] | tuple[str, ...]) -> Entry:
    return {"fixed": values[0]} if len(values) == 1 else {"type": "categorical", "choices": list(values)}
