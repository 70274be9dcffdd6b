"""What a cycle leaves, one JSON object a line, so that whatever ends it, nothing that was answered is asked again."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.storage.files import write_json, write_text

from .generators.base import Sample

Row = dict[str, Any]
DIRECT, RATIONALISED, REJECTED, BROKEN = 'direct', 'rationalised', 'rejected', 'broken'
VERDICTS = (DIRECT, RATIONALISED, REJECTED, BROKEN)


class Journal:
    """Rows of several processes, each in a file of its own: ``NAME.RANK.jsonl``.

    A line that a killed process left unfinished is cut off. Another number of processes goes on from all files.

    Args:
        folder: Of the files.
        name: What they are called.
        key: The field that names a row.
    """

    def __init__(self, folder: Path, name: str, key: str = 'question_id') -> None:
        self.folder = folder
        self.name = name
        self.key = key
        self.path = folder / f'{name}.{get_rank()}.jsonl'

    def read(self) -> dict[str, Row]:
        """Read the rows of all processes, by their names."""
        return {row[self.key]: row for path in sorted(self.folder.glob(f'{self.name}.*.jsonl')) for row in lines(path)}

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows down; whatever ends the process after this, they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            cut_unfinished(self.path)
        with self.path.open('a', encoding='utf-8') as file:
            file.write(''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows))


def lines(path: Path) -> Iterator[Row]:
    """Read the whole lines of a file of rows; a last one without its end is passed over."""
    with path.open(encoding='utf-8') as file:
        for line in file:
            if line.endswith('\n'):
                yield json.loads(line)


def cut_unfinished(path: Path) -> None:
    """Cut off a last line that has no end."""
    with path.open('rb') as file:
        if not file.seek(0, os.SEEK_END):
            return
        file.seek(-1, os.SEEK_END)
        if file.read() == b'\n':
            return
    os.truncate(path, path.read_bytes().rfind(b'\n') + 1)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole file of rows, or nothing."""
    write_text(path, ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows))


def sample_of(row: Row) -> Sample:
    """Return what a kept row is tuned on: the plain question, never the prompt with the hint."""
    clip = None if row.get('clip') is None else tuple(row['clip'])
    return Sample(row['question_id'], row['video_path'], clip, row['question'], row['answer'])


def conversation(question: str, answer: str) -> list[dict[str, str]]:
    """Write a question about a video and its answer as a conversation, in LLaVA's form."""
    return [{'from': 'human', 'value': '<video>\n' + question}, {'from': 'gpt', 'value': answer}]


def write_instructions(path: Path, rows: Sequence[Row]) -> None:
    """Write kept rows in the published form: the record of the question, with ``conversations``.

    ``rationale`` tells, as there, whether the answer came without a hint; ``cls_correct`` that it was verified.
    """
    published = [
        {
            **{
                key: row[key]
                for key in ('question_id', 'video_path', 'question', 'label', 'label_type', 'verifier_type')
            },
            **({'clip': row['clip']} if row.get('clip') is not None else {}),
            'output': row['answer'],
            'conversations': conversation(row['question'], row['answer']),
            'rationale': row['verdict'] == DIRECT,
            'cls_correct': True,
        }
        for row in rows
    ]
    write_json(path, published)


def read_instructions(path: str, visual_root: str = '') -> list[Sample]:
    """Read instruction data in the form of LLaVA's: ``[{conversations: [{from, value}], video or video_path, clip?}]``.

    Each question with its answer is a sample.

    Args:
        path: JSON file.
        visual_root: Folder that videos are relative to.

    Returns:
        The samples.

    Raises:
        OmniVLFileNotFoundError: There is no such file.
        OmniVLValueError: A row is of another form.
    """
    if not Path(path).is_file():
        raise OmniVLFileNotFoundError(f'there is no file of instructions {path}; see mix in the settings of the cycles')
    samples = []
    for place, row in enumerate(json.loads(Path(path).read_text(encoding='utf-8'))):
        video, said = row.get('video_path') or row.get('video'), row.get('conversations') or []
        if (
            not video
            or len(said) % 2
            or any(turn.get('from') != ('human', 'gpt')[n % 2] for n, turn in enumerate(said))
        ):
            raise OmniVLValueError(
                f'{path}, row {place}: a row has video_path (or video) and conversations, in turn from human and gpt'
            )
        clip = None if row.get('clip') is None else tuple(row['clip'])
        for number in range(0, len(said), 2):
            question = said[number]['value'].replace('<video>', '').replace('<image>', '').strip()
            samples.append(
                Sample(f'{place}/{number}', os.path.join(visual_root, video), clip, question, said[number + 1]['value'])
            )
    return samples
