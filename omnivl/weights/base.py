"""Weights of other models onto our parts: what is filled, what is not, what is left over, nothing in silence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from omnivl.engine.checkpoint import load_checkpoint, weights_of
from omnivl.registry import WEIGHT_READERS


@dataclass
class WeightReport:
    """What became of every key.

    Attributes:
        source: Where the weights came from.
        filled: Our keys that got a value.
        left: Our keys, of the parts that the source is about, that kept their initial value.
        unused: Keys of the source that have no place with us.
    """

    source: str
    filled: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'weights from {self.source}']
        parts = Counter(key.split('.')[0] for key in self.filled)
        missing = Counter(key.split('.')[0] for key in self.left)
        for part in sorted({*parts, *missing}):
            lines.append(f'  {part}: {parts[part]} filled, {missing[part]} left at their initial value')
        lines += [f'  left at its initial value: {key}' for key in self.left]
        lines += [f'  not used: {key}' for key in self.unused]
        return '\n'.join(lines)


class WeightReader:
    """Base of the readers: translates the keys of one foreign layout.

    Args:
        file: Local path of a ``.safetensors`` file or of a pickle of plain tensors.
        allow_unused: Whether keys of the source without a place here are fine. They are listed either way.
    """

    def __init__(self, file: str, allow_unused: bool = True) -> None:
        self.file = file
        self.allow_unused = allow_unused

    def read_file(self) -> dict[str, Tensor]:
        """Read the source's state dict, also from under ``state_dict`` or ``model``.

        Raises:
            FileNotFoundError: There is no such file.
            CheckpointError: It is damaged, holds code, or holds no weights.
        """
        return weights_of(load_checkpoint(self.file), self.file)

    def translate(self, weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Translate.

        Args:
            weights: The source's tensors by its keys. Those that are used are taken out of it.
            model: The model to be filled, for its sizes.

        Returns:
            Tensors by our keys.
        """
        raise NotImplementedError

    def parts(self, model: nn.Module) -> Sequence[str]:
        """Prefixes of our keys that the source is expected to fill."""
        raise NotImplementedError

    def finish(self, model: nn.Module) -> list[str]:
        """Fill what follows from the loaded weights; returns the keys that got a value this way."""
        return []

    def load(self, model: nn.Module) -> WeightReport:
        """Fill the model.

        Args:
            model: An ``OmniVL``.

        Returns:
            What became of every key.

        Raises:
            ValueError: A shape differs; nothing in the file fits; or keys are unused and ``allow_unused`` is off.
        """
        weights = self.read_file()
        translated = self.translate(weights, model)
        own = model.state_dict(keep_vars=True)
        report = WeightReport(f'{type(self).__name__}({self.file})', unused=sorted(weights))
        if not translated or not set(translated) <= set(own):
            unknown = sorted(set(translated) - set(own))
            reason = f'the model has no {unknown[:5]}' if unknown else f'its keys are {report.unused[:5]}'
            raise ValueError(f'{self.file} does not fit {type(self).__name__}: {reason}')
        wrong = [f'{key}: got {tuple(value.shape)}, the model has {tuple(own[key].shape)}'
                 for key, value in translated.items() if value.shape != own[key].shape]  # fmt: skip
        if wrong:
            raise ValueError(
                f'{self.file} is of another size than the model ({len(wrong)} shapes differ): '
                + '; '.join(wrong[:3])
                + '. Set width, depth, patch_size and vocab_size of the model, or '
                'take other weights'
            )
        if weights and not self.allow_unused:
            raise ValueError(
                f'{self.file} has {len(weights)} keys without a place in the model: {report.unused[:5]}; '
                'set allow_unused=True to leave them out'
            )
        with torch.no_grad():
            for key, value in translated.items():
                own[key].copy_(value)
        filled = {id(own[key]) for key in (*translated, *self.finish(model))}  # shared weights have several keys
        about = [key for key in own if key.startswith(tuple(self.parts(model)))]
        report.filled = sorted(key for key in own if id(own[key]) in filled)
        report.left = sorted(key for key in about if id(own[key]) not in filled)
        return report


def load_weights(model: nn.Module, source: dict | Sequence[dict]) -> list[WeightReport]:
    """Fill a model from one or several sources, in order, and report what became of every key.

    Args:
        model: An ``OmniVL``.
        source: Configs of weight readers, such as ``dict(type='TimmViTReader',
            file='vit_base_patch16_224.safetensors')``.

    Returns:
        One report per source; each is also logged.
    """
    reports = []
    for config in [source] if isinstance(source, dict) else source:
        report = WEIGHT_READERS.build(dict(config)).load(model)
        print_log(str(report), 'current')
        reports.append(report)
    if hasattr(model, 'after_load'):
        model.after_load()
    return reports
