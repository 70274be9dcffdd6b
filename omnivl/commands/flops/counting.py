"""Counting of parameters and operations, part by part, on tensors without values."""

import argparse
import copy
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from omnivl.engine import ConfigError, read_config
from omnivl.models.interfaces import HasImageSize, HasParts, offered_by
from omnivl.models.losses import MatchingPairs, TextPrediction
from omnivl.registry import MODELS
from omnivl.structures import FRAMES, MODALITIES, VLBatch

REST = 'heads and losses'  # what is in no other line
MOMENTUM = 'momentum encoder'
DEVICE = 'meta'


class Sizes(NamedTuple):
    """What is put through the model.

    Attributes:
        size: Side of a picture in pixels.
        frames: Frames of a clip.
        words: Word pieces of a text, the first and the last ([CLS] and [SEP]) and a prompt included.
        views: Pictures or clips of each sample, see ``AugmentedViews``.
    """

    size: int
    frames: int
    words: int
    views: int = 1


@dataclass
class Part:
    """One line of the table.

    Attributes:
        parameters: Number of parameters that no part above it has.
        shared: Number of parameters that a part above it has too.
        flops: ``'image forward'``, ``'image step'``, ``'video forward'``, ``'video step'`` -> operations.
    """

    parameters: int = 0
    shared: int = 0
    flops: dict[str, int] = field(default_factory=dict)


class NoVocabulary:
    """Stands in for a tokenizer, whose file nobody needs for counting: every token has the same id."""

    vocab_size = 0
    pad_id = unk_id = cls_id = sep_id = decoder_id = encoder_id = 0

    def encode(self, text: str, max_length: int) -> list[int]:
        """Make [CLS] and [SEP] of any text: a prompt is part of the words that are asked for."""
        return [self.cls_id, self.sep_id]


