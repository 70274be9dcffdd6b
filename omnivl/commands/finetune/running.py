"""The course of a finetuning: from a folder to a report, and on with what a stopped command has left."""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image

from omnivl.datasets.annotations.record_list import write_records
from omnivl.datasets.overlap import check_overlap
from omnivl.engine.command_line import build_runner
from omnivl.engine.config import read_config
from omnivl.storage.checkpoint import find_checkpoints, number_in
from omnivl.storage.files import write_json, write_text
from omnivl.storage.hashes import content_sha256
from omnivl.structures import IMAGE, MODALITIES

from .columns import chosen_columns
from .config_file import Settings, config_text
from .forms import kinds_of, offers, task_of, understand
from .items import Found, Item, OwnDataError, counted
from .outcome import report
from .planning import Wishes, make_plan
from .readable import readable
from .splitting import Split, select, split_items
from .starts import SIZES, start_from, start_small, unknown_share

SETUP = 'setup'  # below the work directory: all that the run was made of
REQUEST = 'request.json'
FRAMES = 8  # of a clip, where a small model begins


def finetune(arguments: argparse.Namespace) -> None:
    """Do what the command says; ``arguments`` are its options, checked."""
    if not MMLogger.check_instance_created('finetune'):
        MMLogger.get_instance('finetune', log_level='WARNING')  # the training tells of what is loaded here
    folder = arguments.folder
    name = (folder.resolve() if folder.is_dir() else folder.resolve().with_suffix('')).name
    unpacked = Path(arguments.work_dir or f'work_dirs/finetune/{name}-shards') / 'unpacked'
    found = understand(folder, arguments.form, chosen_columns(arguments), unpacked)
    task, why = (arguments.task, 'as asked') if arguments.task else task_of(found.items)
    offered = offers(found.items)
    if task not in offered:
        raise OwnDataError(
            f'--task {task}: {folder} offers {" and ".join(offered) or "nothing"}: ' + '; '.join(found.lines()[:1])
        )
    work_dir = Path(arguments.work_dir or f'work_dirs/finetune/{name}-{task}').absolute()
    items = readable(_of_modality(select(found, task), arguments.modality, found), found)
    split = split_items(items, task, arguments.held_out, arguments.seed)
    lines = [
        *found.lines(),
        f'task: {task}, {why}',
        f'split: {counted(split.train)} train, {counted(split.held_out)} held out (seed {arguments.seed})',
        *split.notes,
    ]
    _tell(lines)
    request = _request(arguments, task, split)
    setup = work_dir / SETUP
    config = setup / 'config.py'
    if goes_on(setup / REQUEST, request, work_dir) and config.is_file():
        _tell([f'goes on with {work_dir}, as the same command was given before; its config is used as it is'])
    else:
        if arguments.dry_run:
            setup = Path(tempfile.mkdtemp(prefix='omnivl-finetune-'))
        try:
            chosen = _prepare(arguments, task, split, lines, work_dir, setup)
        finally:
            if arguments.dry_run:
                shutil.rmtree(setup, ignore_errors=True)
        if not arguments.dry_run:
            write_json(setup / REQUEST, request | dict(chosen=chosen))
    if not arguments.dry_run:
        _run(config, work_dir)
        chosen = json.loads((setup / REQUEST).read_text(encoding='utf-8'))['chosen']
        report(work_dir, task, kinds_of(split.held_out), chosen)


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _of_modality(items: list[Item], wanted: str | None, found: Found) -> list[Item]:
    """Take the items of the modality that was asked for."""
    unseen = [item for item in items if MODALITIES[item.modality].kind != IMAGE.kind]
    for item in unseen:
        found.leave_out(f'{MODALITIES[item.modality].plural}: only images and videos are trained on', item.record.id)
    items = [item for item in items if MODALITIES[item.modality].kind == IMAGE.kind]
    if unseen and not items:
        kinds = ' and '.join(MODALITIES[name].plural for name in kinds_of(unseen))
        raise OwnDataError(f'there are only {kinds}, and this command trains on images and videos')
    there = kinds_of(items)
    if wanted in (None, 'both'):
        if wanted == 'both' and len(there) < 2:
            raise OwnDataError(f'--modality both: there are {" and ".join(there)} files only')
        return items
    kept = [item for item in items if item.modality == wanted]
    if not kept:
        raise OwnDataError(f'--modality {wanted}: there are {counted(items)}')
    for item in items:
        if item.modality != wanted:
            found.leave_out(f'not of --modality {wanted}', item.record.id)
    return kept


def _request(arguments: argparse.Namespace, task: str, split: Split) -> dict[str, Any]:
    """Return what decides the result: a run goes on only with the same."""
    options = ('start', 'minutes', 'steps', 'batch', 'lr', 'size', 'seed', 'held_out', 'modality')
    data = [
        [
            [item.record.visual, item.record.text, item.record.label, item.record.question, item.record.answers]
            for item in side
        ]
        for side in (split.train, split.held_out)
    ]
    return dict(
        folder=str(arguments.folder.resolve()),
        task=task,
        **{name: getattr(arguments, name) for name in options},
        data=content_sha256(data),
    )


def goes_on(file: Path, request: dict[str, Any], work_dir: Path) -> bool:
    """Say whether a work directory is of the same command; one of another is an ``OwnDataError``."""
    if not file.is_file():
        return False
    before = json.loads(file.read_text(encoding='utf-8'))
    different = [
        f'{name} is {"another" if name == "data" else repr(value)}'
        + ('' if name == 'data' else f', it was {before.get(name)!r}')
        for name, value in request.items()
        if before.get(name) != value
    ]
    if different:
        raise OwnDataError(
            f'{work_dir} holds a finetuning of another command ({"; ".join(different)}): give another --work-dir, move '
            'it away, or repeat the command that it is of'
        )
    return True


