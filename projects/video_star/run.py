"""Let a video model teach itself from labels: the cycles that a config describes.

    python projects/video_star/run.py projects/video_star/cycles/demo.py --out work_dirs/video_star
    torchrun --nproc-per-node 2 projects/video_star/run.py projects/video_star/cycles/demo.py

Run again, it goes on where it stopped. Of each cycle there is a folder ``cycle_N`` with ``provenance.jsonl``,
``instructions.json``, ``figures.json``, ``page.html`` and the weights.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import Config, DictAction
from mmengine.dist import is_distributed, is_main_process
from mmengine.registry import init_default_scope

from omnivl.commands.errors import one_line_errors
from omnivl.engine.distributed import init_process_group
from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.places import resolve_data_paths
from omnivl.storage.lock import lock_folder
from projects.video_star.cycle import CycleResult, Cycles, Settings, count_verdicts
from projects.video_star.labels import Question
from projects.video_star.page import write_page
from projects.video_star.registry import GENERATORS, LABEL_READERS
from projects.video_star.templates import Asker

WAIT = 24 * 3600  # seconds that processes wait for the slowest, whose share of answers may be the longest
KEYS = ('generator', 'questions', 'held_out', 'templates', 'verifiers', 'settings', 'out', 'custom_imports')


def read_cycle_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config of cycles, see ``KEYS``."""
    if not Path(path).is_file():
        raise OmniVLFileNotFoundError(f'there is no config of cycles {path}; look at projects/video_star/cycles')
    cfg = Config.fromfile(path, format_python_code=False)
    resolve_data_paths(cfg._cfg_dict)  # data/ is the data root, as in all configs
    cfg.merge_from_dict(dict(options or {}))
    missing = [key for key in ('generator', 'questions') if key not in cfg]
    if missing:
        raise OmniVLValueError(f'{path} has no {" and no ".join(missing)}; a config of cycles has {", ".join(KEYS)}')
    return cfg


def read_questions(cfg: Config, key: str) -> list[Question]:
    """Make the questions of ``questions`` or ``held_out``: source -> config of a label reader."""
    asker = Asker(cfg.get('templates'), cfg.get('verifiers'), cfg.get('settings', {}).get('seed', 0))
    asked = []
    for source, reader in (cfg.get(key) or {}).items():
        reader = dict(reader)
        first, count = reader.pop('first', 0), reader.pop('count', None)
        clips = LABEL_READERS.build(reader)
        end = None if count is None else first + count
        asked.append(islice(asker.questions(clips, source), first, end))
    return list(chain.from_iterable(asked))


def run(cfg: Config, out: Path) -> list[CycleResult]:
    """Run the cycles of a config, and write a page for each."""
    init_default_scope('omnivl')
    cycles = Cycles(
        generator=GENERATORS.build(cfg.generator),
        questions=read_questions(cfg, 'questions'),
        held_out=read_questions(cfg, 'held_out'),
        settings=Settings(**cfg.get('settings', {})),
        out=out,
    )
    if not cycles.questions:
        raise OmniVLValueError('questions: the sources have none; look at their files, first and count')
    results = []
    for result in cycles.run():
        results.append(result)
        if is_main_process():
            if result.number:
                write_page(cycles, results)
            print(describe(result), flush=True)
    return results


def describe(result: CycleResult) -> str:
    """Say in a line what a cycle came to."""
    kept = ', '.join(f'{count} {verdict}' for verdict, count in sorted(count_verdicts(result.figures).items()))
    held_out = result.figures['held_out'].get('all')
    accuracy = '' if held_out is None else f'held-out accuracy {held_out:.1f}%'
    name = f'cycle {result.number}' if result.number else 'the pretrained model'
    return f'{name}: {"; ".join(filter(None, [kept, accuracy]))}'


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cycles, see projects/video_star/cycles')
    parser.add_argument('--out', help='folder of what comes out; by default work_dirs/<name of the config>')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value, changes of the config')
    arguments = parser.parse_args(words)
    with one_line_errors():
        if int(os.environ.get('WORLD_SIZE', '1')) > 1 and not is_distributed():
            init_process_group('pytorch', timeout=WAIT)
        cfg = read_cycle_config(arguments.config, arguments.cfg_options)
        out = Path(arguments.out or cfg.get('out') or f'work_dirs/{Path(arguments.config).stem}')
        out.mkdir(parents=True, exist_ok=True)
        with lock_folder(out) if is_main_process() else nullcontext():
            run(cfg, out)


if __name__ == '__main__':
    main()
