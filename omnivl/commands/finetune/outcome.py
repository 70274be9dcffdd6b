"""What a finetuning ends with: a table, metrics.json, report.html, examples, and the next commands."""

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from omnivl.commands.pages import (
    Card,
    CardGrid,
    MediaReader,
    Piece,
    choose_examples,
    render,
    retrieval_grid,
    show,
)
from omnivl.commands.pages.grids import mark_words
from omnivl.errors import OmniVLImportError
from omnivl.storage.files import write_json, write_text
from omnivl.structures import MODALITIES
from omnivl.version import __version__

from .config_file import NAMES

Row = Mapping[str, Any]
EXAMPLES = 6  # held-out files beside the model, for those who try it
CARDS = 12
# The figures that are shown, and what they are called; all others are in metrics.json.
SHOWN = {
    'caption': {
        'words': 'words right',
        'exact': 'captions right',
        'words_beam': 'words right, beam search',
        'cider_beam': 'CIDEr, beam search',
        'bleu4_beam': 'BLEU-4, beam search',
    },
    'retrieval': {
        **{
            f'{way}_r{k}': f'{title}, R@{k}'
            for way, title in (('t2{}', 'text to {}'), ('{}2t', '{} to text'))
            for k in (1, 5)
        },
        'mean_recall': 'mean recall',
        't2{}_r1_reranked': 'text to {}, R@1, re-ranked',
        '{}2t_r1_reranked': '{} to text, R@1, re-ranked',
    },
    'vqa': {'accuracy': 'answers right, of the list', 'accuracy_generated': 'answers right, written freely'},
    'classify': {'top1': 'right', 'top5': 'among the first five', 'per_class': 'right, mean of the classes'},
}
USES = {
    'caption': ('caption {model} {files}',),
    'retrieval': ('retrieve {model} {folder} --text {text}', 'index {model} {folder} --out {model}/index'),
    'vqa': ('answer {model} {files} --text {text}',),
    'classify': ('classify {model} {files}',),
}


def report(work_dir: Path, task: str, modalities: Sequence[str], words: list[str]) -> None:
    """Write and print what a finetuning ends with.

    Args:
        work_dir: The work directory, with ``untuned`` and ``test``.
        task: The task.
        modalities: Those that were tested.
        words: What was understood and chosen.
    """
    metrics = {name: _read(work_dir / folder / 'metrics.json') for name, folder in _FOLDERS.items()}
    rows = figure_rows(metrics, task, modalities)
    table = Table('', box=None, pad_edge=False)
    for column in ('finetuned', 'untuned', 'chance'):
        table.add_column(column, justify='right')
    for row in rows:
        table.add_row(*row)
    Console().print('', 'Held-out files', table, sep='\n')
    figures = {name: _without_protocol(content) for name, content in metrics.items()}
    chance, protocol = (metrics['finetuned'].get(key, {}) for key in ('chance', 'protocol'))
    write_json(work_dir / 'metrics.json', dict(figures, chance=chance, protocol=protocol, task=task))
    predictions = {
        name: {
            modality: _read(work_dir / folder / 'predictions' / f'{modality}.{NAMES[task]}.json')
            for modality in modalities
        }
        for name, folder in _FOLDERS.items()
    }
    examples = copy_examples(work_dir / 'examples', predictions['finetuned'])
    first = next(row for rows in predictions['finetuned'].values() for row in rows)
    text = first.get('question') or next(iter(first.get('captions') or ()), '')
    commands = next_commands(work_dir, task, examples, text)
    try:
        page = _page(work_dir, task, rows, predictions, words, commands)
        write_text(work_dir / 'report.html', page)
        print(f'report: {work_dir / "report.html"}')
    except OmniVLImportError as error:  # figures and model are there all the same
        print(f'no report.html: {error}')
    print('\n'.join(['Next', *(f'  {command}' for command in commands)]))


_FOLDERS = {'finetuned': 'test', 'untuned': 'untuned'}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding='utf-8'))


def _without_protocol(content: Row) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key in MODALITIES}


