"""A study opened on this machine: data read, parts dealt, space resolved, pictures decoded, jobs ready to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsearch.config import StudySpec
from fdsearch.data.dataset import Dataset
from fdsearch.data.folds import SPLITTER_VERSION
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.data.partition import Partition, assign
from fdsearch.errors import ConfigError, Fault, did_you_mean
from fdsearch.execution.machine import Machine
from fdsearch.files import digest_file, digest_json
from fdsearch.parameters import PARAMETERS
from fdsearch.pipeline.auto_space import AutoSpace, auto_space
from fdsearch.pipeline.auto_space_facts import collect
from fdsearch.pipeline.auto_space_kept import settle
from fdsearch.pipeline.origin import Origin
from fdsearch.pipeline.resolving import resolve_space
from fdsearch.progress import Progress
from fdsearch.registry.references import check_name
from fdsearch.selection.decision import check_classes
from fdsearch.space import SearchSpace, Value
from fdsearch.training.job import JobMaker
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace


@dataclass(frozen=True)
class Question:
    """Everything a search or a selection needs, none of it trained.

    Parameters
    ----------
    spec : StudySpec
    workspace : Workspace
    dataset : Dataset
    partition : Partition
    space : SearchSpace
        Without the backbones whose weights this machine cannot get.
    maker : JobMaker
    definition : mapping
        What makes two runs answers to the same question.
    refits : Origin or None
        The version whose recipe is trained again, where nothing is searched; the files then have a folder of their own.
    auto : AutoSpace or None
        Why the space is what it is, where fdsearch chose it.
    """

    spec: StudySpec
    workspace: Workspace
    dataset: Dataset
    partition: Partition
    space: SearchSpace
    maker: JobMaker
    definition: Mapping[str, Any]
    refits: Origin | None = None
    auto: AutoSpace | None = None

    @property
    def space_why(self) -> list[str]:
        """Why fdsearch chose this space, a sentence each; empty for a space of the user's own."""
        return [] if self.auto is None else list(self.auto.reasons)

    @property
    def folder(self) -> Path:
        run = self.workspace.run(self.spec.name)
        return run if self.refits is None else run / "refits" / self.refits.label

    @property
    def identity(self) -> str:
        """One digest of pictures, labels, groups and roles: other roles make earlier scores another study's."""
        dataset, sealed = self.dataset, set(self.partition.holdout.rows.tolist())
        roles = sorted((content, row in sealed) for row, content in enumerate(dataset.content))
        return digest_json([dataset.identity, roles])

    @property
    def single_split(self) -> bool:
        return self.spec.split.validation is not None


def open_question(
    spec: StudySpec,
    root: Path,
    plugins: Sequence[Path],
    progress: Progress,
    *,
    remember: bool = True,
    only: TrialConfig | None = None,
    machine: Machine | None = None,
) -> Question:
    """Read the data, deal the parts and decode the pictures of a study.

    Parameters
    ----------
    remember : bool
        False leaves the partition's file as it is: roles bind for ever, and looking must not bind anybody.
    only : TrialConfig, optional
        All that is going to be trained, apart from the baseline: pictures are not decoded for the rest of the space.
    machine : Machine, optional
        What trials run on, for a space that fdsearch chooses; default one worker and all GPUs.

    Raises
    ------
    ConfigError, DataError, ResourceError
        With every fault of the study, its data, or what this machine lacks.
    """
    from fdsearch.models.builders import load_plugins

    check_name(spec.model_name)
    load_plugins(plugins)
    workspace = Workspace(root.resolve())
    # What is wrong with a space of the user's own is said before the data is read.
    space = None if spec.undecided else resolve_space(spec.space, progress)
    read = read_data(spec, workspace, progress, remember=remember)
    spec, auto = decide(spec, read, workspace, remember=remember, machine=machine)
    dataset, partition = read
    for note in (*dataset.notes, *partition.changes):
        progress.say(note)
    if space is None:
        space = resolve_space(spec.space, progress)
        for why in auto.reasons if auto else ():
            progress.say(why)
    maker = JobMaker(
        labels=dataset.labels,
        groups=dataset.groups,
        n_classes=len(dataset.classes),
        pixels=dataset.decode(pixel_sizes(space) if only is None else _sizes(only, baseline_config(space)), progress),
        data_digest=dataset.digest,
        prefix_cache=workspace.prefix,
        plugins=tuple(path.resolve() for path in plugins),
        depths=depths(space) if only is None else None,
    )
    rules = {**spec.rules(), "space": space.to_json(), "splitter": SPLITTER_VERSION}
    rules["plugins"] = sorted(digest_file(path) for path in plugins)
    return Question(spec, workspace, dataset, partition, space, maker, rules, auto=auto)