def _prepare(
    arguments: argparse.Namespace, task: str, split: Split, lines: list[str], work_dir: Path, setup: Path
) -> list[str]:
    """Write the lists, the start and the config; return what was understood and chosen, line by line."""
    setup.mkdir(parents=True, exist_ok=True)
    root = arguments.folder.resolve()
    root = root if root.is_dir() else root.parent
    _write_lists(setup, split, task)
    texts = texts_of(split.train)
    size = arguments.size or choose_size(split.train)
    if arguments.start is None:
        start = start_small(texts, setup, size, FRAMES)
    else:
        start = start_from(arguments.start, task, setup)
    notes = [*start.notes, f'size: {start.size[0]} pixels, {_why_size(arguments)}']
    if start.tokenizer is not None and task != 'classify':
        notes.append(unknown_share(start.tokenizer, texts_of([*split.train, *split.held_out])))
    classes = len({item.record.label for item in split.train}) if task == 'classify' else 0
    tested = len({item.record.visual for item in split.held_out})
    kinds = kinds_of(split.train)
    settings = Settings(task, root, work_dir, setup, kinds, start, classes, tested, seed=arguments.seed)
    notes.append(f'modality: {" and ".join(settings.modalities)}' + ', in turns' * (len(settings.modalities) > 1))
    _tell(notes)
    config = setup / 'config.py'
    write_text(config, config_text(settings))
    wishes = Wishes(arguments.minutes, arguments.batch, arguments.steps, arguments.lr)
    plan = make_plan(read_config(config), wishes, start.weights is not None)
    _tell(plan.notes)
    settings.batch, settings.accumulate, settings.iterations = plan.batch, plan.accumulate, plan.iterations
    settings.save_every, settings.lr, settings.workers = plan.save_every, plan.lr, plan.workers
    command = ' '.join(['omnivl', 'finetune', *map(shlex.quote, sys.argv[2:])])
    chosen = [*lines, *notes, *plan.notes]
    settings.header = [
        f'Finetuning ({task}) on {root}.',
        '',
        f'Written by `{command}`, to be read and changed. Train it again with',
        '`omnivl train` and another --work-dir, test with `omnivl test`.',
        '',
        *chosen,
    ]
    write_text(config, config_text(settings))
    return chosen


def _write_lists(setup: Path, split: Split, task: str) -> None:
    for name, items in (('train', split.train), ('held_out', split.held_out)):
        for item in items:
            item.record.visual = str(Path(item.record.visual).absolute())
        write_records(setup / f'{name}.jsonl', ((item.modality, item.record) for item in items))
    if task == 'classify':
        labels = sorted({str(item.record.label) for item in split.train})
        write_text(setup / 'classes.txt', ''.join(f'{label}\n' for label in labels))
    if task == 'vqa':
        answers = dict.fromkeys(answer for item in split.train for answer in item.record.answers or ())
        write_json(setup / 'answers.json', list(answers))


def texts_of(items: list[Item]) -> list[str]:
    """List all texts that a model reads or writes of some items."""
    texts = []
    for record in (item.record for item in items):
        texts += [*record.text, *([record.question] if record.question else []), *(record.answers or ())]
        texts += [record.label.replace('_', ' ')] if record.label else []
    return texts


def choose_size(items: list[Item]) -> int:
    """Choose the side of a small model's pictures in pixels: what the machine can do, but no more than they have."""
    most = SIZES[torch.cuda.is_available()]
    sides = []
    for path in dict.fromkeys(item.record.visual for item in items if item.modality == IMAGE.name):
        try:
            with Image.open(path) as picture:
                sides.append(min(picture.size))
        except OSError:
            continue  # the training tells of it
        if len(sides) == 50:
            break
    return most if not sides else max(32, min(most, int(median(sides)) // 16 * 16))


def _why_size(arguments: argparse.Namespace) -> str:
    if arguments.start is not None:
        return 'that of the start'
    return 'as asked' if arguments.size else 'what a small model on this machine can do, and the pictures have'


def _run(config: Path, work_dir: Path) -> None:
    """Test the start, train, test what became of it; what a stopped command has done is not done again."""
    length = read_config(config).train_cfg.max_iters
    if not (work_dir / 'untuned/metrics.json').is_file():
        _test(config, work_dir / 'untuned', None)
    last = next(iter(find_checkpoints(work_dir)), None)
    if last is None or number_in(last)[1] < length:
        cfg = read_config(config)
        cfg.work_dir, cfg.resume = str(work_dir), 'auto'
        runner = build_runner(_without_file(cfg), check_overlap(cfg, ('test',)))
        runner.train()
        last = next(iter(find_checkpoints(work_dir)))
    _test(config, work_dir / 'test', last)


def _test(config: Path, folder: Path, checkpoint: Path | None) -> None:
    cfg = read_config(config)
    cfg.work_dir = str(folder)
    at_random = checkpoint is None and cfg.load_from is None
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg[key] = None
    if checkpoint is not None:
        cfg.load_from = str(checkpoint)
    cfg.default_hooks = dict(story=None, pictures=None)  # the report has both figures and pictures
    runner = build_runner(_without_file(cfg), None)
    if at_random:
        runner.start_at_random()
    runner.test()


def _without_file(cfg: Config) -> Config:
    """Forget the file of a config: MMEngine would write a dump of a thousand lines under its name."""
    return Config(cfg.to_dict())
