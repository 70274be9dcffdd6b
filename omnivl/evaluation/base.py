"""What all evaluations have in common: the mode of the model, progress, and gathering over ranks."""

import logging
import re
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn
from torch.utils.data import BatchSampler, DataLoader

from omnivl.datasets import BrokenCounter, EpochSampler, MixedDataset, VisualDataset
from omnivl.datasets.survival import batches_of
from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from omnivl.models.decoders.generation import packed_decoders
from omnivl.models.interfaces import Encodes, serving
from omnivl.models.mode import evaluation_mode
from omnivl.storage.progress import track
from omnivl.structures import FRAMES, MODALITIES, VLBatch, VLDataSample

from .annotation_files import describe_annotations


@dataclass
class EvaluationResult:
    """What an evaluation found; the same on every rank.

    Attributes:
        metrics: Metric -> figure; shares are in percent.
        chance: The same names, as far as there is a chance level: the figure of an answer that ignores the visual.
        predictions: One row per visual, of plain values.
        protocol: How the figures were made: number of items, frames, resolution, options, and ``annotations``, which
            file they are of (see ``describe_annotations``).
    """

    metrics: dict[str, float]
    chance: dict[str, float]
    predictions: list[dict[str, Any]]
    protocol: dict[str, Any]


class Evaluation(ABC):
    """Base of the protocols: what is shown to the model, what is scored, how.

    Attributes:
        headline: Patterns of the figures that tables show, as ``'*_r1'``; the files have all of them.
    """

    headline: Sequence[str] = ('*',)

    @property
    def needs(self) -> tuple[type, ...]:
        """What a model must offer for this, of ``models/interfaces.py``."""
        return (Encodes,)

    def check(self, model: nn.Module, name: str) -> None:
        """Refuse a model, without a distributed wrapper, that cannot serve this, before anything is computed.

        The ``OmniVLTypeError`` says, for the evaluation of this name, what is missing.
        """
        for interface in self.needs:
            serving(model, interface, f'{name} ({type(self).__name__})')

    def run(self, model: nn.Module, dataloader: Iterable, progress: str = 'evaluation') -> EvaluationResult:
        """Evaluate, in ``eval()`` mode and without gradients; the modes of all modules are put back.

        Precision is left to the caller (run it in an autocast context). With several processes all of them must call
        this, each with a dataloader of collated batches over its share of the samples; the result is the same on every
        rank. ``progress`` names the evaluation in the progress bar, the log and error messages.
        """
        model = cast(nn.Module, model.module) if is_model_wrapper(model) else model
        self.check(model, progress)
        start = time.perf_counter()
        data = CountedLoader(dataloader, progress)
        with evaluation_mode(model), packed_decoders(model):
            result = self.evaluate(model, data, progress)
        seconds = time.perf_counter() - start
        result.protocol['skipped_items'] = data.skipped_of_all_ranks()
        result.protocol['annotations'] = describe_annotations(getattr(dataloader, 'dataset', None))
        print_log(f'{progress}: {len(result.predictions)} visuals in {seconds:.1f} s', logger='current')
        return result

    @abstractmethod
    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Do the work of :meth:`run`, on an unwrapped model in evaluation mode."""

    def submission(self, predictions: Sequence[dict[str, Any]]) -> Any:
        """Return, of predictions, what the benchmark's server takes; None if there is no server for this."""
        return None

    def submission_name(self, name: str) -> str:
        """Name the file for the server, after the evaluation."""
        return f'{name}.json'