def read_data(
    spec: StudySpec, workspace: Workspace, progress: Progress, *, remember: bool
) -> tuple[Dataset, Partition]:
    """Read a study's data and deal its parts; arguments and errors as in `open_question`."""
    dataset = load_dataset(spec.data, PixelStore(workspace.pixels), progress, workspace.groups)
    check_classes(spec.decision, dataset.classes)
    check_leave_out(spec, dataset)
    return dataset, assign(dataset, spec.split, workspace.partition(spec.partition_name), remember=remember)


def decide(
    spec: StudySpec,
    read: tuple[Dataset, Partition],
    workspace: Workspace,
    *,
    remember: bool,
    machine: Machine | None = None,
) -> tuple[StudySpec, AutoSpace | None]:
    """Choose what a study leaves open (`auto_space_kept.settle`); arguments as in `open_question`."""

    def choose() -> AutoSpace:
        return auto_space(collect(spec, *read, machine or Machine()))

    return settle(spec, workspace.run(spec.name), choose, remember=remember)


def depths(space: SearchSpace) -> tuple[float, float] | None:
    """The least and the largest share of a backbone's blocks that trials of a space train; None where none does.

    Examples
    --------
    >>> from fdsearch.space import Distribution
    >>> depths(SearchSpace((Distribution("unfreeze", "float", low=0.05, high=0.3),)))
    (0.05, 0.3)
    """
    found = space.get("unfreeze")
    ends = () if found is None else found.choices or (found.low, found.high)
    shares = [float(end) for end in ends if isinstance(end, int | float)]
    return (min(shares), max(shares)) if shares else None


def check_leave_out(spec: StudySpec, dataset: Dataset) -> None:
    """Refuse a `split.leave_out` that names no column of the data.

    Raises
    ------
    ConfigError
    """
    column = spec.split.leave_out
    if column is not None and column not in dataset.metadata:
        fix = did_you_mean(column, list(dataset.metadata))
        fault = Fault("$.split.leave_out", column, "a column of the manifest beside filename and label", fix)
        raise ConfigError("the column to leave out does not exist", [fault])


def pixel_sizes(space: SearchSpace) -> list[tuple[int, str]]:
    """All (size, resize policy) pairs that a trial of the space, or its baseline, can ask for."""
    backbones = space.values("backbone") or (PARAMETERS["backbone"].default,)
    policies, sizes = set(space.values("resize")), set[int]()
    if (distribution := space.get("resize")) is None or distribution.when:
        policies.add(PARAMETERS["resize"].default)
    if (distribution := space.get("image_size")) is None or distribution.when:
        sizes |= {TrialConfig.from_params({"backbone": name}).image_size for name in backbones}
    if distribution is not None and distribution.kind == "int":
        sizes |= set(range(int(distribution.low), int(distribution.high) + 1, int(distribution.step or 1)))
    elif distribution is not None:
        sizes |= {int(size) for size in distribution.choices}
    pairs = {(size, policy) for size in sizes for policy in policies}
    return sorted(pairs | set(_sizes(baseline_config(space))))


def _sizes(*configs: TrialConfig | None) -> list[tuple[int, str]]:
    """What the configurations that there are ask for."""
    return sorted({(config.image_size, config.resize) for config in configs if config is not None})


def baseline_point(space: SearchSpace) -> dict[str, Value] | None:
    """The frozen probe as a point of the space, or None where the space has no probe."""
    wanted = {"phases": "probe", "class_weighting": 1.0, "pooling": "avg_max", "image_size": 224, "resize": "stretch"}
    wanted |= {
        "backbone": PARAMETERS["backbone"].default,
        "probe_c": PARAMETERS["probe_c"].default,
        "augmentation": 0.0,
        "exposure": "none",
        "probe_views": 1,
        "test_views": 1,
    }
    partial = {name: value for name, value in wanted.items() if (d := space.get(name)) is not None and d.holds(value)}
    for _ in range(len(partial)):
        try:
            point = space.complete(partial)
        except ConfigError as error:
            for fault in error.faults:  # inactive beside the others, as a probe's pooling beside a small network
                partial.pop(fault.where, None)
            continue
        return point if TrialConfig.from_params(point).epochs == 0 else None
    return None


def baseline_config(space: SearchSpace) -> TrialConfig | None:
    """The frozen probe that every candidate is compared with; None where no weights for it are here.

    An empty space, of data without a study or of a study that leaves it open, has the probe that an automatic one has.
    """
    point = baseline_point(space) if space.distributions else None
    if point is not None:
        return TrialConfig.from_params(point)
    from fdsearch.models.weights import available

    default = PARAMETERS["backbone"].default
    if "imagenet" not in available(default):
        return None
    return TrialConfig.from_params({"backbone": default, "phases": "probe", "pooling": "avg_max"})
