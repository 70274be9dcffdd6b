"""What every task of an inferencer does: batches of visuals through the encoder, texts through theirs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from omnivl.datasets.collate import collate_samples
from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.evaluation.texts import encode_texts, to_numpy
from omnivl.models.interfaces import Contrasts, Encodes, HasImageSize, HasParts, offered_by, serving
from omnivl.storage.progress import track
from omnivl.structures import VLBatch

from .inputs import Visual, read_visuals
from .loading import load_model
from .preparation import Preparation

Answer = dict[str, Any]
# From a batch to one answer per visual of it.
Work = Callable[[VLBatch], Sequence[Answer]]
Waiting = list[tuple[int, dict[str, Any]]]
TEXT_BATCH = 256  # texts per forward pass of the text encoder


class BatchRunner:
    """A model with its preprocessing that turns any mixture of visuals into batches.

    Args:
        folder_or_config: See ``load_model``.
        checkpoint: See ``load_model``.
        device: See ``load_model``.
        batch_size: Visuals per forward pass of the visual encoder.
    """

    def __init__(
        self,
        folder_or_config: str | Path | Config,
        checkpoint: str | Path | Mapping | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 16,
    ) -> None:
        if batch_size < 1:
            raise OmniVLValueError(f'batch_size must be at least 1, got {batch_size}')
        self.batch_size = batch_size
        self.loaded = load_model(folder_or_config, checkpoint, device)
        self.model = self.loaded.model
        self.preparation = Preparation(self.loaded.pipelines, _size_of(self.model))

    def answer_each(self, x: object, modality: str | None, work: Work, label: str) -> Answer | list[Answer]:
        """Do a task on one visual, or on a list or folder of them: one answer, or a list in the order given.

        ``modality`` is as for ``read_visuals``, ``label`` is shown before the progress bar.
        """
        visuals, single = read_visuals(x, modality)
        rows = self.run(visuals, work, label)
        return rows[0] if single else rows

    def run(self, visuals: Sequence[Visual], work: Work, label: str) -> list[Answer]:
        """Do a task on visuals; images and videos go into batches of their own.

        There is one answer per visual, in order: ``input``, ``modality``, and what the task found or ``error``. The
        label is shown before the progress bar.
        """
        rows: list[Answer] = [dict(input=visual.name, modality=visual.modality) for visual in visuals]
        waiting: dict[tuple, Waiting] = {}
        for number, item in self.prepare_each(visuals, rows, label):
            # What is of one size goes into one batch.
            shapes = tuple((name, *values.shape) for name, values in item['inputs'].items())
            group = waiting.setdefault(shapes, [])
            group.append((number, item))
            if len(group) == self.batch_size:
                self._flush(group, work, rows)
        for group in waiting.values():
            self._flush(group, work, rows)
        return rows

    def prepare_each(
        self, visuals: Sequence[Visual], rows: Sequence[Answer], label: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Load visuals one after the other, and yield the number of each and what ``Preparation`` makes of it.

        The row of a visual that cannot be loaded gets ``error``, and nothing is yielded for it.
        """
        for number, visual in enumerate(track(visuals, label)):
            try:
                yield number, self.preparation(visual)
            except BrokenVisualError as error:
                rows[number]['error'] = error.reason
            except (ValueError, OSError) as error:  # of a transform, as CenterCrop's
                rows[number]['error'] = str(error)

    def _flush(self, group: Waiting, work: Work, rows: list[Answer]) -> None:
        """Do the task on a batch and empty it."""
        if not group:
            return
        numbers, items = zip(*group)
        group.clear()
        data = cast(nn.Module, self.model.data_preprocessor)(collate_samples(items), False)
        for number, answer in zip(numbers, work(data['batch'])):
            rows[number].update(answer)

    def project(self, batch: VLBatch) -> list[Answer]:
        """Do the task of ``features``: the unit vector of each visual."""
        contrasts = serving(self.model, Contrasts, 'features')
        vectors = contrasts.project_visual(contrasts.encode(batch).pooled, batch.modality)
        return [dict(feature=vector) for vector in to_numpy(vectors)]

    def keep_tokens(self, batch: VLBatch) -> list[Answer]:
        """Do the first half of re-ranking: the visual tokens, float (S, D), in CPU memory."""
        encodes = serving(self.model, Encodes, 're-ranking')
        return [dict(tokens=tokens) for tokens in encodes.encode(batch).tokens.cpu()]

    def texts(self, texts: str | Sequence[str], are_questions: bool = False) -> tuple[list[str], list[np.ndarray]]:
        """Clean texts and make tokens of them, see ``Preparation.texts``; an empty list is an ``OmniVLValueError``."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise OmniVLValueError('the list of texts is empty')
        return self.preparation.texts(texts, are_questions)

    def text_features(self, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Return the unit vectors of texts, float32 (number of texts, E)."""
        return encode_texts(self.model, ids, TEXT_BATCH, 'texts')


def _size_of(model: nn.Module) -> tuple[int, int] | None:
    """Return (height, width) in pixels that a visual encoder is made for, if it says so."""
    encoder = offered_by(serving(model, HasParts, 'inference').parts.get('visual_encoder'), HasImageSize)
    return None if encoder is None else encoder.image_size
