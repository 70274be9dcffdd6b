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

from ..options import ATTENTION_KINDS, MODALITIES, MODEL_HELP, add_config_options

TASKS = ('caption', 'answer', 'retrieve', 'match', 'classify', 'features', 'attention')


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
    parser.add_argument('--query', action='append', default=[], help='retrieve: image, video or sound to search with')
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
        '--kind',
        choices=ATTENTION_KINDS,
        default=ATTENTION_KINDS[0],
        help='attention: what is drawn (default: %(default)s)',
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
    parser.add_argument('--modality', choices=MODALITIES, help='what all inputs are; by default by suffix')
    parser.add_argument('--batch-size', type=int, default=16, help='visuals at a time (default: 16)')
    parser.add_argument('--device', help='cpu, cuda:0 ...; by default the GPU if there is one')
    add_config_options(parser)
    parser.set_defaults(text=[], query=[], index=None)


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """Add what is searched for, and how many results there are."""
    parser.add_argument('--text', action='append', help='a text to search with; may be given several times')
    parser.add_argument('--query', action='append', help='an image, video or sound to search with; the same')
    parser.add_argument('-k', type=int, default=5, help='results for each (default: 5)')
    parser.add_argument('--rerank', type=int, help='first results that the alignment decoder orders anew')


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, for :func:`show`."""
    parser.add_argument('--out', help='JSON file for the results; by default they are printed, one per line')


def run(options: argparse.Namespace, task: str | None = None) -> None:
    """Do the task, by default that of ``--task``, and show the results."""
    from .inference import infer

    options.task = task or options.task
    infer(options)
