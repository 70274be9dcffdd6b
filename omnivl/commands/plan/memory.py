"""How much memory a step takes, found by taking it: a config's model, losses and optimizer on tensors of no values.

The tensors have shapes, types and storages, but no memory (PyTorch's ``FakeTensorMode``). Every storage is booked when
an operator makes it and struck off when nothing refers to it any more, so the balance is, at each moment, what a device
would have allocated: what autograd keeps for the backward pass under the precision of the config, the gradients as they
come and the activations as they go, intermediate results, the state of the optimizer. What runs inside one operator
and what an allocator loses between its blocks is not seen.
"""

import copy
import gc
import logging
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from omnivl.engine.optim import PRECISIONS
from omnivl.errors import OmniVLValueError
from omnivl.models.layers.recompute import Recompute
from omnivl.models.sharding import matrices_of
from omnivl.registry import OPTIM_WRAPPER_CONSTRUCTORS

from ..flops.counting import Sizes, build_model, found_everywhere, make_batch

# Where the fake tensors say that they are: without a driver autograd has no other device (hasPrimaryContext).
DEVICE = 'cpu'


@dataclass(frozen=True)
class Load:
    """What a step is of, on one device.

    Attributes:
        modality: What there is to see.
        sizes: Of each sample.
        batch_size: Number of samples.
        losses: Names of the losses of the task; None = all.
        precision: Name of ``PRECISIONS``.
        accumulates: Whether gradients of an earlier batch are there already.
        checkpointing: What of the blocks is recomputed in the backward pass; None = as the config says.
    """

    modality: str
    sizes: Sizes
    batch_size: int
    losses: tuple[str, ...] | None = None
    precision: str = 'fp32'
    accumulates: bool = False
    checkpointing: Recompute | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes of one device.

    Attributes:
        weights: Parameters, but for those of the momentum encoder.
        gradients: Of the parameters that the step uses.
        optimizer: State of the optimizer.
        momentum_encoder: Parameters and buffers of the momentum encoder.
        queues: All other buffers, which are the queues of features.
        batch: The inputs.
        activations: What lies there at the end of the forward pass beyond all of these, for the backward pass.
        peak: The most that lies there at any moment of the step; less than the sum where activations go before
            gradients come, more where intermediate results are large.
    """

    weights: int
    gradients: int
    optimizer: int
    momentum_encoder: int
    queues: int
    batch: int
    activations: int
    peak: int


class _Fakes(FakeTensorMode):
    """The mode of fake tensors, of which there is one, however often its tensors are copied (momentum encoder)."""

    def __deepcopy__(self, memo: dict) -> '_Fakes':
        return self


class Ledger(TorchDispatchMode):
    """Books every storage that is made within it, until it is freed.

    Numbers that are read out of tensors are made up, and what is looked for in them is everywhere.

    Attributes:
        balance: Bytes that lie there now.
        peak: The most since it was last set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.balance = 0
        self.peak = 0
        self._booked: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Compute, and book what is new."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 0  # an optimizer divides by what comes of its steps
        if func is torch.ops.aten.nonzero.default:
            outputs = found_everywhere(args[0])
        else:
            outputs = func(*args, **(kwargs or {}))
        for output in tree_leaves(outputs):
            if isinstance(output, Tensor):
                self._book(output.untyped_storage())
        return outputs

    def _book(self, storage: torch.UntypedStorage) -> None:
        if storage in self._booked:
            return
        size = storage.nbytes()
        self._booked[storage] = size
        weakref.finalize(storage, self._strike, size)
        self.balance += size
        self.peak = max(self.peak, self.balance)

    def _strike(self, size: int) -> None:
        self.balance -= size


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, **rest: Any
) -> Tensor:
    return _ATTENTION(query, key, value, attn_mask, **rest)


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return torch.native_dropout(input, p, training)[0] if training and p else input