class CountedLoader:
    """A loader whose items are counted, by source, on their way to an evaluation.

    Figures without the broken files would look like those of the whole set, so these are named in the log and counted
    in the protocol; more of them than the share of their source, or fewer items than the loader has, are an
    ``OmniVLRuntimeError``.

    Args:
        loader: A data loader, or collated batches.
        name: The evaluation, for the log and messages.
    """

    def __init__(self, loader: Iterable, name: str) -> None:
        self.loader = loader
        self.name = name
        self.dataset = getattr(loader, 'dataset', None)
        self.given: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(cast(Sized, self.loader))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.given, self.skipped = Counter(), Counter()
        counter = BrokenCounter.from_dataset(self.dataset)
        for data in batches_of(self.loader) if isinstance(self.loader, DataLoader) else self.loader:
            self.given.update(sample.source for sample in data['data_samples'])
            self.skipped.update(data.get('skipped', {}))
            for broken in counter.update(data['data_samples']):
                message = f'{self.name}: broken file of {broken.source}: {broken.path} ({broken.reason})'
                print_log(message, logger='current', level=logging.WARNING)
            counter.check()
            yield data
        if counter.broken:
            print_log(f'{self.name}: broken files: {counter.summary()}', logger='current', level=logging.WARNING)
        self._check()

    def skipped_of_all_ranks(self) -> dict[str, int]:
        """Return how many items of each source were left out because their files are broken."""
        sources: set[str] = set()
        total: Counter[str] = Counter()
        for given, skipped in all_gather_object((set(self.given), self.skipped)):
            sources |= given | set(skipped)
            total.update(skipped)
        return {source: total[source] for source in sorted(sources)}

    def _check(self) -> None:
        expected, items = self._expected(), self.given + self.skipped
        if expected is None:
            return
        if set(expected) == {''}:  # the source is not known
            items = Counter({'': items.total()})
        if items != expected:
            short = ', '.join(f'{name!r} {items[name]} of {count}' for name, count in expected.items() if name)
            raise OmniVLRuntimeError(
                f'{self.name}: {items.total()} of {expected.total()} items came back from the dataloader'
                f'{f" ({short})" if short else ""}, so the figures would not be those of the set; something ended its '
                'loop early (a StopIteration of a transform or of a decoder)'
            )

    def _expected(self) -> Counter[str] | None:
        """Tell how many items of each source this process is to get; None if the loader does not tell."""
        batch_sampler = getattr(self.loader, 'batch_sampler', None)
        sampler = getattr(batch_sampler, 'sampler', None)
        if type(batch_sampler) is not BatchSampler or batch_sampler.drop_last or not isinstance(sampler, Sized):
            return None
        if isinstance(self.dataset, MixedDataset) and isinstance(sampler, EpochSampler):
            sampler.set_position(0)
            indices = np.fromiter((key.index for key in sampler), np.int64)
            return +Counter({
                name: int(((indices >= first) & (indices < end)).sum()) for name, first, end in self.dataset.sources
            })  # fmt: skip
        return Counter({self.dataset.name if isinstance(self.dataset, VisualDataset) else '': len(sampler)})


def batches(model: nn.Module, dataloader: Iterable, name: str) -> Iterator[tuple[VLBatch, list[VLDataSample]]]:
    """Go through a loader with a progress bar, each batch through the model's data preprocessor, to the device."""
    data = dataloader if isinstance(dataloader, CountedLoader) else CountedLoader(dataloader, name)
    for batch in track(data, name):
        batch = cast(nn.Module, model.data_preprocessor)(batch, False)
        yield batch['batch'], batch['data_samples']


def describe(sample: VLDataSample, batch: VLBatch) -> dict[str, Any]:
    """Write the part of a row that all tasks share: the sample, and the shape of what the model saw of it.

    These are ``sample_id, source, visual, modality``, ``clip`` if a part of the video is meant, and ``shape``: of
    frames ``frames, height, width``, of other values how many ``values`` there are.
    """
    if MODALITIES[sample.modality].kind == FRAMES:
        _, frames, _, height, width = batch.frames.shape
        shape = {'frames': frames, 'height': height, 'width': width}
    else:
        shape = {'values': batch.inputs[sample.modality].shape[1]}
    row = {
        'sample_id': sample.sample_id,
        'source': sample.source,
        'visual': str(sample.visual),
        'modality': sample.modality,
        'shape': shape,
    }
    return row | ({'clip': list(sample.clip)} if 'clip' in sample else {})


def gather_rows(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Put the rows of all ranks together, in an order that does not depend on the number of ranks.

    Rows have ``source`` and ``sample_id``, and come sorted by them (numbers in ids by value). A sample that a padding
    sampler gave to two ranks is there once. Two samples of one id on one rank, or no sample at all, are an
    ``OmniVLValueError``.
    """
    merged: dict[tuple, dict[str, Any]] = {}
    for part in all_gather_object(rows):
        keys = [row_key(row) for row in part]
        if len(set(keys)) < len(keys):
            twice = next(key for number, key in enumerate(keys) if key in keys[:number])
            raise OmniVLValueError(
                f'{name}: sample_id {twice[1]!r} of source {twice[0]!r} is there twice; evaluate one item per visual '
                '(RetrievalDataset, not PairDataset) with ids that are unique within their source, and leave broken '
                "ones out (broken='skip') instead of taking others in their place (broken='replace')"
            )
        for key, row in zip(keys, part):
            merged.setdefault(key, row)
    if not merged:
        raise OmniVLValueError(f'{name}: the dataloader has no samples')
    return [merged[key] for key in sorted(merged, key=lambda key: tuple(map(_natural, key)))]


def gather_described(rows: list[dict[str, Any]], name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Gather rows, and put what they all share, modality and shape, into the protocol instead."""
    rows = gather_rows(rows, name)
    shapes = [row.pop('shape') for row in rows]
    return rows, {'modality': rows[0]['modality'], **shapes[0]}


def row_key(row: dict[str, Any]) -> tuple[str, str]:
    """Return what identifies a sample over all sources."""
    return row['source'], row['sample_id']


def _natural(text: str) -> list[tuple[int, int | str]]:
    """Make a key that sorts 'scene10' after 'scene9'."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r'(\d+)', text) if part]
