"""What the commands that use a model do: model and inputs read from the words, the task done, results shown."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from omnivl.apis import OmniVLInferencer
from omnivl.apis.gallery import is_index
from omnivl.apis.loading import CONFIG_SUFFIXES, read_model_config
from omnivl.apis.tasks import listed
from omnivl.engine.command_line import check_model
from omnivl.engine.identity import knows_itself
from omnivl.engine.threads import choose_threads
from omnivl.places import find_config
from omnivl.storage.files import write_json

from ..main import UsageError

# What --text is for a task that cannot do without.
TEXTS = {'answer': 'the question', 'match': 'a text to hold against the inputs', 'attention': 'whose words to look for'}


def read_words(options: argparse.Namespace) -> None:
    """Put ``model``, ``checkpoint`` and ``inputs`` into the options, from ``--model`` and the order of the words."""
    options.model, *rest = options.words if options.model is None else [options.model, *options.words]
    check_model(options.model)
    if not knows_itself(options.model):
        options.model = str(find_config(options.model))
    is_config = Path(options.model).suffix in CONFIG_SUFFIXES
    if is_config and not rest:
        raise UsageError(f'the config {options.model} alone has no weights: a checkpoint must follow it')
    options.checkpoint, options.inputs = (rest[0], rest[1:]) if is_config else (None, rest)
    if not options.inputs:
        raise UsageError('there is no input: give files, folders or URLs')


def check_task(options: argparse.Namespace) -> None:
    """Refuse a task without what it is about."""
    if options.task in TEXTS and not options.text:
        raise UsageError(f'{options.task} needs --text: {TEXTS[options.task]}')
    if options.task == 'attention' and len(options.text) > 1:
        raise UsageError('attention takes one --text')
    if options.task == 'retrieve' and bool(options.text) == bool(options.query):
        raise UsageError('it needs --text or --query (not both): what to search for')


def load_inferencer(options: argparse.Namespace) -> OmniVLInferencer:
    """Load the model that the words of the command line name."""
    is_config = options.checkpoint is not None
    model = read_model_config(options.model, options.trust_code) if is_config else options.model
    return OmniVLInferencer(model, options.checkpoint, options.device, options.batch_size)


def do_task(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Do the task.

    Args:
        options: Those of the command line, see :func:`read_words` too.

    Returns:
        One result per input; for ``retrieve`` one per query.
    """
    inferencer: Any = load_inferencer(options)
    if (threads := choose_threads(inferencer.model)) is not None:
        print(threads, file=sys.stderr)
    # Words without a separator are paths here, and texts are those of --text.
    inputs = [word if '://' in word else Path(word) for word in options.inputs]
    about = dict(modality=options.modality)
    text = options.text[0] if len(options.text) == 1 else options.text
    if options.task == 'caption':
        return inferencer.caption(inputs, options.method, **about)
    if options.task == 'answer':
        return inferencer.answer(inputs, text, options.answers, **about)
    if options.task == 'match':
        return inferencer.match(inputs, text, **about)
    if options.task == 'classify':
        templates = options.templates
        if templates is not None and len(templates) == 1 and '{}' not in templates[0]:
            templates = templates[0]
        return inferencer.classify(inputs, options.text or None, templates, options.k, **about)
    if options.task == 'features':
        return inferencer.features(inputs, **about)
    if options.task == 'attention':
        words = None if options.word is None else listed(options.word)
        rows = inferencer.attention(inputs, text, words, kind=options.kind, **about)
        return save_pictures(rows, Path(options.pictures))
    gallery: Any = inputs[0] if len(inputs) == 1 and is_index(inputs[0]) else inferencer.build_gallery(inputs, **about)
    if options.index is not None:
        gallery.save(options.index)
    queries = options.text or [word if '://' in word else Path(word) for word in options.query]
    return inferencer.retrieve(queries, gallery, options.k, options.rerank, **about)


def save_pictures(rows: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Write the pictures of all rows, and put their paths in the place of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        if 'picture' in row:
            path = folder / f'{number:04}.png'
            row['picture'].save(path)
            row['picture'] = str(path)
    return rows


def show(rows: list[dict[str, Any]], out: str | None) -> None:
    """Print the results that no file has; say what could not be used, which is an error if nothing could."""
    if out is None:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False, default=lambda value: value.tolist()))
    broken = [row for row in rows if 'error' in row]
    if len(broken) == len(rows):
        first = f'{broken[0]["input"]}: {broken[0]["error"]}'
        sys.exit(f'error: {first}' if len(rows) == 1 else f'error: none of {len(rows)} inputs could be used; {first}')
    for row in broken:
        print(f'{row["input"]}: {row["error"]}', file=sys.stderr)


def infer(options: argparse.Namespace) -> None:
    """Do the task that the options name, and show the results."""
    read_words(options)
    do_and_show(options)


def do_and_show(options: argparse.Namespace) -> None:
    """Do the task of options whose words have been read, and show the results."""
    check_task(options)
    with contextlib.redirect_stdout(sys.stderr):  # the log; standard output is for the results
        rows = do_task(options)
        if options.out is not None:
            write_json(options.out, rows)
    show(rows, options.out)
