"""What all evaluations have in common: the mode of the model, progress, and gathering over ranks."""

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn
from torch.utils.data import BatchSampler

from omnivl.datasets import BrokenCounter
from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from omnivl.models.decoders.generation import packed_decoders
from omnivl.models.interfaces import Encodes, serving
from omnivl.models.mode import evaluation_mode
from omnivl.storage.progress import track
from omnivl.structures import VLBatch, VLDataSample

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
    """Base of the protocols: what is shown to the model, what is scored, how."""

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
        with evaluation_mode(model), packed_decoders(model):
            result = self.evaluate(model, dataloader, progress)
        seconds = time.perf_counter() - start
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


def batches(model: nn.Module, dataloader: Iterable, name: str) -> Iterator[tuple[VLBatch, list[VLDataSample]]]:
    """Go through a dataloader with a progress bar, each batch through the model's data preprocessor, to the device.

    Figures without the broken files would look like those of the whole set, so these are named in the log; more of
    them than the share of their source, or fewer items than the dataloader has, are an ``OmniVLRuntimeError``.
    """
    counter = BrokenCounter.from_dataset(getattr(dataloader, 'dataset', None))
    items = 0
    for data in track(dataloader, name):
        items += len(data['data_samples']) + data.get('skipped', 0)
        for broken in counter.update(data['data_samples']):
            message = f'{name}: broken file of {broken.source}: {broken.path} ({broken.reason})'
            print_log(message, logger='current', level=logging.WARNING)
        counter.check()
        data = cast(nn.Module, model.data_preprocessor)(data, False)
        yield data['batch'], data['data_samples']
    if counter.broken:
        print_log(f'{name}: broken files: {counter.summary()}', logger='current', level=logging.WARNING)
    expected = _number_of_items(dataloader)
    if expected is not None and items != expected:
        raise OmniVLRuntimeError(
            f'{name}: {items} of {expected} items came back from the dataloader, so the figures would not be those of '
            'the set; something ended its loop early (a StopIteration of a transform or of a decoder)'
        )


def _number_of_items(dataloader: Iterable) -> int | None:
    """Tell how many items a loader hands to this process; None if its batches do not tell."""
    batch_sampler = getattr(dataloader, 'batch_sampler', None)
    if type(batch_sampler) is not BatchSampler or batch_sampler.drop_last:
        return None
    return len(batch_sampler.sampler) if isinstance(batch_sampler.sampler, Sized) else None


def describe(sample: VLDataSample, batch: VLBatch) -> dict[str, Any]:
    """Write the part of a row that all tasks share: the sample, and the shape of what the model saw of it.

    These are ``sample_id, source, visual, modality``, ``clip`` if a part of the video is meant, and ``shape`` with
    ``frames, height, width``.
    """
    _, frames, _, height, width = batch.frames.shape
    row = {
        'sample_id': sample.sample_id,
        'source': sample.source,
        'visual': str(sample.visual),
        'modality': sample.modality,
        'shape': {'frames': frames, 'height': height, 'width': width},
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
