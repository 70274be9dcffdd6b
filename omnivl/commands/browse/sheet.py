"""The sheet that omnivl browse writes: samples of the datasets of a config, drawn with what is said of them."""

import argparse
import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image
from torch.utils.data import Dataset

from omnivl.datasets import SampleKey, SkippedItem
from omnivl.engine import ConfigError, read_config
from omnivl.registry import DATASETS, TOKENIZERS
from omnivl.structures import VLDataSample
from omnivl.visualization.pictures import draw_values
from omnivl.visualization.sheets import BAD, GOOD, INK, PAGE, SOFT, Line, card, contact_sheet

from ..main import UsageError
from ..options import ROLES


def choose_loaders(cfg: Config, role: str, name: str | None) -> dict[str, Mapping[str, Any]]:
    """Find loaders in a config.

    Args:
        cfg: The config.
        role: ``'train'``, ``'val'`` or ``'test'``.
        name: Name of the loader; None = all.

    Returns:
        Name -> config of the loader.

    Raises:
        ConfigError: The config has no such loader.
    """
    loaders = cfg.get(f'{role}_dataloader')
    if not loaders:
        there = [other for other in ROLES if cfg.get(f'{other}_dataloader')]
        raise ConfigError(f'the config has no {role}_dataloader; --role may be {", ".join(there) or "nothing"}')
    if name is None:
        return dict(loaders)
    if name not in loaders:
        raise ConfigError(f'{role}_dataloader has no loader {name!r}; --loader may be {", ".join(loaders)}')
    return {name: loaders[name]}


def share_out(number: int, lengths: Mapping[str, int]) -> dict[str, int]:
    """Share samples out among loaders, as evenly as their lengths allow.

    Args:
        number: How many samples in all.
        lengths: Name of a loader -> how many it has.

    Returns:
        Name -> how many of it, at least one; they add up to ``number``, or to all there are.
    """
    shares = dict.fromkeys(lengths, 0)
    for _ in range(min(number, sum(lengths.values()))):
        open_to_more = [name for name in shares if shares[name] < lengths[name]]
        shares[min(open_to_more, key=lambda name: shares[name])] += 1
    return {name: share for name, share in shares.items() if share}


def draw_dataset(dataset: Any, tokenizer: Any, number: int, epochs: int, height: int, seed: int) -> list[Image.Image]:
    """Draw samples of a dataset: one from each of equal parts, so that every source of a mixture is seen.

    Args:
        dataset: The dataset.
        tokenizer: That of the model.
        number: How many samples.
        epochs: How many epochs of each.
        height: Height of a frame in pixels.
        seed: Decides which of each part.

    Returns:
        A card for each sample.
    """
    count = min(number, len(dataset))
    offsets = np.random.default_rng(seed).random(count)
    cards = []
    for place in range(count):
        index = int((place + offsets[place]) * len(dataset) / count)
        items = [dataset[SampleKey(index, epoch)] for epoch in range(epochs)]
        cards.append(draw_sample(items, dataset, tokenizer, height))
    return cards


def draw_sample(items: list[Any], dataset: Dataset, tokenizer: Any, height: int) -> Image.Image:
    """Draw one sample.

    Args:
        items: What the dataset gives for it in each epoch.
        dataset: The dataset.
        tokenizer: That of the model.
        height: Height of a frame in pixels.

    Returns:
        A card: pictures of all epochs side by side, clips of all epochs below each other; then the text.
    """
    skipped = [item.broken for item in items if isinstance(item, SkippedItem)]
    if skipped:
        reason = Line(f'skipped: {skipped[0].path}: {skipped[0].reason}', BAD)
        return card([], [reason, Line(skipped[0].source, SOFT, 12)])
    strips, shapes = [], []
    for modality, values in items[0]['inputs'].items():
        strips += draw_values([item['inputs'][modality] for item in items], modality, height)
        shapes.append(f'{modality} {values.dtype} {"x".join(map(str, values.shape))}'.replace('torch.', ''))
    lines: list[Line] = []
    for item in items:  # a prompt, or a replaced file, changes from epoch to epoch
        lines += [line for line in describe(item['data_samples'], dataset, tokenizer) if line not in lines]
    lines.sort(key=lambda line: (-line.size, line.colour != INK))
    return card(strips, [*lines, *(Line(shape, SOFT, 12) for shape in shapes)])