class NumbersAreZero(TorchDispatchMode):
    """Within it, a number that a model reads out of a tensor is 0, and what it looks for is everywhere.

    On the meta device tensors have no values.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Compute everything else as it is."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return 0
        if func is torch.ops.aten.nonzero.default:
            return found_everywhere(args[0])
        return func(*args, **(kwargs or {}))


def found_everywhere(tensor: Tensor) -> Tensor:
    """Make what ``nonzero`` gives of a tensor that has no zeros, int64 (N, dimensions), without its values."""
    return tensor.new_empty(tensor.numel(), tensor.ndim, dtype=torch.int64)


def build_model(config: Mapping[str, Any], device: str = DEVICE) -> nn.Module:
    """Build the model of a config, on ``meta`` without memory; it is a ConfigError if it does not name its parts."""
    config = copy.deepcopy(config)
    if 'tokenizer' in config.get('trunk', {}):
        config['trunk']['tokenizer'] = dict(type=NoVocabulary)
    with torch.device(device):
        model = MODELS.build(config)
    if offered_by(model, HasParts) is None:
        raise ConfigError(f'model is a {type(model).__name__}, which does not say what its parts are (HasParts)')
    return model


def lines_of(model: Any) -> dict[str, list[nn.Module]]:
    """Line of the table -> the modules that belong to it; one that two parts share belongs to both.

    A part that is a single layer has no line of its own, nor has the head of a decoder; tokenizers have one.
    """
    roots: dict[str, nn.Module] = {}
    for name, part in model.parts.items():
        for modality in MODALITIES:
            if hasattr(part, f'{modality}_tokenizer'):
                roots[f'{modality} tokenizer'] = getattr(part, f'{modality}_tokenizer')
        if any(True for _ in part.children()):
            roots[name.replace('_', ' ')] = part
    heads: list[Any] = [part.head for part in roots.values() if hasattr(part, 'head')]
    momentum = getattr(model, 'momentum_encoder', None)
    ends = {*roots.values(), *heads, momentum}
    lines = {name: list(_inside(root, ends)) for name, root in roots.items()}
    lines[REST] = [*_inside(model, ends), *(module for head in heads for module in head.modules())]
    if momentum is not None:
        lines[MOMENTUM] = list(momentum.modules())
    return lines


def _inside(module: nn.Module, ends: set[Any]) -> Iterator[nn.Module]:
    yield module
    for child in module.children():
        if child not in ends:
            yield from _inside(child, ends)


def count_parameters(model: nn.Module) -> dict[str, Part]:
    """Make the lines of the table, without operations; those that have no parameters are left out."""
    parts: dict[str, Part] = {}
    seen: set[nn.Parameter] = set()
    for name, modules in lines_of(model).items():
        own = {parameter for module in modules for parameter in module.parameters(recurse=False)}
        if own:
            parts[name] = Part(_size(own - seen), _size(own & seen))
        seen |= own
    return parts


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def make_batch(
    modality: str, sizes: Sizes, count: int = 1, losses: tuple[str, ...] | None = None, device: str = DEVICE
) -> VLBatch:
    """Make samples with all that a task may ask for: a text that is a question too, an answer, a class.

    Args:
        modality: What there is to see.
        sizes: Of each sample.
        count: How many samples.
        losses: Names of the losses that the task computes; None = all.
        device: Where they are.

    Returns:
        The batch; its pixels and word pieces are zeros.
    """
    time = sizes.frames if MODALITIES[modality].has_time else 1
    each = torch.zeros(count, dtype=torch.int64, device=device)
    ids = torch.zeros(count, sizes.words, dtype=torch.int64, device=device)
    real = torch.ones_like(ids, dtype=torch.bool)
    return VLBatch(
        {modality: torch.zeros(count, sizes.views * time, 3, sizes.size, sizes.size, device=device)},
        text_ids=ids,
        text_mask=real,
        target_ids=torch.arange(count, device=device),
        labels=each,
        answer_ids=ids,
        answer_mask=real,
        answer_weights=torch.ones(count, device=device),
        answer_owner=torch.arange(count, device=device),
        num_views=sizes.views,
        losses=losses,
    )


class Meter:
    """Counts the operations of one pass over one sample, line by line of the table.

    An operation belongs to the line whose module is at work. In the backward pass no module is at work, so each node of
    autograd's graph is given to the line that made it, when a module returns; it says so before it is run.

    Args:
        model: On the meta device.
        modality: What is put through it.
        sizes: What is put through it.
        train: Whether it is a training step.
        losses: Names of the losses that a step computes; None = all.
    """

    def __init__(
        self, model: Any, modality: str, sizes: Sizes, train: bool, losses: tuple[str, ...] | None = None
    ) -> None:
        self.model = model.train(train)
        self.batch = make_batch(modality, sizes, losses=losses)
        self.train = train
        self.lines: dict[nn.Module, list[str]] = {}
        for name, modules in lines_of(model).items():
            for module in modules:
                self.lines.setdefault(module, []).append(name)
        self.flops: Counter[str] = Counter()
        self.counter = FlopCounterMode(display=False)
        self.counted = 0
        self.at_work = [REST]  # the innermost line last
        self.nodes: set[Any] = set()

    def run(self) -> Counter[str]:
        """Count everything: line -> operations."""
        with NumbersAreZero(), self.counter, torch.set_grad_enabled(self.train), self._watching():
            if self.train:
                losses = self.model.loss(self.batch)
                self._enter(self.model)
                sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
            else:
                self.forward()
            self._book()
        self.model.zero_grad()
        return self.flops

    def forward(self) -> None:
        """Compute what the losses need, of a visual and its own text; without losses, the features."""
        losses = getattr(self.model, 'losses', None)
        if not losses:
            self.model(self.batch, mode='tensor')
            return
        step = self.model.step_type(self.model, self.batch)
        own = cast(Tensor, self.batch.target_ids)
        match = torch.ones_like(own)
        step.pairs = MatchingPairs(own, own, match, match.bool())  # a step draws negatives where none are put
        for loss in losses.values():
            for need in loss.needs:
                if isinstance(value := getattr(step, need), TextPrediction):
                    value.head(value.tokens)  # losses make the logits

    @contextmanager
    def _watching(self) -> Iterator[None]:
        hooks = register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _book(self) -> None:
        """Give what was computed since the last change of lines to the one at work."""
        total = self.counter.get_total_flops()
        self.flops[self.at_work[-1]] += total - self.counted
        self.counted = total

    def _enter(self, module: nn.Module, *_: Any) -> None:
        self._book()
        lines = self.lines.get(module, [REST])
        self.at_work.append(self.at_work[-1] if self.at_work[-1] in lines else lines[0])

    def _leave(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        self._book()
        line = self.at_work.pop()
        waiting = [tensor.grad_fn for tensor in _tensors(outputs)]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in self.nodes:
                self.nodes.add(node)
                node.register_prehook(partial(self._resume, line))
                waiting += [before for before, _ in node.next_functions]

    def _resume(self, line: str, *_: Any) -> None:
        self._book()
        self.at_work = [line]


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, Mapping):
        yield from _tensors(list(outputs.values()))
    elif isinstance(outputs, list | tuple):
        for output in outputs:
            yield from _tensors(output)


def measure(model: nn.Module, sizes: Sizes) -> dict[str, Part]:
    """Make the table: a line for each part, and their sum as ``'total'``.

    A model without losses has no training steps.
    """
    parts = count_parameters(model)
    passes = {'forward': False, 'step': True} if getattr(model, 'losses', None) else {'forward': False}
    visuals = [name for name, modality in MODALITIES.items() if modality.kind == FRAMES]
    for modality in visuals:
        for name, train in passes.items():
            for part, flops in Meter(model, modality, sizes, train).run().items():
                if flops:
                    parts[part].flops[f'{modality} {name}'] = flops
    total = Part(sum(part.parameters for part in parts.values()))
    for column in [f'{modality} {name}' for modality in visuals for name in passes]:
        total.flops[column] = sum(part.flops.get(column, 0) for part in parts.values())
    return {**parts, 'total': total}


def format_table(parts: dict[str, Part]) -> str:
    """Write the table from ``measure`` for people: parameters in millions, operations in units of 1e9."""
    columns = list(parts['total'].flops)
    rows = [['part', 'parameters', 'shared', *(f'{column}, GFLOPs' for column in columns)]]
    for name, part in parts.items():
        counts = [f'{count / 1e6:.2f} M' if count else '' for count in (part.parameters, part.shared)]
        flops = [f'{part.flops[column] / 1e9:.3f}' if part.flops.get(column) else '' for column in columns]
        rows.append([name, *counts, *flops])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))]
        lines.append('  '.join(cells))
    rule = '-' * len(lines[0])
    return '\n'.join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def choose_sizes(arguments: argparse.Namespace, config: Mapping[str, Any], model: Any) -> Sizes:
    """Put the options of the command line, the visual encoder and its config together."""
    encoder = config.get('trunk', config).get('visual_encoder', {})
    sized = offered_by(model.parts.get('visual_encoder'), HasImageSize)
    size = sized.image_size[0] if sized is not None else encoder.get('image_size', 224)
    return Sizes(arguments.size or size, arguments.frames or encoder.get('num_frames', 8), arguments.words)


def count(arguments: argparse.Namespace) -> None:
    """Count and print what the options of the command describe."""
    cfg = read_config(arguments.config, arguments.trust_code)
    if 'model' not in cfg:
        raise ConfigError(f'{arguments.config} has no model')
    model = build_model(cfg.model)
    sizes = choose_sizes(arguments, cfg.model, model)
    parts = measure(model, sizes)
    if arguments.json:
        print(json.dumps({'sizes': sizes._asdict(), 'parts': {name: asdict(part) for name, part in parts.items()}}))
        return
    print(f'{sizes.size} x {sizes.size} pixels, clips of {sizes.frames} frames, texts of {sizes.words} word pieces')
    print(format_table(parts))
    print(f'{_size(filter(lambda one: one.requires_grad, model.parameters())) / 1e6:.2f} M parameters are trained')
