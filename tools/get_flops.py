"""Count parameters and floating point operations of a model, part by part, for one image and for one clip.

Nothing is computed: the model lives on torch's meta device, so large ones take a second too. A multiply-add counts as
two operations (papers often give multiply-adds and call them FLOPs). Counted are matrix products, convolutions and
attention; forward is one visual with one text through every part once, step is the share of one sample in a training
step: forward and backward, the three pairs of VLM, the momentum twin and the queues.

Examples:
    python tools/get_flops.py configs/omnivl/pretrain_joint.py
    python tools/get_flops.py configs/omnivl/pretrain_joint.py --size 384 --frames 16 --words 35
    python tools/get_flops.py projects/demo/configs/pretrain_joint.py --json
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from omnivl.models.caption import OmniVLCaption
from omnivl.models.pretrain import OmniVLPretrain
from omnivl.models.qa import OmniVLQA
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from omnivl.engine import ConfigError, read_config
from omnivl.engine.command_line import one_line_errors
from omnivl.models.decoders.base import GroundedDecoder
from omnivl.models.omnivl import OmniVL
from omnivl.registry import MODELS
from omnivl.structures import FRAMES, MODALITIES

LOSSES = ('contrastive', 'matching', 'language')
PAIRS = 3  # of a sample in VLM: its own, one with a wrong visual, one with a wrong text


class Sizes(NamedTuple):
    """What is put through the model.

    Attributes:
        size: Side of a picture in pixels.
        frames: Frames of a clip.
        words: Word pieces of a text, the first and the last ([CLS] and [SEP]) included.
    """

    size: int
    frames: int
    words: int


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


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--frames', type=int, help='frames of a clip; by default those of the config')
    parser.add_argument('--size', type=int, help='side of a picture in pixels; by default that of the config')
    parser.add_argument('--words', type=int, default=30, help='word pieces of a text, [CLS] and [SEP] too; default 30')
    parser.add_argument('--json', action='store_true', help='print JSON, with whole numbers')
    arguments = parser.parse_args()
    for name, least in (('frames', 1), ('size', 1), ('words', 2)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            parser.error(f'--{name} must be at least {least}, got {value}')
    return arguments


def build_model(config: Any) -> OmniVL:
    """Build a model without memory for its weights.

    Args:
        config: Config of the model.

    Returns:
        The model, on the meta device.

    Raises:
        ConfigError: It is no model of this project.
    """
    with torch.device('meta'):
        model = MODELS.build(config)
    if not isinstance(model, OmniVL):
        raise ConfigError(f'model is a {type(model).__name__}; its parts are known of OmniVL and its children only')
    return model


def count_parameters(model: OmniVL) -> dict[str, Part]:
    """Count the parameters of each part.

    Args:
        model: The model.

    Returns:
        The lines of the table, without operations.
    """
    visual = model.visual_encoder
    heads = [model.visual_proj, model.text_proj, model.matching_head, model.generation_decoder.head]
    heads.append(getattr(model, 'contrastive_loss', None))  # its temperature
    modules = {
        'image tokenizer': [getattr(visual, 'image_tokenizer', None)],
        'video tokenizer': [getattr(visual, 'video_tokenizer', None)],
        'visual encoder': [visual],
        'text encoder': [model.text_encoder],
        'alignment decoder': [model.alignment_decoder],
        'generation decoder': [model.generation_decoder],
        'heads and losses': heads,
        'momentum twin': [getattr(model, 'momentum_twin', None)],
    }
    inside = dict.fromkeys(('visual encoder', 'generation decoder'), frozenset())
    inside['visual encoder'] = _parameters([*modules['image tokenizer'], *modules['video tokenizer']])
    inside['generation decoder'] = _parameters(heads)
    parts: dict[str, Part] = {}
    seen: set[nn.Parameter] = set()
    for name, members in modules.items():
        own = _parameters(members) - inside.get(name, frozenset())
        if own:
            parts[name] = Part(_size(own - seen), _size(own & seen))
        seen |= own
    return parts


def _parameters(modules: Iterable[nn.Module | None]) -> frozenset[nn.Parameter]:
    return frozenset(parameter for module in modules if module is not None for parameter in module.parameters())


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


class Meter:
    """Counts the operations of one pass over one sample, part by part.

    Each part is run by itself on inputs of the right shape, so that its operations, backward ones included, are known
    to be its own; parts that share weights could not be told apart otherwise.

    Args:
        model: On the meta device.
        modality: What is put through it.
        sizes: What is put through it.
        train: Whether it is a training step.
    """

    def __init__(self, model: OmniVL, modality: str, sizes: Sizes, train: bool) -> None:
        self.model = model.train(train)
        self.modality = modality
        self.train = train
        self.flops: Counter[str] = Counter()
        time = sizes.frames if MODALITIES[modality].has_time else 1
        self.frames = torch.zeros(1, time, 3, sizes.size, sizes.size, device='meta')
        self.ids = torch.zeros(1, sizes.words, dtype=torch.int64, device='meta')

    def count(self, part: str, function: Callable[[], Any], backward: bool = True, inside: str | None = None) -> None:
        """Add the operations of a function that returns tensors to a part, and take them off the one it is inside."""
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(self.train and backward):
            outputs = function()
            if self.train and backward:
                sum(output.sum() for output in _tensors(outputs)).backward()
        self.flops[part] += counter.get_total_flops()
        if inside is not None:
            self.flops[inside] -= counter.get_total_flops()

    def leaf(self, *shape: int) -> Tensor:
        """A float tensor that stands for the output of another part."""
        return torch.zeros(shape, device='meta', requires_grad=self.train)

    def run(self) -> Counter[str]:
        """Count everything.

        Returns:
            Part -> FLOPs.
        """
        model = self.model
        self.count('visual encoder', lambda: model.encode_visual(self.frames, self.modality))
        tokenizer = getattr(model.visual_encoder, f'{self.modality}_tokenizer', None)
        if tokenizer is not None:
            self.count(f'{self.modality} tokenizer', lambda: tokenizer(self.frames), inside='visual encoder')
        with torch.no_grad():
            tokens = self.leaf(*model.encode_visual(self.frames, self.modality).tokens.shape)
        if isinstance(model, OmniVLQA):
            self.matching(tokens, 1, head=False)
            self.language(self.leaf(1, self.ids.shape[1], model.text_encoder.width), own_keys=True)
            return self.flops
        if isinstance(model, OmniVLCaption):
            self.language(tokens, own_keys=True)
            return self.flops
        wanted = {name for name in LOSSES if not self.train or getattr(model, f'{name}_loss') is not None}
        if 'contrastive' in wanted:
            self.contrast()
        if 'matching' in wanted:
            self.matching(tokens, PAIRS if self.train else 1)
        if 'language' in wanted:
            self.language(tokens, own_keys=model.share != 'blip' or 'matching' not in wanted)
        return self.flops

    def contrast(self) -> None:
        """Text encoder, projections; in training the momentum twin and the comparison with the queues."""
        model, mask = self.model, self.ids == 0
        self.count('text encoder', lambda: model.encode_text(self.ids, mask))
        visual, text = self.leaf(1, model.visual_encoder.width), self.leaf(1, model.text_encoder.width)
        self.count('heads and losses', lambda: (model.project_visual(visual), model.project_text(text)))
        if self.train:
            twins = model.momentum_twin.twins
            self.count('momentum twin', lambda: twins['visual_encoder'](self.frames, self.modality), backward=False)
            self.count('momentum twin', lambda: twins['text_encoder'](self.ids, mask), backward=False)
            self.count('momentum twin', lambda: twins['visual_proj'](visual), backward=False)
            self.count('momentum twin', lambda: twins['text_proj'](text), backward=False)
            width = model.visual_proj.out_features
            candidates = torch.zeros(1 + model.queues.length, width, device='meta')
            both = self.leaf(2, width)  # the visual against the texts and the text against the visuals
            self.count('heads and losses', lambda: both @ candidates.T)

    def matching(self, tokens: Tensor, texts: int, head: bool = True) -> None:
        """Keys and values of the visual, the alignment decoder over them, the matching head."""
        model, ids = self.model, self.ids.expand(texts, -1)
        keys = self.keys(model.alignment_decoder, tokens, 'alignment decoder')
        self.count('alignment decoder', lambda: model.alignment_decoder(ids, ids == 0, keys))
        if head:
            fused = self.leaf(texts, model.matching_head.in_features)
            self.count('heads and losses', lambda: model.matching_head(fused))

    def language(self, tokens: Tensor, own_keys: bool) -> None:
        """The generation decoder over visual tokens, or over a question, and the prediction of word pieces."""
        decoder, ids = self.model.generation_decoder, self.ids[:, :-1]
        keys = self.keys(decoder, tokens, 'generation decoder' if own_keys else None)
        self.count('generation decoder', lambda: decoder(ids, keys))
        words = decoder.embeddings.word.weight
        states = self.leaf(1, ids.shape[1], words.shape[1])
        self.count('heads and losses', lambda: decoder.head(states, words), inside='generation decoder')

    def keys(self, decoder: GroundedDecoder, tokens: Tensor, part: str | None) -> list[tuple[Tensor, Tensor]]:
        """Stand-ins for keys and values; making them is counted for a part, if one is given."""
        if part is not None:
            self.count(part, lambda: decoder.project_visual(tokens))
        with torch.no_grad():
            made = decoder.project_visual(tokens)
        return [(self.leaf(*key.shape), self.leaf(*value.shape)) for key, value in made]


def _tensors(outputs: Any) -> Iterable[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    else:
        for output in outputs:
            yield from _tensors(output)


def measure(model: OmniVL, sizes: Sizes) -> dict[str, Part]:
    """Make the table.

    Args:
        model: On the meta device.
        sizes: What is put through it.

    Returns:
        A line for each part, and their sum as ``'total'``. A model without losses has no training steps.
    """
    parts = count_parameters(model)
    trained = isinstance(model, OmniVLCaption | OmniVLPretrain | OmniVLQA)
    passes = {'forward': False, 'step': True} if trained else {'forward': False}
    visuals = [name for name, modality in MODALITIES.items() if modality.kind == FRAMES]
    for modality in visuals:
        for name, train in passes.items():
            for part, flops in Meter(model, modality, sizes, train).run().items():
                parts[part].flops[f'{modality} {name}'] = flops
    total = Part(sum(part.parameters for part in parts.values()))
    for column in [f'{modality} {name}' for modality in visuals for name in passes]:
        total.flops[column] = sum(part.flops.get(column, 0) for part in parts.values())
    return {**parts, 'total': total}


def format_table(parts: dict[str, Part]) -> str:
    """Write the table for people.

    Args:
        parts: From :func:`measure`.

    Returns:
        Lines of text; parameters in millions, operations in units of 1e9.
    """
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


def choose_sizes(arguments: argparse.Namespace, config: Any, model: OmniVL) -> Sizes:
    """Put the options of the command line and the config together.

    Args:
        arguments: The options.
        config: Config of the model.
        model: The model.

    Returns:
        The sizes.
    """
    encoder = config['visual_encoder']
    grid = getattr(model.visual_encoder, 'grid', None)
    size = grid[0] * model.visual_encoder.image_tokenizer.patch_size if grid else encoder.get('image_size', 224)
    return Sizes(arguments.size or size, arguments.frames or encoder.get('num_frames', 8), arguments.words)


def main() -> None:
    """Count and print."""
    arguments = parse_arguments()
    with one_line_errors():
        cfg = read_config(arguments.config)
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


if __name__ == '__main__':
    main()
