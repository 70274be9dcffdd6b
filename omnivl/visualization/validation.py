"""Pictures of every validation and test: visuals, and what the model makes of them beside the truth."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import Dataset

from omnivl.datasets import MixedDataset, SampleKey, SkippedItem, VisualDataset
from omnivl.engine.distributed import unwrapped
from omnivl.engine.evaluation_loop import EvaluationLoop, unchanged
from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Matches, offered_by
from omnivl.registry import HOOKS
from omnivl.structures import FRAMES, MODALITIES

from .attention import draw_word_attention
from .pictures import draw_values
from .sheets import BAD, GOOD, SOFT, Line, card, contact_sheet, frame_strip

# Frames of a clip on a card, results of a search, words whose attention is drawn, items that results are looked up in.
MOST_FRAMES, MOST_FOUND, MOST_WORDS, MOST_SEARCHED = 8, 3, 8, 20_000
Row = Mapping[str, Any]


@HOOKS.register_module()
class ValidationPicturesHook(Hook):
    """Draws some visuals of each evaluation, the same every time, for TensorBoard and whatever else shows pictures.

    The pixels are those that the model got. A picture that cannot be drawn is a warning; what is drawn leaves no trace
    in the training. The first rank draws. A run with more validations than ``most`` draws at as many of them, evenly,
    the last one included, so that the files of a long run stay small.

    Args:
        number: Visuals of each evaluation; 0 = no pictures.
        most: Validations of a run that are drawn.
        attention: Whether to draw, of one visual, where the model looks for the words of a text.
        height: Height of a frame in pixels.
    """

    priority = 'LOW'

    def __init__(self, number: int = 4, most: int = 50, attention: bool = True, height: int = 128) -> None:
        if most < 1:
            raise OmniVLValueError(
                f'default_hooks.pictures.most is {most}; it must be at least 1 (number=0 draws nothing)'
            )
        self.number = number
        self.most = most
        self.drawn = 0  # of ``most`` equal parts of the run, those that are behind the last picture
        self.attention = attention
        self.height = height

    def before_train(self, runner: Runner) -> None:
        """Take what a resumed run has drawn from its place."""
        self.drawn = max(runner.iter - 1, 0) * self.most // runner.max_iters

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Draw what was validated, the first time in each part of the run."""
        part = runner.iter * self.most // runner.max_iters
        if part > self.drawn:
            self.drawn = part
            self._draw_all(runner, runner.val_loop, runner.iter)

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Draw what was tested."""
        self._draw_all(runner, runner.test_loop, 0)

    def _draw_all(self, runner: Runner, loop: object, step: int) -> None:
        shows = getattr(runner.visualizer, 'shows_pictures', False)
        if not self.number or not is_main_process() or not shows or not isinstance(loop, EvaluationLoop):
            return
        for name, rows in loop.predictions.items():
            dataset = cast(Dataset, loop.dataloader[name].dataset)
            title = f'{name}, after iteration {step}' if step else name
            self._show(runner, f'picture/{name}', step, draw_evaluation, dataset, rows, self.number, self.height, title)
        # A wrapper that splits the weights would need all ranks.
        whole = not is_model_wrapper(runner.model) or isinstance(runner.model, MMDistributedDataParallel)
        if self.attention and whole and offered_by(unwrapped(runner.model), Matches) is not None:
            self._show(runner, 'picture/attention', step, self._draw_attention, runner, loop)

    def _show(self, runner: Runner, name: str, step: int, draw: Callable[..., Image.Image | None], *args: Any) -> None:
        try:
            with unchanged(unwrapped(runner.model)):
                picture = draw(*args)
            if picture is not None:
                runner.visualizer.add_image(name, np.asarray(picture), step)
        except Exception as error:  # whatever a picture costs, it is not the run
            runner.logger.warning(f'{name} is not drawn: {type(error).__name__}: {" ".join(str(error).split())}')

    def _draw_attention(self, runner: Runner, loop: EvaluationLoop) -> Image.Image | None:
        """Draw the words of the first true text that there is."""
        for name, rows in loop.predictions.items():
            for item, row in items_of(cast(Dataset, loop.dataloader[name].dataset), rows, 1):
                texts = row.get('references') or row.get('captions')
                modality = row['modality']
                if texts and MODALITIES[modality].kind == FRAMES and item['data_samples'].get('num_views', 1) == 1:
                    frames = item['inputs'][modality].permute(0, 2, 3, 1).numpy()
                    text = ' '.join(texts[0].split()[:MOST_WORDS])
                    return draw_word_attention(unwrapped(runner.model), frames, text, modality, height=self.height)
        return None


def draw_evaluation(
    dataset: Dataset, rows: list[dict[str, Any]], number: int, height: int, title: str
) -> Image.Image | None:
    """Draw a sheet of so many visuals of an evaluation, from its predictions; None if none of them can be found."""
    cards, places = [], {}
    if rows and 'top_visuals' in rows[0] and isinstance(dataset, VisualDataset) and len(dataset) <= MOST_SEARCHED:
        places = {key_of(dataset, index)[1]: index for index in range(len(dataset))}
    for item, row in items_of(dataset, rows, number):
        modality = row['modality']
        strips = draw_values([shortened(item['inputs'][modality])], modality, height)
        found = [places[key] for one in row.get('top_visuals', ()) if (key := one['sample_id']) in places][:MOST_FOUND]
        # Of a clip the frame in its middle; what has no frames has no picture of one size.
        values = [dataset[SampleKey(index, 0)]['inputs'][modality] for index in found]
        results = [clip[len(clip) // 2].permute(1, 2, 0).numpy() for clip in values if clip.ndim == 4]
        strips += [frame_strip(results, height)] if results else []
        cards.append(card(strips, lines_of(row, bool(results))))
    return contact_sheet(cards, title=title) if cards else None


def items_of(dataset: Dataset, rows: list[dict[str, Any]], number: int) -> Iterator[tuple[dict[str, Any], Row]]:
    """Load some of the items that have predictions, evenly from the whole set and each time the same."""
    by_key = {(row.get('source'), row.get('sample_id')): row for row in rows}
    if not isinstance(dataset, VisualDataset | MixedDataset):
        return
    count = min(number, len(dataset))
    for place in range(count):
        index = int((place + 0.5) * len(dataset) / count)
        row = by_key.get(key_of(dataset, index))  # so nothing is decoded here that was not decoded before
        item = None if row is None else dataset[SampleKey(index, 0)]
        if row is not None and not isinstance(item, SkippedItem | None):
            yield item, row


def key_of(dataset: VisualDataset | MixedDataset, index: int) -> tuple[str, str]:
    """Return source and id of an item without loading it."""
    if isinstance(dataset, MixedDataset):
        part = next(number for number, (_, _, end) in enumerate(dataset.sources) if index < end)
        return key_of(dataset.datasets[part], index - dataset.sources[part][1])
    return dataset.name, dataset.get_data_info(index)['sample_id']


def shortened(values: torch.Tensor) -> torch.Tensor:
    """Take some frames, evenly, of a clip or of views that lie end to end; other values stay as they are."""
    places = torch.linspace(0, len(values) - 1, min(len(values), MOST_FRAMES)).long()
    return values[places] if values.ndim == 4 else values


def lines_of(row: Row, with_results: bool = False) -> list[Line]:
    """Say what the model made of a visual, green where it is right, and below it the truth."""

    def judged(text: str, right: bool) -> Line:
        return Line(text, GOOD if right else BAD)

    lines: list[Line] = []
    if 'question' in row or 'references' in row:
        true = sorted(set(row.get('answers') or row.get('references') or ()))
        lines += [Line(row['question'])] if 'question' in row else []
        lines += [judged(f'{method}: {row[method]}', row[method] in true) for method in row.get('score', ())]
        lines += [Line(f'true: {" / ".join(true[:MOST_FOUND])}')] if true else []
    elif 'choices' in row:
        chosen, true = (row['choices'][row[key]] for key in ('predicted', 'answer_index'))
        lines += [judged(f'chosen: {chosen}', row['correct']), Line(f'true: {true}')]
    elif 'top_captions' in row:
        found = [one['caption'] for one in row['top_captions'][:MOST_FOUND]]
        lines += [judged(f'{place}. {text}', text in row['captions']) for place, text in enumerate(found, start=1)]
        lines.append(Line(f'true: {row["captions"][0]}'))
        lines += [Line('lower row: what is found for the true caption', SOFT, 12)] if with_results else []
        ranks = ', '.join(f'{name} {value}' for name, value in row.get('ranks_reranked', row.get('ranks', {})).items())
        lines.append(Line(f'ranks: {ranks}', SOFT, 12))
    elif 'predicted' in row and 'label' in row:
        right = row['predicted'] == row['label']
        lines += [judged(f'predicted: {row["predicted"]}', right), Line(f'true: {row["label"]}')]
    return [*lines, Line(f'{row["source"]}  {row["sample_id"]}', SOFT, 12)]
