"""Make the demo corpus: a small world of coloured shapes as JPEG and MP4 files with annotations in published formats.

Examples:
    python tools/make_demo_corpus.py --out data/demo
    python tools/make_demo_corpus.py --out data/demo_smoke --smoke
"""

import argparse
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

from omnivl.datasets.demo.manifest import SMOKE_PARAMETERS, CorpusParameters
from omnivl.datasets.demo.progress import Progress
from omnivl.datasets.demo.write import write_corpus


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('data/demo'), help='folder of the corpus (%(default)s)')
    parser.add_argument('--smoke', action='store_true', help='a corpus of about 150 files, for tests of the machinery')
    parser.add_argument('--processes', type=int, default=min(2, os.cpu_count() or 1), help='(%(default)s)')
    helps = {
        'seed': 'of every draw',
        'size': 'height and width in pixels',
        'num_images': 'training pictures, three quarters with a caption, the others with a label',
        'num_videos': 'training clips, seven tenths with a caption, the others with a label',
        'num_eval': 'scenes of each of val, test and test_unseen',
        'num_frames': 'frames of a clip',
        'fps': 'frames per second of a clip',
    }
    for field in fields(CorpusParameters):
        note = f'{helps[field.name]} ({field.default})'
        parser.add_argument(f'--{field.name.replace("_", "-")}', type=int, default=None, help=note)
    return parser.parse_args()


def main() -> None:
    """Make the corpus, or say that it is there."""
    args = parse_args()
    given = {field.name: getattr(args, field.name) for field in fields(CorpusParameters)}
    given = {name: value for name, value in given.items() if value is not None}
    start = time.monotonic()
    try:
        parameters = replace(SMOKE_PARAMETERS if args.smoke else CorpusParameters(), **given)
        written = write_corpus(args.out, parameters, processes=args.processes, report=Progress())
    except (ValueError, FileExistsError, RuntimeError, ImportError) as error:
        sys.exit(f'make_demo_corpus: {error}')
    seconds = time.monotonic() - start
    print(f'{args.out}: written in {seconds:.0f} s' if written else f'{args.out}: there already, whole and unchanged')


if __name__ == '__main__':
    main()