def _layer_norm(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _LAYER_NORM(input.float() if torch.is_autocast_enabled(DEVICE) else input, *args, **kwargs)


_ATTENTION, _LAYER_NORM = F.scaled_dot_product_attention, F.layer_norm


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Compute with a CPU's tensors as on a GPU, where that keeps other tensors for the backward pass.

    Fused attention with dropout keeps no attention weights, dropout keeps a mask of bytes, and autocast computes layer
    norms in float32. (A ``TorchFunctionMode`` would be switched off in the backward pass, where blocks are recomputed.)
    """
    rules = dict(scaled_dot_product_attention=_attention, dropout=_dropout, layer_norm=_layer_norm)
    own = {name: getattr(F, name) for name in rules}
    try:
        for name, rule in rules.items():
            setattr(F, name, rule)
        yield
    finally:
        for name, function in own.items():
            setattr(F, name, function)


@contextmanager
def cleaned() -> Iterator[None]:
    """Free at the end what was made within and lies in cycles, without a look at all else that the process has.

    To go through the objects of PyTorch and its like takes half a second each time.
    """
    frozen = gc.get_freeze_count()  # by somebody else, who wants it so
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        if not frozen:
            gc.unfreeze()


class Rehearsal:
    """The model of a config and its optimizer, on tensors of no values, and the steps that they take.

    Args:
        model: Config of the model.
        optim_wrapper: Config of the optimizer wrapper; None for a model that is only used.
        on_gpu: Whether it runs as on a GPU, or as on a CPU.
    """

    @cleaned()
    def __init__(self, model: Mapping[str, Any], optim_wrapper: Mapping[str, Any] | None, on_gpu: bool = True) -> None:
        self.on_gpu = on_gpu
        self.fakes = _Fakes()
        self.ledger = Ledger()
        with self._fake():
            self.model: Any = build_model(model, DEVICE)
            self.optimizer = None if optim_wrapper is None else self._build_optimizer(optim_wrapper)
        self.default_checkpointing = {module: module.activation_checkpointing for module in self._blocks()}
        self._taken: dict[Load, Memory] = {}

    def step(self, load: Load) -> Memory:
        """Take a training step, or remember it, and return what it needs at the most."""
        if load not in self._taken:
            self._taken[load] = self._take(load)
        return self._taken[load]

    @cleaned()
    def _take(self, load: Load) -> Memory:
        assert self.optimizer is not None
        self._set_checkpointing(load.checkpointing)
        self.model.train()
        with self._fake():
            if load.accumulates:
                self._fill_gradients()
            before = self.ledger.peak = self.ledger.balance
            batch = make_batch(load.modality, load.sizes, load.batch_size, load.losses, DEVICE)
            inputs = self.ledger.balance - before
            with self._precision(load.precision):
                losses = self.model.loss(batch)
            activations = self.ledger.balance - before - inputs
            sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
            gradients = _bytes(one.grad for one in self.model.parameters() if one.grad is not None)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return Memory(gradients=gradients, batch=inputs, activations=activations, **self._rest())

    def recomputed(self, load: Load, how: Recompute = True) -> Memory:
        """Take a training step in which all parts that can recompute their blocks do so."""
        return self.step(replace(load, checkpointing=how))

    @cleaned()
    def encode(self, load: Load) -> Memory:
        """Compute the features of a batch, as an evaluation does, and return what that needs at the most."""
        self.model.eval()
        with self._fake(), torch.no_grad():
            before = self.ledger.peak = self.ledger.balance
            batch = make_batch(load.modality, load.sizes, load.batch_size, load.losses, DEVICE)
            inputs = self.ledger.balance - before
            with self._precision(load.precision):
                self.model(batch, mode='tensor')
        return Memory(gradients=0, batch=inputs, activations=self.ledger.peak - before - inputs, **self._rest())

    def sharded_share(self) -> float:
        """Return the share of the parameters that FSDP2 cuts into parts; 0 = the model has no blocks."""
        try:
            cut = matrices_of(self.model)
        except OmniVLValueError:
            return 0.0
        return _bytes(cut) / _bytes(dict.fromkeys(self.model.parameters()))

    def largest_block(self) -> int:
        """Return the bytes of the largest block, which FSDP2 gathers as a whole."""
        lists = (module for module in self.model.modules() if isinstance(module, nn.ModuleList))
        return max((_bytes(block.parameters()) for blocks in lists for block in blocks), default=0)

    def has_checkpointing(self) -> bool:
        """Whether some part can recompute its blocks."""
        return bool(self.default_checkpointing)

    def checkpoints_by_default(self) -> bool:
        """Whether all parts that can recompute the whole of their blocks do so by their config."""
        return self.has_checkpointing() and all(how is True for how in self.default_checkpointing.values())

    def _rest(self) -> dict[str, int]:
        return lasting_bytes(self.model, self.optimizer) | dict(peak=self.ledger.peak)

    @contextmanager
    def _fake(self) -> Iterator[None]:
        with ExitStack() as stack:
            # Under the ledger, so that it sees what a device would be asked for, and not what fakes are made with.
            for mode in (self.fakes, self.ledger, as_on_gpu() if self.on_gpu else nullcontext()):
                stack.enter_context(mode)
            yield

    @contextmanager
    def _precision(self, name: str) -> Iterator[None]:
        # fp16 as bf16, which a CPU's autocast has for all operators: their sizes are equal.
        enabled = PRECISIONS[name] is not None
        with torch.autocast(DEVICE, torch.bfloat16, enabled=enabled):
            yield

    def _blocks(self) -> list[Any]:
        """List the parts with the option ``activation_checkpointing``; encoders of projects need not have it."""
        return [
            one for one in self.model.modules() if isinstance(vars(one).get('activation_checkpointing'), bool | str)
        ]

    def _set_checkpointing(self, wanted: Recompute | None) -> None:
        for module, default in self.default_checkpointing.items():
            module.activation_checkpointing = default if wanted is None else wanted

    def _build_optimizer(self, config: Mapping[str, Any]) -> torch.optim.Optimizer:
        """Build the optimizer of a wrapper, with the state that it has after a step."""
        optimizer = build_optimizer(self.model, config)
        for group in optimizer.param_groups:
            if self.on_gpu and group.get('foreach') is None and not group.get('fused'):
                group['foreach'] = True  # PyTorch's choice on a GPU
        self._fill_gradients()
        optimizer.step()
        optimizer.zero_grad()
        return optimizer

    def _fill_gradients(self) -> None:
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)


def build_optimizer(model: nn.Module, config: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Build the optimizer of an optimizer wrapper's config."""
    constructor = dict(
        type=config.get('constructor', 'DefaultOptimWrapperConstructor'),
        optim_wrapper_cfg=dict(type='OptimWrapper', optimizer=copy.deepcopy(config['optimizer'])),
        paramwise_cfg=copy.deepcopy(config.get('paramwise_cfg')),
    )
    with silent():
        return OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(model).optimizer


def lasting_bytes(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, int]:
    """Return the bytes that lie there between two steps, by the names of ``Memory``."""
    momentum = getattr(model, 'momentum_encoder', None)
    averages = [] if momentum is None else [*momentum.parameters(), *momentum.buffers()]
    known = {id(tensor) for tensor in averages}
    state = [] if optimizer is None else tree_leaves([dict(one) for one in optimizer.state.values()])
    return dict(
        weights=_bytes(one for one in model.parameters() if id(one) not in known),
        optimizer=_bytes(one for one in state if isinstance(one, Tensor)),
        momentum_encoder=_bytes(averages),
        queues=_bytes(one for one in model.buffers() if id(one) not in known),
    )


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(cast(Tensor, one).untyped_storage().nbytes() for one in tensors)


@contextmanager
def silent() -> Iterator[None]:
    """Keep what is built here out of the log, which a constructor tells of its groups."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
