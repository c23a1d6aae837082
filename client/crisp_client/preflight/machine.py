"""What this machine brings: versions, processor or GPU, disk, keys that nobody else can read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from crisp_client.connection import Finding
from crisp_client.device import workbench_of
from crisp_client.home import SiteHome
from crisp_client.survey import versions
from crisp_core.schema.manifest import SiteSettings
from crisp_core.trust.keys import load_signing_key, read_private

GIGABYTE = 1e9
GPU_NEEDED = 4 * GIGABYTE
"""Free memory below which a GPU is worth a remark."""
SPARE = 1.2
"""Room on disk for hints and logs, beside what the cache takes."""


def software() -> Finding:
    """Name the versions that decide what is computed."""
    found = ", ".join(f"{name} {number}" for name, number in versions().items())
    return Finding("ok", "software", found)


def device(settings: SiteSettings) -> Iterator[Finding]:
    """Say where this site will compute, and with how much free memory.

    Raises:
        UsageError: If the device that the settings name is not there.
    """
    found = workbench_of(settings).device
    if found.type != "cuda":
        yield Finding("ok", "device", f"no GPU is used; {os.cpu_count()} processors")
        return
    free, total = torch.cuda.mem_get_info(found)
    sentence = (
        f"{torch.cuda.get_device_name(found)}, "
        f"{free / GIGABYTE:.1f} of {total / GIGABYTE:.1f} GB free"
    )
    if free < GPU_NEEDED:
        fix = "End what else runs there, name another device in site.toml, or take the CPU"
        yield Finding("warning", "device", sentence, fix)
    else:
        yield Finding("ok", "device", sentence)


def keys(home: SiteHome) -> Iterator[Finding]:
    """See that both private keys are there and readable by their owner alone.

    Raises:
        UntrustedError: If one is not.
    """
    read_private(home.node_key)
    load_signing_key(home.signing_key)
    yield Finding("ok", "keys", "both private keys are here and readable by their owner alone")


def disk(settings: SiteSettings, needed: int) -> Iterator[Finding]:
    """Compare the room in the site's folders with what prepared cases will take."""
    folder = _existing(Path(settings.cache or settings.work))
    free = shutil.disk_usage(folder).free
    sentence = (
        f"{free / GIGABYTE:.1f} GB free in {folder}, prepared cases take {needed / GIGABYTE:.1f} GB"
    )
    if not os.access(folder, os.W_OK):
        yield Finding("error", "disk", f"{folder} cannot be written", "Mend its rights")
    elif free < SPARE * needed:
        fix = "Free space, or name another folder as `cache` in site.toml"
        yield Finding("error", "disk", sentence, fix)
    else:
        yield Finding("ok", "disk", sentence)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above that is there."""
    return next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
