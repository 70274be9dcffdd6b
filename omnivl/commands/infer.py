"""Captions, answers, retrieval, matching, classes, features and attention of images and videos.

MODEL is a work directory, a checkpoint, a folder that was exported, or one on the hub (hf://owner/name); or a config
with a CHECKPOINT (or work directory) after it. INPUTS are files, folders and URLs, images and videos mixed; what cannot
be read is reported and the rest goes on. Each task is a command too, whose help shows its options only: omnivl caption,
omnivl answer and so on.

Examples:
    python tools/infer.py work_dirs/pretrain_joint --task caption photos/
    python tools/infer.py --model hf://Salesforce/blip-image-captioning-base --task caption photos/
    python tools/infer.py configs/omnivl/pretrain_joint.py work_dirs/pretrain_joint --task caption photos/
    python tools/infer.py exported --task answer photo.jpg --text "how many dogs are there?"
    python tools/infer.py exported --task match photo.jpg clip.mp4 --text "a dog runs" --text "a cat sleeps"
    python tools/infer.py exported --task classify photos/ --text dog --text cat --templates "a photo of a {}"
    python tools/infer.py exported_classifier --task classify photos/ -k 3
    python tools/infer.py exported --task retrieve photos/ --text "a dog on the beach" -k 3 --rerank 16
    python tools/infer.py exported --task retrieve photos/ --query sketch.png --index photos.index
    python tools/infer.py exported --task retrieve photos.index --text "a dog on the beach"
    python tools/infer.py exported --task features clip.mp4 --out features.json
    python tools/infer.py exported --task attention photo.jpg clip.mp4 --text "a dog runs" --pictures looking
"""

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
from omnivl.engine.command_line import MODEL_HELP, add_config_options, one_line_errors
from omnivl.engine.identity import knows_itself
from omnivl.engine.threads import choose_threads
from omnivl.places import find_config
from omnivl.storage.files import write_json
from omnivl.structures import MODALITIES
from omnivl.visualization.attention import KINDS

from .main import UsageError

TASKS = ('caption', 'answer', 'retrieve', 'match', 'classify', 'features', 'attention')
# What --text is for a task that cannot do without.
TEXTS = {'answer': 'the question', 'match': 'a text to hold against the inputs', 'attention': 'whose words to look for'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of all tasks."""
    add_model_options(parser, 'INPUTS --task TASK')
    parser.add_argument('--task', choices=TASKS, required=True, help='what to do with the inputs')
    parser.add_argument(
        '--text',
        action='append',
        default=[],
        help='a question (answer), text (match, retrieve, attention) or class (classify, where a head has its own); '
        'may be given several times (not for attention); classes also as circle,square',
    )
    parser.add_argument('--query', action='append', default=[], help='retrieve: an image or video to search with')
    parser.add_argument('-k', type=int, default=5, help='retrieve, classify: number of results (default: 5)')
    parser.add_argument('--rerank', type=int, help='retrieve: first results that the alignment decoder orders anew')
    parser.add_argument('--index', help='retrieve: folder to save the features of the inputs in, to be searched again')
    parser.add_argument('--templates', action='append', help='classify: a sentence with {}, or the name of a set')
    parser.add_argument(
        '--answers', action='append', help='answer: an answer to choose from; may be given several times, or as yes,no'
    )
    parser.add_argument('--method', choices=('greedy', 'beam', 'nucleus'), help='caption: how words are chosen')
    parser.add_argument('--word', action='append', help='attention: a word to draw; by default all words of the text')
    parser.add_argument(
        '--kind', choices=KINDS, default=KINDS[0], help='attention: what is drawn (default: %(default)s)'
    )
    parser.add_argument('--pictures', default='attention', help='attention: folder to write to (default: %(default)s)')
    add_output_option(parser)


def add_model_options(parser: argparse.ArgumentParser, inputs: str = 'INPUTS') -> None:
    """Add what all tasks take: model, checkpoint and inputs, and how the inputs go through the model."""
    parser.usage = f'%(prog)s MODEL {inputs} [options]\n       %(prog)s CONFIG CHECKPOINT {inputs} [options]'
    parser.add_argument(
        'words',
        nargs='+',
        metavar=f'MODEL {inputs.partition(" ")[0]}',
        help='the model, unless --model has it, or a config with a checkpoint or work directory after it; then files, '
        'folders, URLs',
    )
    parser.add_argument('--model', help=MODEL_HELP)
    parser.add_argument('--modality', choices=tuple(MODALITIES), help='what all inputs are; by default by suffix')
    parser.add_argument('--batch-size', type=int, default=16, help='visuals at a time (default: 16)')
    parser.add_argument('--device', help='cpu, cuda:0 ...; by default the GPU if there is one')
    add_config_options(parser)
    parser.set_defaults(text=[], query=[], index=None)


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """Add what is searched for, and how many results there are."""
    parser.add_argument('--text', action='append', help='a text to search with; may be given several times')
    parser.add_argument('--query', action='append', help='an image or video to search with; the same')
    parser.add_argument('-k', type=int, default=5, help='results for each (default: 5)')
    parser.add_argument('--rerank', type=int, help='first results that the alignment decoder orders anew')


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, for :func:`show`."""
    parser.add_argument('--out', help='JSON file for the results; by default they are printed, one per line')


def read_words(options: argparse.Namespace) -> None:
    """Put ``model``, ``checkpoint`` and ``inputs`` into the options, from ``--model`` and the order of the words."""
    options.model, *rest = options.words if options.model is None else [options.model, *options.words]
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


def run(options: argparse.Namespace, task: str | None = None) -> None:
    """Do the task, by default that of ``--task``, and show the results."""
    options.task = task or options.task
    read_words(options)
    run_task(options)


def run_task(options: argparse.Namespace) -> None:
    """Do the task of options whose words have been read, and show the results."""
    check_task(options)
    with one_line_errors(), contextlib.redirect_stdout(sys.stderr):  # the log; standard output is for the results
        rows = do_task(options)
        if options.out is not None:
            write_json(options.out, rows)
    show(rows, options.out)


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
