"""Where a site computes: its GPU if it has one, else a fixed number of CPU threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from crisp_core.errors import UsageError
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.randomness import keyed_generator
from crisp_core.schema.manifest import SiteSettings


@dataclass(frozen=True)
class Workbench:
    """A device and how numbers are held on it."""

    device: torch.device

    @property
    def accelerated(self) -> bool:
        """Tell whether this is a GPU: bf16 autocast then pays."""
        return self.device.type == "cuda"

    def placed(self, segmenter: Segmenter) -> Segmenter:
        """Move a network here, channels last: its decodes take a quarter less on a CPU too."""
        return segmenter.to(self.device).to(memory_format=torch.channels_last)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in bf16 on a GPU, in float32 elsewhere."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.accelerated):
            yield

    @contextmanager
    def seeded(self, *key: str | int) -> Iterator[None]:
        """Let what draws from torch's own stream (dropout) depend on `key` alone."""
        with torch.random.fork_rng():
            torch.random.set_rng_state(keyed_generator(*key).get_state())
            if self.accelerated:
                seed = keyed_generator(*key).initial_seed()
                torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)
            yield


def workbench_of(settings: SiteSettings) -> Workbench:
    """Take the device that the site's settings name; "auto" takes a GPU if there is one.

    Raises:
        UsageError: If the named device is not there.
    """
    torch.set_num_threads(settings.threads or _all_threads())
    cuda = torch.cuda.is_available()
    if settings.device == "auto":
        return Workbench(torch.device("cuda", 0) if cuda else torch.device("cpu"))
    if settings.device.startswith("cuda") and not cuda:
        raise UsageError(
            expected="a CUDA device",
            got="none",
            where=f"device of site {settings.site!r}",
            fix='Set device = "auto" or "cpu" in site.toml',
        )
    return Workbench(torch.device(settings.device))


def _all_threads() -> int:
    """Count the cores, unless OMP_NUM_THREADS says how many are ours."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return (int(said) if said.isdecimal() else 0) or os.cpu_count() or 1
