"""What trials of a space will take on this machine, by the speeds of `auto_space_tables`: estimates, nothing is run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fdsearch.pipeline.auto_space_facts import Facts
from fdsearch.pipeline.auto_space_tables import MIN_TRIALS, NATIVE, RELATIVE_COST, Device, Tier


@dataclass(frozen=True)
class Cost:
    """What trials take here, seconds, by the tables' speeds.

    Parameters
    ----------
    facts : Facts
    device : Device
    backbones : list of str
    sizes : list of int
        Sides of the pictures, pixels.
    search_s : float
        Time of the search.
    """

    facts: Facts
    device: Device
    backbones: list[str]
    sizes: list[int]
    search_s: float

    @property
    def _scale(self) -> float:
        """Cost of a picture, mean over sizes and backbones, in pictures of `NATIVE` pixels in EfficientNet-Lite0."""
        area = sum((size / NATIVE) ** 2 for size in self.sizes) / len(self.sizes)
        return area * sum(RELATIVE_COST[name] for name in self.backbones) / len(self.backbones)

    def views_s(self, views: int) -> float:
        """The frozen layers' outputs of all pictures and views, each size and backbone once."""
        n = self.facts.n * views * len(self.sizes) * len(self.backbones)
        return n * self._scale / (self.device.forward_per_s * self.facts.n_devices)

    def deep_s(self, epochs: float) -> float:
        """One trial that trains a tail."""
        n = self.facts.n * self.facts.train_share * self.facts.n_fits * epochs
        return n * self._scale / (self.device.tail_per_s * self.facts.n_devices)

    def n_trials(self, tier: Tier) -> int:
        """So many as fill the search's time, half of them deep where any are."""
        deep = self.deep_s(sum(tier.epochs) / 2) if set(tier.phases) - {"probe", "head"} else 0.0
        one = self.views_s(1) / len(self.sizes) + 2.0 * self.facts.n_fits + deep / 2
        return max(MIN_TRIALS, min(tier.max_trials, math.floor(self.search_s / one)))
