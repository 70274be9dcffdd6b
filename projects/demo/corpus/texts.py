"""The texts of a demo corpus that a vocabulary may be trained on: the training split and the prompts."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omnivl.errors import OmniVLFileNotFoundError

from .world import ACTIONS

# How a label becomes a text in the demo: in the words of the captions, so that labels and captions help each other.
IMAGE_PROMPTS = ('a photo of a {}', 'a picture of a {}', 'one {} alone')
VIDEO_PROMPTS = ('a video of a shape {}', 'something {}', 'a shape {} near another')


def training_texts(root: str | Path) -> Iterator[str]:
    """Read the captions, questions and answers of the training split, and fill the prompts.

    Args:
        root: Folder of a demo corpus.

    Yields:
        One text after the other; none of them from val or test.

    Raises:
        OmniVLFileNotFoundError: There is no demo corpus.
    """
    folder = Path(root) / 'annotations'
    if not (folder / 'dataset_demo.json').is_file():
        raise OmniVLFileNotFoundError(
            f'no demo corpus in {root}: make it with "python -m projects.demo.make_corpus --out {root}"'
        )
    for image in _read_json(folder / 'dataset_demo.json')['images']:
        if image['split'] == 'train':
            yield from (sentence['raw'] for sentence in image['sentences'])
    with (folder / 'webvid_train.csv').open(encoding='utf-8', newline='') as file:
        yield from (row['name'] for row in csv.DictReader(file))
    yield from (row['question'] for row in _read_json(folder / 'v2_OpenEnded_mscoco_train_questions.json')['questions'])
    for row in _read_json(folder / 'v2_mscoco_train_annotations.json')['annotations']:
        yield row['multiple_choice_answer']
    for row in _read_json(folder / 'msrvtt_qa_train.json'):
        yield from (row['question'], row['answer'])
    if (folder / 'narrations_train.json').is_file():  # of a world with sound
        for narration in _read_json(folder / 'narrations_train.json').values():
            yield from narration['text']
    shapes = _read_json(folder / 'slots.json')['image']['shape']
    yield from (prompt.format(shape) for prompt in IMAGE_PROMPTS for shape in shapes)
    yield from (prompt.format(action) for prompt in VIDEO_PROMPTS for action in ACTIONS)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding='utf-8'))
