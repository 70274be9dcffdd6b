"""Questions about the demo's clips for the cycles: few with whole answers, many with a label only, and those held out.

    python -m projects.video_star.demo_questions --data data/demo --out data/demo_star

``seed.json`` has sentences as answers to all kinds of questions about the first clips, each also with the label behind
the question, as rationalisation asks; ``labels.json`` the labels of other clips, action and color alone;
``held_out.json`` the labels of all kinds for clips of the test split. All are in the form of MSRVTT-QA. What
``seed.json`` says without such hints is in ``instructions.json``, too, in LLaVA's form: what a cycle mixes in.
"""

import argparse
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.storage.files import write_json

from .records import conversation

CAPTION = re.compile(r'a (?P<color>\w+) (?P<shape>\w+) (?P<action>.+) near a (?P<near>\w+ \w+)')
LABELLED = ('action', 'color')


class Asked(NamedTuple):
    """A kind of question about a clip.

    Attributes:
        kind: What it asks for.
        question: In words.
        answer: A sentence that holds the label.
        label: The bare label.
    """

    kind: str
    question: str
    answer: str
    label: str


def ask(caption: str) -> list[Asked]:
    """Ask about a clip by its caption, 'a red circle moving left near a blue square'."""
    match = CAPTION.fullmatch(caption)
    if match is None:
        raise OmniVLValueError(f'no caption of a clip of the demo: {caption!r}')
    color, shape, action, near = match.group('color', 'shape', 'action', 'near')
    return [
        Asked('action', 'what is the shape doing?', caption, action),
        Asked('color', f'what color is the shape {action}?', f'the {shape} is {color}', color),
        Asked('shape', f'what shape is {action}?', f'a {color} {shape} is {action}', shape),
        Asked('near', f'what is near the {color} {shape}?', f'a {near} is near the {shape}', near),
    ]


def read_captions(data: Path, split: str) -> list[tuple[str, str]]:
    """Read (video, caption) of a split."""
    file = data / f'annotations/webvid_{split}.csv'
    if not file.is_file():
        raise OmniVLFileNotFoundError(
            f'no demo corpus in {data}: make it with "python -m projects.demo.make_corpus --out {data}"'
        )
    with file.open(encoding='utf-8', newline='') as rows:
        return [(f'{row["page_dir"]}/{row["videoid"]}.mp4', row['name']) for row in csv.DictReader(rows)]


def rows_of(clips: Sequence[tuple[str, str]], use: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a file; ``use`` is ``'seed'``, ``'labels'`` or ``'held_out'``."""
    for video, caption in clips:
        for asked in ask(caption):
            row = {'question_id': f'{Path(video).stem}_{asked.kind}', 'video': video, 'question': asked.question}
            if use == 'seed':
                yield row | {'answer': asked.answer}
                hinted = f'{asked.question} {asked.label}'
                yield row | {'question_id': f'{row["question_id"]}_hint', 'question': hinted, 'answer': asked.answer}
            elif use == 'held_out' or asked.kind in LABELLED:
                yield row | {'answer': asked.label}


def write_questions(data: Path, out: Path, seed: int, labelled: int, held_out: int) -> None:
    """Write the files, of so many clips each."""
    train, test = read_captions(data, 'train'), read_captions(data, 'test')
    if len(train) < seed + labelled or len(test) < held_out:
        raise OmniVLValueError(
            f'{data} has {len(train)} clips for training and {len(test)} to test on; ask for fewer than '
            f'{seed} + {labelled} and {held_out}'
        )
    parts = {'seed': train[:seed], 'labels': train[seed : seed + labelled], 'held_out': test[:held_out]}
    for use, clips in parts.items():
        write_json(out / f'{use}.json', list(rows_of(clips, use)))
    write_json(
        out / 'instructions.json',
        [
            {'video': video, 'conversations': conversation(asked.question, asked.answer)}
            for video, caption in parts['seed']
            for asked in ask(caption)
        ],
    )


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, default=Path('data/demo'), help='folder of the demo corpus')
    parser.add_argument('--out', type=Path, default=Path('data/demo_star'), help='folder of the files')
    parser.add_argument('--seed-clips', type=int, default=150, help='clips that the first model learns of')
    parser.add_argument('--labelled-clips', type=int, default=400, help='clips with labels only')
    parser.add_argument('--held-out-clips', type=int, default=100, help='clips of the test split')
    options = parser.parse_args()
    write_questions(options.data, options.out, options.seed_clips, options.labelled_clips, options.held_out_clips)


if __name__ == '__main__':
    main()
