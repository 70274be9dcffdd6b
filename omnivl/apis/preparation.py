"""From inputs to what the model takes, by the test pipeline of the config and nothing else."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omnivl.datasets.errors import BrokenVisualError
from omnivl.datasets.transforms import (
    CenterCrop,
    CleanCaption,
    CleanQuestion,
    LoadVideo,
    RandomResizedCrop,
    Resize,
    ThreeCrop,
    TokenizeText,
    clean_caption,
    clean_question,
)
from omnivl.datasets.transforms.remote import local_file
from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.registry import TRANSFORMS
from omnivl.structures import FRAMES, MODALITIES, Modality

from .inputs import NAMED_BY_A_PERSON, Visual, frames_in_memory

NO_LIMIT = 1_000_000  # word pieces


class Preparation:
    """Runs the pipelines on single visuals and texts.

    Pictures in memory take the place of what the loading transform would return; all other transforms are the same for
    files and for them. A pipeline that never changes the size, since its corpus has that of the model, gets a resize
    and a centre crop for pictures of other sizes; the others pass them untouched. Of a pipeline with several views, as
    benchmarks of actions average over, one is left: the middle crop of one clip.

    Args:
        pipelines: Modality -> transforms, the first of which loads.
        size: (height, width) that the model is made for, in pixels; None = not known, nothing is fitted.
    """

    def __init__(self, pipelines: Mapping[str, Sequence[Any]], size: tuple[int, int] | None) -> None:
        self.pipelines = {modality: self._fitted(steps, size) for modality, steps in pipelines.items()}
        self.text_steps = self._text_steps(pipelines)

    @staticmethod
    def _fitted(steps: Sequence[Any], size: tuple[int, int] | None) -> list[Any]:
        steps = [_one_view(step) for step in steps]
        loaded = [loaded_by(step) for step in steps]
        loads = [number for number, modality in enumerate(loaded) if modality is not None and modality.kind == FRAMES]
        sizes = [step for step in steps if isinstance(step, Resize | CenterCrop | RandomResizedCrop)]
        if size is None or sizes or not loads:
            return steps
        first = loads[-1] + 1
        return [*steps[:first], Resize(size, keep_ratio=True), CenterCrop(size), *steps[first:]]

    @staticmethod
    def _text_steps(pipelines: Mapping[str, Sequence[Any]]) -> list[Any]:
        for steps in pipelines.values():
            if any(isinstance(step, TokenizeText) for step in steps):
                return [step for step in steps if getattr(step, 'text_only', False)]
        return []

    @property
    def tokenize(self) -> TokenizeText:
        """The transform that makes word pieces; an ``OmniVLValueError`` if there is none."""
        if not self.text_steps:
            raise OmniVLValueError('no test pipeline of the config has TokenizeText, which texts need; add it to one')
        return next(step for step in self.text_steps if isinstance(step, TokenizeText))

    def __call__(self, visual: Visual) -> dict[str, Any]:
        """Load a visual as PackSample packs it: ``inputs``, ``pts_seconds`` and ``data_samples``.

        One that is missing, broken, or of a modality without a pipeline is a ``BrokenVisualError``.
        """
        if visual.error is not None:
            raise BrokenVisualError(visual.name, visual.error)
        if visual.modality not in self.pipelines:
            raise BrokenVisualError(
                visual.name,
                f'the config has no test pipeline for {MODALITIES[visual.modality].plural}, only for '
                f'{sorted(self.pipelines)}; set {visual.modality}_test_pipeline',
            )
        if visual.path is None:
            return self._run(visual, visual.name)
        with local_file(visual.path, NAMED_BY_A_PERSON) as path:
            return self._run(visual, path)

    def _run(self, visual: Visual, path: str) -> dict[str, Any]:
        results: dict[str, Any] = {'visual': path, 'modality': visual.modality, 'clip': None}
        results |= {'sample_id': visual.name, 'source': 'inference'}
        for step in self.pipelines[visual.modality]:
            if getattr(step, 'text_only', False):
                continue
            if visual.path is None and loaded_by(step) is not None:
                results['frames'] = frames_in_memory(visual, getattr(step, 'num_frames', 1))
            else:
                results = step(results)
        return results

    def texts(self, texts: Sequence[str], are_questions: bool = False) -> tuple[list[str], list[np.ndarray]]:
        """Clean texts, as captions or as questions, and make word pieces of them: ids, int64 (L_i,) each.

        A text beyond the limits of the pipeline is cut, as in the evaluations, with a warning that shows what is left.
        One that is no string is an ``OmniVLTypeError``; one of which nothing is left after cleaning, or a config
        without a pipeline for texts, an ``OmniVLValueError``.
        """
        tokenize = self.tokenize
        key, other = ('question', CleanCaption) if are_questions else ('text', CleanQuestion)
        steps = [step for step in self.text_steps if not isinstance(step, other)]
        cleaned, ids = [], []
        empty = len(tokenize.tokenizer.encode('', NO_LIMIT))
        for text in texts:
            if not isinstance(text, str):
                raise OmniVLTypeError(f'a text must be a str, got a {type(text).__name__}: {text!r}')
            results: dict[str, Any] = {'visual': repr(text), key: text}
            try:
                for step in steps:
                    results = step(results)
            except BrokenVisualError as error:
                raise OmniVLValueError(f'the text {text!r} cannot be used: {error.reason}') from error
            if len(results['text_ids']) == empty:
                raise OmniVLValueError(f'the text {text!r} cannot be used: there is no word in it')
            _warn_if_cut(text, results['text_ids'], steps, tokenize)
            if unknown := results.get('unknown_words'):
                warnings.warn(
                    f'the vocabulary does not know {", ".join(map(repr, dict.fromkeys(unknown)))} of {text!r}: the '
                    'model reads [UNK] there; use other words',
                    stacklevel=3,
                )
            cleaned.append(results[key])
            ids.append(results['text_ids'])
        return cleaned, ids

    def described(self) -> list[str]:
        """Write one line for each transform, with its options; where files lie makes no difference."""
        lines = []
        for modality, steps in sorted(self.pipelines.items()):
            for step in steps:
                is_tokenize = isinstance(step, TokenizeText)
                lines.append(f'{modality}: {f"TokenizeText({step.max_length})" if is_tokenize else repr(step)}')
        return lines


def loaded_by(step: object) -> Modality | None:
    """Return the modality whose files a transform loads; None for other transforms."""
    loads = (modality for modality in MODALITIES.values() if isinstance(step, TRANSFORMS.get(modality.loader)))
    return next(loads, None)


def _one_view(step: object) -> Any:
    """Replace a transform that makes several views by one that makes one; others stay."""
    if isinstance(step, ThreeCrop):
        return CenterCrop(step.size)
    if isinstance(step, LoadVideo) and step.num_clips > 1:
        step = copy.copy(step)
        step.num_clips = 1
    return step


def _warn_if_cut(text: str, ids: np.ndarray, steps: Sequence[Any], tokenize: TokenizeText) -> None:
    """Warn of a text that has more word pieces than ``ids``, int64 (L,)."""
    for step in steps:
        if isinstance(step, CleanCaption | CleanQuestion):
            text = (clean_caption if isinstance(step, CleanCaption) else clean_question)(text)
    tokenizer = tokenize.tokenizer
    whole = tokenizer.encode(text, NO_LIMIT)
    if len(whole) > len(ids):
        warnings.warn(
            f'a text of {len(whole)} word pieces is longer than the test pipeline takes (max_words of cleaning, '
            f'max_length={tokenize.max_length} of TokenizeText); the model gets only: {tokenizer.decode(ids)!r}',
            stacklevel=4,
        )
