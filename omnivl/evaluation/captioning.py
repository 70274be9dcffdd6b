"""Captions of images and videos, by greedy decoding, beam search or sampling."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.logging import print_log
from torch import nn

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.models.interfaces import Writes, serving
from omnivl.models.writing import METHODS, write_texts
from omnivl.registry import EVALUATIONS
from omnivl.storage.tar_shards import member_of
from omnivl.structures import MODALITIES, VLBatch, VLDataSample

from .base import Evaluation, EvaluationResult, batches, describe, gather_described
from .caption_scores import Slots, caption_metrics, chance_metrics
from .coco_caption_metrics import coco_metrics, other_captions

CHANCE = 'chance'

Row = dict[str, Any]
Figures = dict[str, float]


@EVALUATIONS.register_module()
class CaptionEvaluation(Evaluation):
    """Writes a caption for each visual and compares it with the true ones.

    Metrics in percent (see ``caption_scores.py``): ``exact``, ``words`` and, with ``slots``, ``slots`` and
    ``slots_<name>``; those of another method than greedy with its name at the end (``exact_beam``). With ``official``
    also the field's own (see ``coco_caption_metrics.py``): ``bleu1`` to ``bleu4``, ``rouge_l``, ``cider``, ``meteor``,
    ``spice``, averaged over visuals or, for a video with several segments, over segments; NoCaps' domains add
    ``cider_in_domain``, ``cider_near_domain`` and ``cider_out_domain``, and so on. Official rows that cannot be
    computed are in the protocol under ``skipped``, with the reason. Their chance level is that of published captions of
    other visuals.

    A test set without captions has predictions and no figures.

    Predictions have for each visual ``references``, a caption under the name of each method, and ``score``: method ->
    mean log-probability per word piece (for beam search what it ranks by).

    Args:
        methods: Method -> its options. ``greedy``: ``repetition_penalty``; ``beam``: ``num_beams, length_penalty,
            lengths, repetition_penalty`` (see ``beam_search``; ``lengths='blip'`` where BLIP's figures are to be met);
            ``nucleus``: ``top_p, top_k, temperature, repetition_penalty, seed`` (its draws
            depend on the batch size and the number of processes). None = greedy, and beam search with 3 beams.
        prompt: Words that captions begin with; they are given, not generated, and not part of the caption. None = the
            prompt of the model, if it has one (``OmniVLCaption``).
        slots: Slot -> its values, or one such dict under ``image`` and one under ``video``, or the path of a JSON file
            with either; None = no slots.
        max_length: Most word pieces to generate, the closing one included.
        min_length: Word pieces before a caption may end.
        official: Whether to compute the official metrics; needs a CaptionDataset and ``pycocoevalcap``.
        submission_file: Name of the file that ``omnivl test --submit`` writes in the form of COCO's and NoCaps'
            servers; None = there is no server.
    """

    headline = ('exact*', 'slots', 'slots_beam', 'cider*')

    def __init__(
        self,
        methods: Mapping[str, Mapping[str, Any]] | None = None,
        prompt: str | None = None,
        slots: Mapping[str, Any] | str | None = None,
        max_length: int = 20,
        min_length: int = 0,
        official: bool = False,
        submission_file: str | None = None,
    ) -> None:
        self.methods = checked_methods({'greedy': {}, 'beam': {'num_beams': 3}} if methods is None else methods)
        self.prompt = prompt
        self.slots = slots
        self.max_length = max_length
        self.min_length = min_length
        self.official = official
        self.submission_file = submission_file

    @property
    def needs(self) -> tuple[type, ...]:
        """A model that writes."""
        return (Writes,)

    def evaluate(self, model: nn.Module, dataloader: Iterable, name: str) -> EvaluationResult:
        """Caption everything once with each method."""
        random = {
            method: torch.Generator(next(model.parameters()).device).manual_seed(options.get('seed', 0) + get_rank())
            for method, options in self.methods.items()
            if method == 'nucleus'
        }
        writes = serving(model, Writes, name)
        prompt = writes.prompt if self.prompt is None else self.prompt
        rows: list[Row] = []
        for batch, samples in batches(model, dataloader, name):
            described = [self._describe(sample, batch, name) for sample in samples]
            tokens = writes.encode(batch).tokens
            lengths = self.max_length, self.min_length
            for method, written in write_texts(writes, tokens, self.methods, prompt, *lengths, random).items():
                for row, (caption, score) in zip(described, written):
                    row[method] = caption
                    row['score'][method] = score
            rows += described
        rows, shared = gather_described(rows, name)
        metrics, chance, skipped = self._figures(rows, name) if _have_captions(rows, name) else ({}, {}, {})
        protocol = dict(
            task='caption',
            **shared,
            visuals=len(rows),
            captions=sum(len(row['references']) for row in rows),
            methods=self.methods,
            prompt=prompt,
            max_length=self.max_length,
            min_length=self.min_length,
        )
        if self.official:
            protocol |= dict(average='over all items (micro); each domain as a set of its own', skipped=skipped)
        return EvaluationResult(metrics, chance, rows, protocol)

    def _describe(self, sample: VLDataSample, batch: VLBatch, name: str) -> Row:
        """Begin the row of a sample, still without captions."""
        references = sample.get('references')
        if self.official and references is None:
            raise OmniVLValueError(
                f'{name}: official metrics compare with captions as they were published, and the pipeline may have '
                f'cleaned those of sample {sample.sample_id!r}: use a CaptionDataset'
            )
        if not self.official:
            references = sample.get('captions', [])
        row = describe(sample, batch) | {'references': list(references), 'score': {}}
        if not references and 'references' not in sample:
            raise OmniVLValueError(
                f'{name}: sample {sample.sample_id!r} has no captions to compare with; use a RetrievalDataset, or a '
                'CaptionDataset for a test set without captions'
            )
        return row | ({'domain': sample.domain} if 'domain' in sample else {})

    def _figures(self, rows: Sequence[Row], name: str) -> tuple[Figures, Figures, dict[str, str]]:
        """Compute metrics, chance level, and what is missing with the reason."""
        references = [row['references'] for row in rows]
        slots = read_slots(self.slots, rows[0]['modality'])
        chance = chance_metrics(references, slots)
        metrics: Figures = {}
        all_chance: Figures = {}
        for method in self.methods:
            scores = caption_metrics([row[method] for row in rows], references, slots)
            metrics |= _named(scores, method)
            all_chance |= _named(chance, method)
        silent = [slot for slot in slots.patterns if f'slots_{slot}' not in chance] if slots else []
        if silent:
            print_log(f'{name}: no caption names a value of the slots {silent}; they are left out', logger='current')
        if not self.official:
            return metrics, all_chance, {}
        found: list[Any] = [self._official(rows) if get_rank() == 0 else None]  # one rank starts Java, not all
        broadcast_object_list(found)
        official, skipped = found[0]
        for row, reason in skipped.items():
            print_log(f'{name}: {row} is skipped: {reason}', logger='current')
        for method in self.methods:
            metrics |= _named(official[method], method)
            all_chance |= _named(official.get(CHANCE, {}), method)
        return metrics, all_chance, skipped

    def _official(self, rows: Sequence[Row]) -> tuple[dict[str, Figures], dict[str, str]]:
        """Compute the official figures of each method and of chance, and what is missing."""
        references = [row['references'] for row in rows]
        captions = {method: [row[method] for row in rows] for method in self.methods}
        others = other_captions(references)
        if others is not None:
            captions[CHANCE] = others
        groups: dict[str, Sequence[int]] = {'': range(len(rows))}
        for domain in sorted({row['domain'] for row in rows if 'domain' in row}):
            groups[f'_{domain}_domain'] = [n for n, row in enumerate(rows) if row.get('domain') == domain]
        found = coco_metrics(captions, references, groups)
        return found.rows, found.skipped

    def submission(self, predictions: Sequence[Row]) -> list[dict[str, Any]] | None:
        """Return what the servers of COCO captions and NoCaps take, of beam search if it was one of the methods.

        That is ``[{image_id, caption}]``, or None without ``submission_file``. An image without a number, or two with
        the same, are an ``OmniVLValueError``.
        """
        if self.submission_file is None:
            return None
        method = 'beam' if 'beam' in self.methods else next(iter(self.methods))
        rows = [{'image_id': image_number(row), 'caption': row[method]} for row in predictions]
        if len({row['image_id'] for row in rows}) < len(rows):
            raise OmniVLValueError(
                'the server takes one caption per image, but two predictions have the same image number'
            )
        return rows

    def submission_name(self, name: str) -> str:
        """Name the file for the server."""
        return self.submission_file or super().submission_name(name)


def checked_methods(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Copy ``methods`` of :class:`CaptionEvaluation`; an ``OmniVLValueError`` if they name what there is not."""
    if not methods:
        raise OmniVLValueError(f'methods is empty; allowed are {sorted(METHODS)}')
    for method, options in methods.items():
        if method not in METHODS:
            raise OmniVLValueError(f'methods has {method!r}; allowed are {sorted(METHODS)}')
        unknown = sorted(set(options) - METHODS[method][1])
        if unknown:
            raise OmniVLValueError(
                f'method {method!r} has no option {unknown[0]!r}; allowed: {sorted(METHODS[method][1])}'
            )
    if 'nucleus' in methods and not {'top_p', 'top_k'} & set(methods['nucleus']):
        raise OmniVLValueError("method 'nucleus' needs top_p or top_k, e.g. nucleus=dict(top_p=0.9, seed=0)")
    return {method: dict(options) for method, options in methods.items()}


def image_number(row: Mapping[str, Any]) -> int:
    """Read the number of an image: its id, or what its file name ends with (``COCO_val2014_000000000042.jpg``).

    Without a number it is an ``OmniVLValueError``.
    """
    if row['sample_id'].isdecimal():
        return int(row['sample_id'])
    member = member_of(row['visual'])
    found = re.search(r'(\d+)$', Path(row['visual'] if member is None else member.name).stem)
    if found is None:
        raise OmniVLValueError(
            f'the server knows images by number; neither the id {row["sample_id"]!r} nor the end of the file name '
            f'{row["visual"]!r} is one: set submission_file=None of CaptionEvaluation'
        )
    return int(found.group(1))


def _named(figures: Mapping[str, float], method: str) -> Figures:
    return {f'{row}{"" if method == "greedy" else f"_{method}"}': figure for row, figure in figures.items()}


def _have_captions(rows: Sequence[Row], name: str) -> bool:
    """Say whether there is something to compare with; for all visuals or for none."""
    without = [row for row in rows if not row['references']]
    if without and len(without) < len(rows):
        raise OmniVLValueError(
            f'{name}: sample {without[0]["sample_id"]!r} has no captions ({len(without)} of {len(rows)} have none): '
            'all visuals of an evaluation have captions, or none has'
        )
    return not without


def read_slots(slots: Mapping[str, Any] | str | Path | None, modality: str) -> Slots | None:
    """Read the slots of one modality, given as for :class:`CaptionEvaluation`; None if there are none.

    A file that does not exist is an ``OmniVLFileNotFoundError``; one that is no JSON, a modality that is missing, and
    slots that are not lists of texts are an ``OmniVLValueError``.
    """
    if slots is None:
        return None
    where, content = 'slots', slots
    if isinstance(slots, str | Path):
        where = str(slots)
        if not Path(slots).is_file():
            raise OmniVLFileNotFoundError(
                f'no slots at {slots}: set slots of CaptionEvaluation to a JSON file, a dict or None'
            )
        try:
            content = json.loads(Path(slots).read_text(encoding='utf-8'))
        except ValueError as error:  # of JSON or of UTF-8
            raise OmniVLValueError(f'{where} is not JSON: {error}') from error
    if isinstance(content, Mapping) and content and set(content) <= set(MODALITIES):
        if modality not in content:
            raise OmniVLValueError(
                f'{where} has slots for {sorted(content)}, but the visuals are of modality {modality!r}'
            )
        content = content[modality]
    return Slots(cast(Mapping[str, Sequence[str]], content))  # which looks at what it gets
