"""The fake GPU: CUDA tensors without numbers beside CPU tensors with them."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from fake_cuda.record import Convolution, Copy, Memory, Place, Record, Wait, nbytes

aten = torch.ops.aten

# The host reads what a kernel wrote: a single number, a number of rows, or the range of ids.
READS_BACK = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.bincount.default,
}
# None of them starts a kernel.
FREE = {
    "aten::detach",
    "aten::lift_fresh",
    "aten::empty.memory_format",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty",
    "aten::new_empty_strided",
    "aten::_unsafe_view",
    "aten::is_same_size",
    "aten::set_.source_Storage_storage_offset",
}
# They touch no more of their largest tensor than they have indices.
SPARSE = {
    aten.index.Tensor,
    aten.index_select.default,
    aten.gather.default,
    aten.gather.out,
    aten.scatter_add_.default,
    aten.nll_loss2d_forward.default,
}
# They only look at the size of their second input.
WRITES_ONLY = {aten.nll_loss2d_backward.default}
# How many of their first arguments are images or weights.
CONVOLUTIONS = {
    aten.convolution.default: 2,
    aten.convolution_backward.default: 3,
    aten.cudnn_convolution_relu.default: 2,
    aten.cudnn_convolution_add_relu.default: 3,
}


class _Fakes(FakeTensorMode):
    avoid_device_init = True  # whatever `torch.cuda.is_available` says here


class FakeGpu(TorchDispatchMode):
    """Runs what touches ``cuda:0`` on fake tensors, and all else for real.

    A CUDA tensor that comes back to the host is zeros there, ``item()`` gives 0 or False, a mask of
    bools chooses everything, and tensors of two devices in one operation raise as on a GPU.
    """

    active: "FakeGpu"  # the one entered last

    def __init__(self) -> None:
        super().__init__()
        self.fake = _Fakes(allow_non_fake_inputs=True)
        self.memory = Memory()
        self.launches = 0
        self._records: list[tuple[Record, int]] = []
        self._pinned: set[int] = set()

    def __enter__(self) -> "FakeGpu":
        FakeGpu.active = self
        return super().__enter__()

    @contextmanager
    def record(self) -> Iterator[Record]:
        """What happens inside the block."""
        entry = (Record(), self.memory.live)
        self._records.append(entry)
        try:
            yield entry[0]
        finally:
            self._records.remove(entry)

    def wait(self, op: str) -> None:
        for record, _ in self._records:
            record.waits.append(Wait(op, Place.here()))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:  # asked for so often that it takes time
            return getattr(args[0], "fake_device", args[0].device)
        inputs = [*_tensors(args), *_tensors(kwargs.values())]
        on_gpu = [x for x in inputs if x.is_cuda]
        target = kwargs.get("device")
        target = torch.device(target).type if target is not None else None
        if not on_gpu and target != "cuda":
            return self._on_host(func, args, kwargs)
        if func in READS_BACK or (func is aten.index.Tensor and _has_mask(args[1])):
            return self._read_back(func, args, kwargs)
        if func is aten._fused_sgd_.default:  # it has no fake form
            assert len(on_gpu) == len(inputs), "fused SGD got tensors of two devices"
            self._launched(func, inputs, [])
            return None
        if func is aten.copy_.default and not args[0].is_cuda:
            out = args[0].zero_()
        else:
            with self.fake:
                out = _BY_PARTS.get(func, func)(*args, **kwargs)
        outputs = [*_tensors([out])]
        if any(isinstance(x, FakeTensor) and not x.is_cuda for x in outputs):
            # What leaves the GPU is real again.
            out = tree_map_only(FakeTensor, lambda x: x if x.is_cuda else _zeros(x), out)
            outputs = [*_tensors([out])]
        if func in (aten._to_copy.default, aten.copy_.default):
            source = args[0] if func is aten._to_copy.default else args[1]
            self._copied(source, outputs[0], *args[2:], **kwargs)
        self._launched(func, inputs, outputs)
        return out

    def _on_host(self, func, args: tuple, kwargs: dict):
        if func is aten._pin_memory.default:
            pinned = args[0].clone()
            storage = pinned.untyped_storage()
            self._pinned.add(storage._cdata)
            weakref.finalize(storage, self._pinned.discard, storage._cdata)
            return pinned
        if func is aten.is_pinned.default:
            return args[0].untyped_storage()._cdata in self._pinned
        return func(*args, **kwargs)

    def _read_back(self, func, args: tuple, kwargs: dict):
        first = next(x for x in _tensors(args) if x.is_cuda)
        self.wait(func.name())
        if func is aten._local_scalar_dense.default:
            return {torch.bool: bool, torch.float: float}.get(first.dtype, int)(0)
        if func is aten.equal.default:
            return True
        if func is aten.bincount.default:
            self.wait(func.name())  # for the least, then for the largest id
            length = kwargs.get("minlength", args[2] if len(args) > 2 else 0)
            out = first.new_zeros(length, dtype=torch.int64)
        elif func is aten.nonzero.default:
            out = first.new_zeros(first.numel(), first.dim(), dtype=torch.int64)
        elif func is aten.index.Tensor:
            mask = next(x for x in args[1] if x is not None)
            before = args[1].index(mask)
            shape = first.shape
            out = first.new_zeros(*shape[:before], mask.numel(), *shape[before + mask.dim() :])
        elif func is aten.masked_select.default:
            out = first.new_zeros(first.numel())
        else:
            raise NotImplementedError(f"the fake GPU has no answer to {func}")
        self._launched(func, [first], [out])
        return out

    def _copied(self, source: Tensor, target: Tensor, non_blocking: bool = False, **_) -> None:
        if source.is_cuda == target.is_cuda:
            return
        host = target if source.is_cuda else source
        copy = Copy(
            to_gpu=target.is_cuda,
            size=nbytes(source),
            blocking=not non_blocking,
            pinned=host.untyped_storage()._cdata in self._pinned,
            place=Place.here(),
        )
        for record, _ in self._records:
            record.copies.append(copy)
        if copy.blocking and source.is_cuda:
            self.wait("copy to the host")

    def _launched(self, func, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        name = func.name()
        if func.is_view:
            return
        self.memory.note(x for x in outputs if x.is_cuda)
        for record, live in self._records:
            record.peak = max(record.peak, self.memory.live - live)
        if name in FREE:
            return
        moved = _moved(func, inputs, outputs)
        self.launches += 1
        for record, _ in self._records:
            record.launches[name] += 1
            record.moved[name] += moved
            if func in CONVOLUTIONS:
                maps = inputs[: CONVOLUTIONS[func]]
                last = all(map(_is_channels_last, maps))
                record.convolutions.append(Convolution(name, maps[-1].shape, maps[-1].dtype, last))


def _conv_relu(x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups).relu_()


def _conv_add_relu(x, weight, residual, alpha, bias, *geometry) -> Tensor:
    assert residual.is_contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, bias, *geometry).add_(residual, alpha=alpha).relu_()


# Of these operators torch has no fake form.
_BY_PARTS = {
    aten.cudnn_convolution_relu.default: _conv_relu,
    aten.cudnn_convolution_add_relu.default: _conv_add_relu,
}


def _tensors(values: Iterable[object]) -> Iterator[Tensor]:
    """The tensors in ``values`` and in the lists in it."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _moved(func, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """Bytes that a kernel reads and writes, each number once."""
    sizes = [nbytes(x) for x in (*inputs, *outputs) if x.is_cuda]
    if func in SPARSE:
        largest = max(sizes)
        others = [size for size in sizes if size < largest]
        return sum(others) + max(others, default=0)
    if func in WRITES_ONLY:
        sizes.remove(max(sizes))
    return sum(sizes)


def _zeros(like: FakeTensor) -> Tensor:
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype).zero_()


def _is_channels_last(x: Tensor) -> bool:
    """Also of some channels of an image that is; and of what is quick to lay out anew."""
    return x.stride(1) == 1 or x.shape[1] <= 3 or x.shape[2:].numel() == 1


def _has_mask(indices: list[Tensor | None]) -> bool:
    return any(index is not None and index.dtype is torch.bool for index in indices)
