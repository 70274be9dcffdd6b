"""Weights of other models onto our parts: what is filled, what is not, what is left over, nothing in silence."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.data_preprocessor import FrameNormalizer, VLDataPreprocessor
from omnivl.models.interfaces import HasParts, TakesWeights, offered_by
from omnivl.registry import WEIGHT_READERS
from omnivl.storage.checkpoint import CheckpointError, load_checkpoint, weights_of
from omnivl.storage.tensor_shards import shard_like
from omnivl.structures import FRAMES

from .files import find_file, read_neighbour
from .report import WeightReport, grouped

# Parts that follow the others, so no source is ever about them.
FOLLOWERS = ('momentum_encoder.', 'queues.')


class WeightsError(CheckpointError, OmniVLValueError):
    """Weights of another model do not fit; the message says why and what to do."""


class WeightReader:
    """Base of the readers: translates the keys of one foreign layout.

    What a layout leaves over, or cannot fill, by its nature is written down in the reader; anything beyond that is an
    error, so that weights of a slightly different model are not half loaded in silence.

    Args:
        file: A ``.safetensors`` file, a pickle of plain tensors, a folder that ``save_pretrained`` wrote, or
            ``hf://owner/name/file`` on the Hugging Face hub.
        allow: Differences that are fine: patterns (as in ``fnmatch``) of keys of the source without a place here or
            of our keys without a value, and names of settings that differ (``norm_eps``).
        allow_unused: Whether all keys of the source without a place here are fine. They are listed either way.

    Attributes:
        config_file: What lies beside the weights of the layout and says with which settings they were made.
        model_types: What ``model_type`` is in it; others are of another model and not looked at.
        unused_by_design: Patterns of keys that the layout has and we have no use for.
        left_by_design: Patterns of our keys that the layout does not have.
        essential: Patterns of their keys and ours without which the model computes something else.
        bare: Suffixes of files beside which a ``config_file`` is missed.
    """

    config_file = 'config.json'
    model_types: tuple[str, ...] = ()
    unused_by_design: tuple[str, ...] = ()
    left_by_design: tuple[str, ...] = ()
    essential: tuple[str, ...] = ()
    bare: tuple[str, ...] = ('.safetensors', '.bin')

    def __init__(self, file: str, allow: Sequence[str] = (), allow_unused: bool = False) -> None:
        self.file = file
        self.allow = (allow,) if isinstance(allow, str) else tuple(allow)
        self.allow_unused = allow_unused

    def read_file(self) -> tuple[dict[str, Tensor], Path]:
        """Read the source's state dict, also from under ``state_dict`` or ``model``, and find the file that holds it.

        A file that does not exist is an ``OmniVLFileNotFoundError``; one that is damaged, holds code, or holds no
        weights a ``CheckpointError``.
        """
        path = find_file(self.file)
        return dict(weights_of(load_checkpoint(path), str(path))), path

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """Translate the source's tensors to our keys; those that are used are taken out of ``weights``.

        The model to be filled is there for its sizes.
        """
        raise NotImplementedError

    def settings(self, config: dict[str, Any], model: HasParts) -> list[tuple[str, Any, Any]]:
        """Compare what no tensor shows and yet decides the result.

        ``config`` is the ``config_file`` that lies beside the weights; each setting is (name, theirs, ours).
        """
        return []

    def knows(self, config: dict[str, Any]) -> bool:
        """Say whether a ``config_file`` is of the layout, so that its settings are compared."""
        return config.get('model_type') in self.model_types

    def pixels(self, path: Path) -> dict[str, list[float]]:
        """Read, beside the weights, ``mean`` and ``std`` of pixels in [0, 1]; what is not said there is left out."""
        said = read_neighbour(path, 'preprocessor_config.json') or {}
        return {name: said[f'image_{name}'] for name in ('mean', 'std') if f'image_{name}' in said}

    def refuse(self, weights: dict[str, Tensor], model: HasParts) -> None:
        """Raise an ``OmniVLValueError`` that names what the source has and the model cannot have."""

    def advice(self, weights: dict[str, Tensor], model: HasParts) -> list[str]:
        """Tell, a sentence each, what a user of these weights should know beside the numbers of keys."""
        return []

    def expected_unused(self, model: HasParts) -> tuple[str, ...]:
        """Give patterns of keys that may stay unused: of the layout, and of parts that the model does not hold."""
        return self.unused_by_design

    def derived(self, model: HasParts) -> list[str]:
        """List our keys that ``finish`` fills from those that ``translate`` gave."""
        return []

    def finish(self, model: HasParts) -> None:
        """Fill what follows from the loaded weights."""

    def load(self, model: HasParts) -> WeightReport:
        """Fill the model, or change nothing and say what does not fit; report what became of every key.

        It is an ``OmniVLValueError`` if a shape or a setting differs, nothing in the file fits, or keys are left over,
        or left at their initial value, that are neither known nor allowed.
        """
        weights, path = self.read_file()
        report = WeightReport(f'{type(self).__name__}({self.file})')
        self._check_settings(path, model, report)
        report.notes += self.advice(weights, model)
        self.refuse(weights, model)
        translated = self.translate(weights, model)
        report.unused = sorted(weights)
        own = part_state(model)
        self._check_shapes(translated, own, report.unused)
        self._check_sharing(translated, own)
        filled = {id(own[key]) for key in (*translated, *self.derived(model))}  # shared weights have several keys
        report.filled = [key for key in own if id(own[key]) in filled]
        left = [key for key in own if id(own[key]) not in filled]
        about = {key.split('.')[0] for key in translated}
        report.left = [key for key in left if key.split('.')[0] in about]
        report.elsewhere = [key for key in left if key.split('.')[0] not in about]
        self._check_expected(report, model)
        with torch.no_grad():
            for key, value in translated.items():
                own[key].copy_(shard_like(value, own[key]))
            self.finish(model)
        return report

    def _check_settings(self, path: Path, model: HasParts, report: WeightReport) -> None:
        config = read_neighbour(path, self.config_file)
        if config is None and self.model_types and path.suffix in self.bare:
            report.notes.append(
                f'no {self.config_file} lies beside {path.name}: number of heads, norm_eps and activation were not '
                'compared'
            )
        differences = [] if config is None or not self.knows(config) else self.settings(config, model)
        wrong = [
            f'{name} is {theirs!r} there and {ours!r} in the model'
            for name, theirs, ours in differences
            if theirs != ours and name not in self.allow
        ]
        if wrong:
            raise OmniVLValueError(
                f'{self.file} is of a model with other settings: {"; ".join(wrong)}. The results would differ: change '
                'the model in the config (--cfg-options model.trunk.visual_encoder.norm_eps=1e-5; text_... belong to '
                'each of the text models), or allow it by name (allow=[...], --allow)'
            )
        pixels = self.pixels(path)
        for name, ours in pixel_statistics(model).items():
            theirs = pixels.get(name, ours)
            if any(abs(a - b) > 1e-4 for a, b in zip(theirs, ours)):
                report.notes.append(
                    f'pixels were normalised with {name} {theirs} there, here with {ours} (data_preprocessor.{name})'
                )

    def _check_shapes(self, translated: dict[str, Tensor], own: dict[str, Tensor], unused: list[str]) -> None:
        unknown = sorted(set(translated) - set(own))
        if not translated or unknown:
            reason = f'the model has no {unknown[:5]}' if unknown else f'its keys are {unused[:5]}'
            raise OmniVLValueError(f'{self.file} does not fit {type(self).__name__}: {reason}')
        wrong = [
            f'{key}: got {tuple(value.shape)}, the model has {tuple(own[key].shape)}'
            for key, value in translated.items()
            if value.shape != own[key].shape
        ]
        if wrong:
            raise OmniVLValueError(
                f'{self.file} is of another size than the model ({len(wrong)} shapes differ): {"; ".join(wrong[:3])}. '
                'Set width, depth, patch_size and vocab_size of the model, or take other weights'
            )

    def _check_sharing(self, translated: dict[str, Tensor], own: dict[str, Tensor]) -> None:
        first: dict[int, str] = {}
        for key, value in translated.items():
            other = first.setdefault(id(own[key]), key)
            if other != key and not torch.equal(value, translated[other]):
                raise OmniVLValueError(
                    f'{self.file} has values of its own for {key} and for {other}, which are one in the model: '
                    "set share='none' of the model"
                )

    def _check_expected(self, report: WeightReport, model: HasParts) -> None:
        unused = [] if self.allow_unused else self._beyond(report.unused, self.expected_unused(model))
        if unused:
            raise OmniVLValueError(
                f'{self.file} has {len(unused)} keys without a place in the model: {"; ".join(grouped(unused)[:5])}. '
                + self._hint(unused, 'If they may be left out, allow them by name (allow=[...], --allow)')
            )
        left = self._beyond(report.left, self.left_by_design)
        if left:
            raise OmniVLValueError(
                f'{self.file} has no value for {len(left)} keys of the model: {"; ".join(grouped(left)[:5])}. '
                + self._hint(left, 'If they may keep their initial value, allow them by name (allow=[...], --allow)')
            )

    def _hint(self, keys: Sequence[str], advice: str) -> str:
        """Return the advice to allow some keys, unless the model would then compute something else."""
        lost = [key for key in keys if any(fnmatchcase(key, pattern) for pattern in self.essential)]
        return f'Without {lost[0]} the model would compute something else: take other weights' if lost else advice

    def _beyond(self, keys: Sequence[str], known: Iterable[str]) -> list[str]:
        patterns = (*known, *self.allow)
        return [key for key in keys if not any(fnmatchcase(key, pattern) for pattern in patterns)]


def part_state(model: HasParts) -> dict[str, Tensor]:
    """Return the tensors of a model under the names of its parts, wherever it keeps them; shared ones are one."""
    return nn.ModuleDict(dict(model.parts)).state_dict(keep_vars=True)


def pixel_statistics(model: object) -> dict[str, list[float]]:
    """Return ``mean`` and ``std`` of each channel that a model's pixels are normalised with, pixels in [0, 1].

    Empty for a model without a ``VLDataPreprocessor``, which normalises in another way.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    if not isinstance(preprocessor, VLDataPreprocessor):
        return {}
    normalizer = cast(FrameNormalizer, preprocessor.normalizers[FRAMES])
    scale, shift = 255 * normalizer.scale.double().flatten(), normalizer.shift.double().flatten()
    statistics = dict(mean=-shift / scale, std=1 / scale)
    return {name: [round(number, 8) for number in values.tolist()] for name, values in statistics.items()}


def _log(text: str) -> None:
    print_log(text, 'current')


def load_weights(
    model: HasParts, source: dict | Sequence[dict], show: Callable[[str], None] = _log
) -> list[WeightReport]:
    """Fill a model from one or several sources, in order, and report what became of every key.

    Args:
        model: A model made of parts.
        source: Configs of weight readers, such as ``dict(type='timm', file='vit_base_patch16_224.safetensors')``.
        show: What each report goes to as text; by default the log.

    Returns:
        One report per source.

    Raises:
        OmniVLFileNotFoundError: There is no such file.
        CheckpointError: It is damaged or holds code; or, a ``WeightsError``, it does not fit.
    """
    reports = []
    for config in [source] if isinstance(source, dict) else source:
        reader = WEIGHT_READERS.build(dict(config))
        try:
            report = reader.load(model)
        except ValueError as error:
            raise WeightsError(str(error)) from error
        show(str(report))
        reports.append(report)
    if (follows := offered_by(model, TakesWeights)) is not None:
        follows.after_load()
    return reports
