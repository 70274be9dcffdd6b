"""Optimizer wrapper with mixed precision on any device, and the two groups of parameters."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from omnivl.storage.tensor_shards import is_sharded, local_part

from .distributed import unwrapped

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}
# Parts of names whose parameters are not decayed although they have two dimensions or more.
NO_DECAY = ('pos_embed', 'position_embed', 'time_embed', 'temporal_embed', 'cls_token', 'mask_token', 'temperature')


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(OptimWrapper):
    """Steps an optimizer in full or mixed precision, and logs the norm of the gradients.

    MMEngine's ``AmpOptimWrapper`` needs a GPU; this one runs bf16 on a CPU, too.

    Where the loss or the norm is not finite, the update is left out: weights and state of the optimizer stay as they
    are. All ranks decide alike without asking each other, since the gradients are averaged over them before.
    ``TrainingMonitorHook`` tells of it, and stops the run where it should.

    Args:
        optimizer: The optimizer.
        precision: ``'fp32'``, ``'bf16'`` (autocast) or ``'fp16'`` (autocast and loss scaling, on a GPU).
        loss_scale: Arguments of ``torch.amp.GradScaler`` for fp16.
        accumulative_counts: Batches whose gradients are averaged into one update, which is one iteration of the train
            loop: they are of one task, and the momentum encoder moves once. Each batch has contrast candidates,
            matching negatives and a mean over words of its own; ``micro_batches`` of the model has those of the whole.
        clip_grad: ``dict(max_norm=...)``, or with ``type='value'`` ``dict(clip_value=...)``; ``None`` clips nothing.
        not_finite: What an update left out means: ``'stop'`` the run (by default), ``'skip'`` it, or in fp16
            ``'halve'`` the loss scale (there by default).
        max_skips: Updates in a row that may be left out; one more stops the run all the same.

    Attributes:
        left_out: Norm of the update that the last batch should have ended with; None = it was made, or is yet to come.
        spoiled: Parameters whose gradient was not finite in it.
        skipped: Updates left out so far.
        in_a_row: Updates left out since the last one made.

    Raises:
        OmniVLValueError: If the precision or what to do is unknown, or fp16 is asked for on a CPU.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        precision: str = 'fp32',
        loss_scale: Mapping[str, Any] | None = None,
        accumulative_counts: int = 1,
        clip_grad: dict[str, Any] | None = None,
        not_finite: str | None = None,
        max_skips: int = 10,
    ) -> None:
        if precision not in PRECISIONS:
            raise OmniVLValueError(f'optim_wrapper.precision is {precision!r}; allowed: {", ".join(PRECISIONS)}')
        self.device_type = optimizer.param_groups[0]['params'][0].device.type
        if precision == 'fp16' and self.device_type != 'cuda':
            raise OmniVLValueError(
                f'optim_wrapper.precision is fp16, which trains on a GPU only, and the model is on {self.device_type}; '
                'use bf16 (--amp bf16)'
            )
        allowed = ('halve', 'stop') if precision == 'fp16' else ('stop', 'skip')
        if not_finite not in (None, *allowed):
            raise OmniVLValueError(
                f'optim_wrapper.not_finite is {not_finite!r}; allowed with precision={precision!r}: '
                f'{", ".join(map(repr, allowed))}'
            )
        # Without clipping the norm is measured all the same: clipping at infinity changes nothing.
        super().__init__(optimizer, accumulative_counts, dict(clip_grad or dict(max_norm=math.inf)))
        self.precision = precision
        self.scaler = torch.amp.GradScaler(self.device_type, **(loss_scale or {})) if precision == 'fp16' else None
        self.not_finite = not_finite or allowed[0]
        self.max_skips = max_skips
        self.left_out: float | None = None
        self.spoiled: list[nn.Parameter] = []
        self.skipped = self.in_a_row = 0

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Count from the start of an update, without end: the train loop takes the batches of whole updates."""
        super().initialize_count_status(model, 0, -1)

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass in the wanted precision, without exchanging gradients inside an accumulation."""
        dtype = PRECISIONS[self.precision]
        with super().optim_context(model), torch.autocast(self.device_type, dtype, enabled=dtype is not None):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Compute gradients; arguments are those of ``Tensor.backward``."""
        self.left_out, self.spoiled = None, []
        # A loss that is not finite may have finite gradients, and be one rank's alone: NaN as its own gradient reaches
        # all parameters and, averaged, all ranks, without any wait for the device. That of others is 1, as usual.
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        kwargs.setdefault('gradient', torch.where(loss.detach().isfinite(), 1.0, math.nan).to(scaled.dtype))
        super().backward(scaled, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Clip and update, or leave the update out; arguments are those of the optimizer's ``step``."""
        if self.scaler is not None:
            # As if of an optimizer each: the scaler takes tensors of one kind, and asks all ranks about sharded ones.
            apart = (kind for kind in _apart(self._trained()) if kind)
            kinds = [cast(Any, SimpleNamespace(param_groups=[dict(params=kind)])) for kind in apart]
            for kind in kinds:  # all of which live until the update: the scaler knows them by their ids
                self.scaler.unscale_(kind)
        norm = self._clip_grad()
        if math.isfinite(norm):
            self.in_a_row = 0
            self.optimizer.step(**kwargs)  # the scaler would look for inf once more
        else:
            self.left_out = norm
            self.skipped += 1
            self.in_a_row += 1
        if self.scaler is not None:
            self.scaler.update()

    def _clip_grad(self) -> float:
        """Clip the gradients and return their norm before that; if it is not finite, note which ones are not."""
        parameters = self._trained()
        if not parameters:
            return 0.0
        gradients = [cast(Tensor, parameter.grad) for parameter in parameters]
        options = dict(self.clip_grad_kwargs)
        kind, foreach = float(options.get('norm_type', 2.0)), options.get('foreach')
        total = _total_norm(gradients, kind, foreach)
        norm = float(total)  # the one wait for the device before the step
        if not math.isfinite(norm):
            pairs = zip(parameters, gradients)
            self.spoiled = [parameter for parameter, gradient in pairs if not local_part(gradient).isfinite().all()]
            return norm
        self.message_hub.update_scalar('train/grad_norm', norm)
        scale = getattr(nn.utils, 'clip_grads_with_norm_', None)  # since torch 2.6; before, the norm is measured again
        if 'max_norm' not in options or scale is None:
            self.clip_func(parameters, **options)
        elif options['max_norm'] < math.inf:
            for kept in _apart(parameters):
                scale(kept, options['max_norm'], total, foreach)
        return norm

    def _trained(self) -> list[nn.Parameter]:
        """List the parameters that have a gradient."""
        trained = (parameter for group in self.optimizer.param_groups for parameter in group['params'])
        return [parameter for parameter in trained if parameter.requires_grad and parameter.grad is not None]

    def state_dict(self) -> dict[str, Any]:
        """Write down optimizer and scaler."""
        state = super().state_dict() | dict(skipped=self.skipped)
        if self.scaler is not None:
            state['scaler'] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Put back what :meth:`state_dict` wrote."""
        state = dict(state_dict)
        self.skipped = state.pop('skipped', 0)
        scaler = state.pop('scaler', None)
        if self.scaler is not None and scaler is not None:
            self.scaler.load_state_dict(scaler)
        super().load_state_dict(state)


def _total_norm(gradients: Sequence[Tensor], kind: float, foreach: bool | None) -> Tensor:
    """Return the norm of all gradients together, a scalar; of sharded ones with the parts of all ranks."""
    sharded, gradients = _apart(gradients)
    if sharded:
        parts = [local_part(gradient) for gradient in sharded]
        norm = _total_norm(parts, kind, foreach)
        if kind == math.inf:
            all_reduce(norm, 'max')
        else:
            all_reduce(norm.pow_(kind))
            norm.pow_(1 / kind)
        return torch.linalg.vector_norm(torch.stack([norm, _total_norm(gradients, kind, foreach)]), kind)
    measure = getattr(nn.utils, 'get_total_norm', None)  # since torch 2.6
    if measure is not None:
        return measure(gradients, kind, foreach=foreach)
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one, kind) for one in gradients]), kind)


def _apart(tensors: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return those that are sharded, and those that are not: functions of lists take one kind only."""
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for tensor in tensors:
        found[not is_sharded(tensor)].append(tensor)
    return found


