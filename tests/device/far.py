"""A second device on a machine that has none: tensors on `far:0`, computed by the CPU, that refuse to meet the CPU's.

`register` makes PyTorch find an accelerator for the rest of the process: use one of its own. What this cannot show:
kernels, streams, memory and precision of a real GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

_ATEN = torch.ops.aten
# These may bring tensors of two devices together, on a GPU too.
_CROSSING = (_ATEN._to_copy.default, _ATEN.copy_.default)
_INDEXING = (_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default)


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def register() -> torch.device:
    """Make the device known to PyTorch, once per process, and return it."""
    _setup_privateuseone_for_python_backend("far", backend_module=_Module())
    return torch.device("far:0")


class Far(Tensor):
    """A tensor of the far device; `near` holds its numbers."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> Far:
        found: Far = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, near.size(), strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype,
            layout=near.layout, device=torch.device("far:0"),
        )  # fmt: skip
        found.near = near
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Far({self.near!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A checkpoint holds numbers; it is loaded to the CPU.
        return self.detach().cpu().requires_grad_(self.requires_grad).__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert a tensor of far:0 to numpy; copy it to the CPU first")

    __array__ = numpy


@contextlib.contextmanager
def far_device() -> Iterator[None]:
    """Let `device=` name the far device for the block."""
    with _Made(), _Placed():
        yield


class _Placed(TorchDispatchMode):
    """Sees what makes tensors out of none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """Makes tensors out of Python's numbers, which PyTorch would do below the dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and _is_far(kwargs.get("device")):
            return func(*args, **{**kwargs, "device": "cpu"}).to("far:0")
        if func is Tensor.new_tensor and isinstance(args[0], Far):
            return torch.tensor(*args[1:], dtype=kwargs.get("dtype", args[0].dtype)).to("far:0")
        return func(*args, **kwargs)


def _is_far(device: Any) -> bool:
    return device is not None and torch.device(device).type == "far"


def _run(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    far = [each for each in tensors if isinstance(each, Far)]
    place = kwargs.get("device")
    leads_far = _is_far(place) if place is not None else bool(far)
    if func is _ATEN.copy_.default:
        leads_far = isinstance(args[0], Far)
    elif far and func not in _CROSSING:
        _check_together(func, [each for each in tensors if not isinstance(each, Far)])
    if leads_far and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: expected a generator of far:0, found one of the CPU")
    own = {id(each.near): each for each in far}
    near_kwargs = {**kwargs, "device": torch.device("cpu")} if _is_far(place) else kwargs
    near_args, near_kwargs = tree_map_only(Far, lambda each: each.near, (args, near_kwargs))
    found = func(*near_args, **near_kwargs)
    if not leads_far:
        return found
    found = tree_map_only(Tensor, lambda each: own.get(id(each)) if id(each) in own else Far(each), found)
    return return_and_correct_aliasing(func, args, kwargs, found) if far else found


def _check_together(func: Any, near: list[Tensor]) -> None:
    """As on a GPU: a number may come from the CPU, and so may indices; nothing else."""
    for each in near:
        index = func in _INDEXING and each.dtype in (torch.bool, torch.long)
        if each.dim() and not index:
            raise RuntimeError(f"{func}: expected all tensors on one device, found far:0 and {each.device}")