def describe(sample: VLDataSample, dataset: Dataset, tokenizer: Any) -> list[Line]:
    """Say what the model is told about a visual.

    Args:
        sample: The sample.
        dataset: Its dataset.
        tokenizer: That of the model.

    Returns:
        Lines of text: texts decoded from their ids, the true choice, label, target id, source, broken files.
    """
    rows = [sample.text_ids] if 'text_ids' in sample else []
    rows += sample.get('caption_ids', [])
    lines = [Line(f'{tokenizer.decode(ids)}{_unknown(ids, tokenizer)}') for ids in rows]
    if 'unknown_words' in sample:
        lines.append(Line(f'unknown to the vocabulary: {", ".join(dict.fromkeys(sample.unknown_words))}', BAD, 12))
    lines += [Line(f'answer: {tokenizer.decode(ids)}', GOOD) for ids in sample.get('answer_ids', [])]
    if 'answer_index' in sample:
        lines.append(Line(f'true: {sample.captions[sample.answer_index]}', GOOD))
    if 'label' in sample:
        source = next(part for part in getattr(dataset, 'datasets', [dataset]) if part.name == sample.source)
        one = isinstance(sample.label, int)
        labels = [sample.label] if one else np.flatnonzero(sample.label).tolist()
        names = ', '.join(source.classes[label] for label in labels) or 'none'
        lines.append(Line(f'label{"" if one else "s"} {", ".join(map(str, labels))}: {names}', GOOD))
    if 'target_id' in sample:
        lines.append(Line(f'target id {sample.target_id}', SOFT, 12))
    lines += [Line(f'in the place of {file.path}: {file.reason}', BAD, 12) for file in sample.get('broken', [])]
    return [*lines, Line(f'{sample.source}  {sample.sample_id}', SOFT, 12)]


def _unknown(ids: np.ndarray, tokenizer: Any) -> str:
    count = int((np.asarray(ids) == tokenizer.unk_id).sum())
    return f'  (+ {count} unknown)' if count else ''


def draw(arguments: argparse.Namespace) -> None:
    """Draw the sheet and write it."""
    if arguments.out.suffix.lower() not in Image.registered_extensions():
        raise UsageError(f'--out must end in the name of a picture format, as sheet.png; got {arguments.out}')
    sheet = make_sheet(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(arguments.out)
    print(f'{arguments.out}: {sheet.width} x {sheet.height} pixels')


def make_sheet(arguments: argparse.Namespace) -> Image.Image:
    """Draw the sheet that the command line asks for.

    Args:
        arguments: The options.

    Returns:
        The sheet, one part for each loader.
    """
    cfg = read_config(arguments.config, arguments.trust_code)
    loaders = choose_loaders(cfg, arguments.role, arguments.loader)
    tokenizer = TOKENIZERS.build(copy.deepcopy(cfg.model.trunk.tokenizer))
    datasets = {name: DATASETS.build(copy.deepcopy(loader['dataset'])) for name, loader in loaders.items()}
    shares = share_out(arguments.number, {name: len(dataset) for name, dataset in datasets.items()})
    parts = []
    for name, share in shares.items():
        dataset = datasets[name]
        cards = draw_dataset(dataset, tokenizer, share, arguments.epochs, arguments.height, arguments.seed)
        epochs = f', {arguments.epochs} epochs' if arguments.epochs > 1 else ''
        title = f'{arguments.role}: {name}, {len(cards)} of {len(dataset)} samples{epochs}'
        print(title)
        parts.append(contact_sheet(cards, title=title))
    left = [name for name in loaders if name not in shares]
    if left:
        print(f'nothing of {", ".join(left)}: --number {arguments.number} is less than one of each loader')
    sheet = Image.new('RGB', (max(part.width for part in parts), sum(part.height for part in parts)), PAGE)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet
