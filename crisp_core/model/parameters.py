"""A network's state as named numpy arrays, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.errors import WeightsError


def to_arrays(module: nn.Module) -> dict[str, AnyArray]:
    """Copy every parameter and buffer, by name, in the module's own order.

    Returns:
        C-contiguous arrays that share no memory with the module.
    """
    return {
        name: np.array(tensor.detach().cpu().numpy(), order="C")
        for name, tensor in module.state_dict().items()
    }


def load_arrays(module: nn.Module, arrays: Parameters) -> None:
    """Write named arrays into a module; the inverse of `to_arrays`.

    Raises:
        WeightsError: If a name, shape or dtype differs. Nothing is written then.
    """
    own = module.state_dict()
    require_same_names(set(own), set(arrays), where="parameters of the network")
    for name, tensor in own.items():
        _require_same_kind(name, tensor, arrays[name])
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.tensor(arrays[name]))


def require_same_names(own: set[str], given: set[str], *, where: str) -> None:
    """Compare the names of a network's arrays with those offered.

    Raises:
        WeightsError: If one is missing or too many; the first three of each are named.
    """
    if own != given:
        raise WeightsError(
            expected=f"{len(own)} named arrays",
            got=f"{len(given)}: missing {_some(own - given)}, unknown {_some(given - own)}",
            where=where,
            fix="Use weights of the same architecture, encoder, width and normalisation",
        )


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "") if shown else "none"


def _require_same_kind(name: str, tensor: torch.Tensor, array: AnyArray) -> None:
    expected = (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
    got = (array.shape, array.dtype.name)
    if expected != got:
        raise WeightsError(
            expected=f"shape {expected[0]} of {expected[1]}",
            got=f"shape {got[0]} of {got[1]}",
            where=f"array {name!r}",
            fix="Use weights of the same architecture, input channels and classes",
        )