def batches_per_update(optim_wrapper: OptimWrapper | Mapping[str, Any]) -> int:
    """Return how many batches an optimizer wrapper, or its config, averages into one update."""
    if isinstance(optim_wrapper, Mapping):
        return int(optim_wrapper.get('accumulative_counts', 1))
    return getattr(optim_wrapper, '_accumulative_counts', 1)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayGroupsConstructor:
    """Puts parameters into as few groups as weight decay and learning rates ask for, two as a rule.

    Few groups make fused and foreach optimizers fast. Not decayed are parameters of fewer than two dimensions (biases,
    scales of norms, the temperature), position embeddings and special tokens. A parameter used in several places
    appears once, a frozen one not at all.

    Args:
        optim_wrapper_cfg: Config of the wrapper, with ``optimizer``.
        paramwise_cfg: ``no_decay``: parts of further names that are not decayed; ``lr_mult``: beginning of a name ->
            factor of the learning rate, the longest that fits counts.

    Raises:
        OmniVLValueError: If an option is unknown, an ``lr_mult`` fits no parameter, or nothing is left to train.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        self.config = dict(optim_wrapper_cfg)
        options = dict(paramwise_cfg or {})
        self.no_decay: Sequence[str] = (*NO_DECAY, *options.pop('no_decay', ()))
        self.lr_mult: dict[str, float] = dict(options.pop('lr_mult', {}))
        if options:
            raise OmniVLValueError(f'paramwise_cfg has {sorted(options)}; allowed: no_decay, lr_mult')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper for a model, which may be in a distributed wrapper."""
        config = dict(self.config)
        optimizer_config = dict(config.pop('optimizer'))
        groups = self.groups(unwrapped(model), optimizer_config['lr'], optimizer_config.get('weight_decay', 0.0))
        for group in groups:
            size = sum(parameter.numel() for parameter in group['params'])
            print_log(
                f'{group["name"]}: {len(group["params"])} tensors, {size} values, '
                f'weight decay {group["weight_decay"]:g}, learning rate {group["lr"]:g}',
                logger='current',
            )
        optimizer = OPTIMIZERS.build(optimizer_config, default_args=dict(params=groups))
        return OPTIM_WRAPPERS.build(
            dict(dict(type='PrecisionOptimWrapper'), **config), default_args=dict(optimizer=optimizer)
        )

    def groups(self, model: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Sort the parameters of a model into groups for an optimizer, in an order that depends on their names only."""
        groups: dict[tuple[str, float], dict[str, Any]] = {}
        unused = set(self.lr_mult)
        for name, parameter in model.named_parameters():
            prefix = max((prefix for prefix in self.lr_mult if name.startswith(prefix)), key=len, default=None)
            unused.discard(prefix)
            if not parameter.requires_grad:
                continue
            factor = 1.0 if prefix is None else self.lr_mult[prefix]
            decayed = parameter.ndim >= 2 and not any(part in name for part in self.no_decay)
            title = 'decay' if decayed else 'no_decay'
            group = groups.setdefault(
                (title, factor),
                dict(
                    params=[],
                    lr=lr * factor,
                    weight_decay=weight_decay if decayed else 0.0,
                    name=title if factor == 1.0 else f'{title}_x{factor:g}',
                ),
            )
            group['params'].append(parameter)
        if unused:
            raise OmniVLValueError(
                f'paramwise_cfg.lr_mult: no parameter begins with {sorted(unused)}; the model has '
                f'{sorted({name.split(".")[0] for name, _ in model.named_parameters()})}'
            )
        if not groups:
            raise OmniVLValueError('no parameter of the model requires a gradient: there is nothing to train')
        return [groups[key] for key in sorted(groups)]
