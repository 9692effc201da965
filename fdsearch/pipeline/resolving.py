"""A search space as it can be searched on this machine: its names known, its backbones with weights."""

from __future__ import annotations

from fdsearch.errors import ConfigError, Fault, ResourceError, did_you_mean
from fdsearch.parameters import PARAMETERS
from fdsearch.progress import Progress
from fdsearch.space import SearchSpace


def resolve_space(space: SearchSpace, progress: Progress) -> SearchSpace:
    """Drop the backbones whose weights cannot be had here.

    Raises
    ------
    ConfigError
        If a backbone or a loss is unknown.
    ResourceError
        If none is left.
    """
    from fdsearch.models.builders import BUILDERS
    from fdsearch.models.weights import available
    from fdsearch.models.weights_files import WEIGHTS_FILES

    check_losses(space)
    backbones = space.values("backbone") or (PARAMETERS["backbone"].default,)
    faults = [
        Fault("$.space.backbone", repr(name), "a known architecture", did_you_mean(str(name), list(BUILDERS)))
        for name in backbones
        if name not in BUILDERS
    ]
    if faults:
        raise ConfigError("the search space names unknown architectures", faults)
    if "random" in space.values("weights"):
        return space
    missing = [name for name in backbones if name in WEIGHTS_FILES and "imagenet" not in available(name)]
    if not missing:
        return space
    resolved = space.without("backbone", missing) if space.get("backbone") else None
    remedy = "`fdsearch models fetch NAME` where there is a network, or put the file into the folder FDSEARCH_WEIGHTS"
    if resolved is None:
        faults = [Fault(name, "no ImageNet weights on this machine", "weights", remedy) for name in missing]
        raise ResourceError("no backbone of the search space has weights here", faults)
    progress.say(f"not searched, no weights here: {', '.join(missing)} ({remedy})")
    return resolved


def check_losses(space: SearchSpace) -> None:
    """Refuse a loss that no table holds.

    Raises
    ------
    ConfigError
    """
    from fdsearch.models.losses import LOSSES

    faults = [
        Fault("$.space.loss", repr(name), "a known loss", did_you_mean(str(name), list(LOSSES)))
        for name in space.values("loss")
        if name not in LOSSES
    ]
    if faults:
        raise ConfigError("the search space names unknown losses", faults)
