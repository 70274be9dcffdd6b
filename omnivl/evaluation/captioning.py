"""Captions of images and videos, by greedy decoding, beam search or sampling."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.logging import print_log
from torch import nn

from omnivl.models.generation import GenerationOutput, beam_search, greedy, nucleus
from omnivl.registry import EVALUATIONS
from omnivl.structures import VLBatch, VLDataSample

from .base import Evaluation, EvaluationResult, batches, describe, gather_rows
from .caption_scores import Slots, caption_metrics, chance_metrics

OPTIONS: dict[str, tuple[Callable[..., GenerationOutput], frozenset[str]]] = {
    'greedy': (greedy, frozenset({'repetition_penalty'})),
    'beam': (beam_search, frozenset({'num_beams', 'length_penalty', 'repetition_penalty'})),
    'nucleus': (nucleus, frozenset({'top_p', 'temperature', 'repetition_penalty', 'seed'})),
}
MODALITIES = {'image', 'video'}


@EVALUATIONS.register_module()
class CaptionEvaluation(Evaluation):
    """Writes a caption for each visual and compares it with the true ones.

    Metrics in percent (see ``caption_scores.py``): ``exact``, ``words`` and, with ``slots``, ``slots`` and
    ``slots_<name>``; those of another method than greedy with its name at the end (``exact_beam``).

    Predictions have for each visual ``references``, a caption under the name of each method, and ``score``: method ->
    mean log-probability per word piece (for beam search what it ranks by).

    Args:
        methods: Method -> its options. ``greedy``: ``repetition_penalty``; ``beam``: ``num_beams, length_penalty,
            repetition_penalty``; ``nucleus``: ``top_p, temperature, repetition_penalty, seed`` (its draws depend on the
            batch size and the number of processes). None = greedy, and beam search with 3 beams.
        prompt: Words that captions begin with; they are given, not generated, and not part of the caption.
        slots: Slot -> its values, or one such dict under ``image`` and one under ``video``, or the path of a JSON file
            with either; None = no slots.
        max_length: Most word pieces to generate, the closing one included.
        min_length: Word pieces before a caption may end.
    """

    def __init__(
        self,
        methods: Mapping[str, Mapping[str, Any]] | None = None,
        prompt: str = '',
        slots: Mapping[str, Any] | str | None = None,
        max_length: int = 20,
        min_length: int = 0,
    ) -> None:
        methods = {'greedy': {}, 'beam': {'num_beams': 3}} if methods is None else methods
        if not methods:
            raise ValueError(f'methods is empty; allowed are {sorted(OPTIONS)}')
        for method, options in methods.items():
            if method not in OPTIONS:
                raise ValueError(f'methods has {method!r}; allowed are {sorted(OPTIONS)}')
            unknown = sorted(set(options) - OPTIONS[method][1])
            if unknown:
                raise ValueError(
                    f'method {method!r} has no option {unknown[0]!r}; allowed: {sorted(OPTIONS[method][1])}'
                )
        if 'nucleus' in methods and 'top_p' not in methods['nucleus']:
            raise ValueError("method 'nucleus' needs top_p, e.g. nucleus=dict(top_p=0.9, seed=0)")
        self.methods = {method: dict(options) for method, options in methods.items()}
        self.prompt = prompt
        self.slots = slots
        self.max_length = max_length
        self.min_length = min_length

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Captions everything once with each method."""
        random = {
            method: torch.Generator(next(model.parameters()).device).manual_seed(options.get('seed', 0) + get_rank())
            for method, options in self.methods.items()
            if method == 'nucleus'
        }
        rows: list[dict[str, Any]] = []
        for batch, samples in batches(model, dataloader, name):
            rows += self._caption(model, batch, samples, random, name)
        rows = gather_rows(rows, name)
        shape = rows[0]['shape']
        for row in rows:
            del row['shape']
        references = [row['references'] for row in rows]
        slots = read_slots(self.slots, rows[0]['modality'])
        chance = chance_metrics(references, slots)
        metrics: dict[str, float] = {}
        all_chance: dict[str, float] = {}
        for method in self.methods:
            suffix = '' if method == 'greedy' else f'_{method}'
            scores = caption_metrics([row[method] for row in rows], references, slots)
            metrics |= {f'{metric}{suffix}': value for metric, value in scores.items()}
            all_chance |= {f'{metric}{suffix}': value for metric, value in chance.items()}
        silent = [slot for slot in slots.patterns if f'slots_{slot}' not in chance] if slots else []
        if silent:
            print_log(f'{name}: no caption names a value of the slots {silent}; they are left out', logger='current')
        protocol = dict(
            task='caption',
            modality=rows[0]['modality'],
            **shape,
            visuals=len(rows),
            captions=sum(map(len, references)),
            methods=self.methods,
            prompt=self.prompt,
            max_length=self.max_length,
            min_length=self.min_length,
        )
        return EvaluationResult(metrics, all_chance, rows, protocol)

    def _caption(
        self,
        model: nn.Module,
        batch: VLBatch,
        samples: Sequence[VLDataSample],
        random: Mapping[str, torch.Generator],
        name: str,
    ) -> list[dict[str, Any]]:
        """The rows of one batch."""
        tokenizer = model.tokenizer
        tokens = model.encode_visual(batch.frames, batch.modality).tokens
        key_values = model.visual_key_values(tokens, decoders=('generation',))
        prompt = torch.tensor([prompt_ids(tokenizer, self.prompt)] * len(samples), device=tokens.device)
        rows = [describe(sample, batch) | {'references': _references(sample, name), 'score': {}} for sample in samples]

        def step(ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
            return model.decoder_step(ids, cache, key_values)

        for method, options in self.methods.items():
            options = {option: value for option, value in options.items() if option != 'seed'}
            if method in random:
                options['generator'] = random[method]
            output = OPTIONS[method][0](
                step,
                model.reorder_cache,
                prompt,
                end_id=tokenizer.sep_id,
                pad_id=tokenizer.pad_id,
                max_length=self.max_length,
                min_length=self.min_length,
                **options,
            )
            for row, ids, score in zip(rows, output.ids, output.scores.tolist()):
                row[method] = tokenizer.decode(ids)
                row['score'][method] = score
        return rows


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """[DEC] and the word pieces of the prompt."""
    pieces = tokenizer.encode(prompt, 10_000)[1:-1] if prompt else []
    return [tokenizer.decoder_id, *(int(piece) for piece in pieces)]


def read_slots(slots: Mapping[str, Any] | str | Path | None, modality: str) -> Slots | None:
    """The slots of one modality.

    Args:
        slots: As for :class:`CaptionEvaluation`.
        modality: ``'image'`` or ``'video'``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no JSON, the modality is missing, or the slots are not lists of texts.
    """
    if slots is None:
        return None
    where = 'slots'
    if isinstance(slots, str | Path):
        where = str(slots)
        if not Path(slots).is_file():
            raise FileNotFoundError(
                f'no slots at {slots}: set slots of CaptionEvaluation to a JSON file, a dict or None'
            )
        try:
            slots = json.loads(Path(slots).read_text(encoding='utf-8'))
        except json.JSONDecodeError as error:
            raise ValueError(f'{where} is not JSON: {error}') from error
    if isinstance(slots, Mapping) and slots and set(slots) <= MODALITIES:
        if modality not in slots:
            raise ValueError(f'{where} has slots for {sorted(slots)}, but the visuals are of modality {modality!r}')
        slots = slots[modality]
    return Slots(slots)


def _references(sample: VLDataSample, name: str) -> list[str]:
    references = list(sample.get('captions', []))
    if not references:
        raise ValueError(f'{name}: sample {sample.sample_id!r} has no captions to compare with; use a RetrievalDataset')
    return references