def figure_rows(metrics: Mapping[str, Row], task: str, modalities: Sequence[str]) -> list[list[str]]:
    """List the figures: what is measured, finetuned, untuned and chance, as texts."""
    rows = []
    for modality in modalities:
        letter = MODALITIES[modality].letter
        for metric, title in SHOWN[task].items():
            key = metric.format(letter)
            values = [
                content.get(modality, {}).get(NAMES[task], {}).get(key)
                for content in (metrics['finetuned'], metrics['untuned'], metrics['finetuned'].get('chance', {}))
            ]
            if values[0] is not None:
                texts = ['' if value is None else f'{value:.1f}' for value in values]
                rows.append([f'{modality}: {title.format(modality)}', *texts])
    return rows


def copy_examples(folder: Path, predictions: Mapping[str, Sequence[Row]]) -> list[Path]:
    """Copy up to ``EXAMPLES`` held-out files into a folder, of each modality in turn; returns the copies."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    visuals = [list(dict.fromkeys(str(row['visual']) for row in rows)) for rows in predictions.values()]
    chosen = [path for turn in range(EXAMPLES) for paths in visuals for path in paths[turn : turn + 1]][:EXAMPLES]
    copies = []
    for number, path in enumerate(chosen):
        # Two files of one name may lie in two folders.
        same = any(Path(path).name == Path(other).name for other in chosen[:number])
        copies.append(folder / (f'{number}_{Path(path).name}' if same else Path(path).name))
        shutil.copyfile(path, copies[-1])
    return copies


def next_commands(work_dir: Path, task: str, examples: Sequence[Path], text: str) -> list[str]:
    """List the commands that use the model; ``text`` is one of a held-out file."""
    model = shlex.quote(_short(work_dir))
    files = shlex.quote(_short(examples[0]))
    folder, text = shlex.quote(_short(work_dir / 'examples')), shlex.quote(text)
    uses = [f'omnivl {use.format(model=model, files=files, folder=folder, text=text)}' for use in USES[task]]
    return [*uses, f'omnivl demo {model}', f'omnivl train {model}/setup/config.py --work-dir OTHER']


def _short(path: Path) -> str:
    """Return a path as it is typed here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _page(
    work_dir: Path,
    task: str,
    rows: list[list[str]],
    predictions: Mapping[str, Mapping[str, Sequence[Row]]],
    words: list[str],
    commands: list[str],
) -> str:
    media = MediaReader(work_dir, size=224)
    tuned = predictions['finetuned']
    if task == 'retrieval':
        shown: dict[str, Any] = dict(
            retrievals=[retrieval_grid(found, name, media) for name, found in tuned.items()], grids=[]
        )
    else:
        grids = [_cards(task, name, found, predictions['untuned'][name], media) for name, found in tuned.items()]
        shown = dict(retrievals=[], grids=grids)
    head = ['', 'finetuned', 'untuned', 'chance']
    return render(
        Path(__file__).parent / 'templates/finetune.html',
        heading=work_dir.name,
        note='',
        sections=[('figures', 'Figures'), ('examples', 'Examples'), ('made', 'Choices'), ('next', 'Next')],
        figures=dict(title='', head=head, rows=rows),
        words=words,
        commands=commands,
        facts=dict(omnivl=__version__, torch=torch.__version__),
        **shown,
    )


def _cards(task: str, modality: str, rows: Sequence[Row], untuned: Sequence[Row], media: MediaReader) -> CardGrid:
    """Show what the model said beside the truth, and what it said before."""
    before = {(row['source'], row['sample_id']): row for row in untuned}
    said = [_said(task, row) for row in rows]
    cards = []
    for index in choose_examples([answer in truths for answer, truths in said], CARDS, wrong=CARDS // 3):
        row, (answer, truths) = rows[index], said[index]
        lines = [('question', [Piece(row['question'])])] if task == 'vqa' else []
        lines += [('truth', [Piece(truth)]) for truth in truths[:2]]
        marked = mark_words(answer, truths[0]) if task == 'caption' else [Piece(answer, answer in truths)]
        lines.append(('model', marked))
        earlier = before.get((row['source'], row['sample_id']))
        if earlier is not None:
            lines.append(('untuned', [Piece(_said(task, earlier)[0])]))
        cards.append(Card(show(row, truths[0], media), lines))
    return CardGrid(modality, cards)


def _said(task: str, row: Row) -> tuple[str, list[str]]:
    """Return what a model said of a row, and what is true."""
    if task == 'caption':
        return row['greedy'], list(row['references'])
    return (row['rank'], list(row['answers'])) if task == 'vqa' else (row['predicted'], [row['label']])
