"""What the cycle is worth beside the labels alone, on the demo world; a table comes out.

    python -m projects.video_star.study --out work_dirs/star_study
    python -m projects.video_star.study --smoke --out work_dirs/star_smoke

A model that knows whole answers to questions about a few clips is given clips of which two kinds of labels are known,
action and color. Arms: the model as it is; tuned on the bare labels, alone and with what it was instructed by before
mixed in; on these instructions alone; the cycle without a verifier, without rationalisation, with nothing mixed in,
once and long, and as it is. All are tuned for equally many steps in all. Figures are held-out accuracy, in percent, of
the kinds of questions that have labels ('seen') and of two others ('new'), judged by the same verifiers for all arms.

What is finished is not done again. It needs the corpus and the vocabulary of the quickstart, and its image stage
(``bash tools/quickstart.sh``), which lie where ``OMNIVL_DEMO_DATA`` and ``OMNIVL_DEMO_WORK_DIR`` say.
"""

import argparse
import os
import shutil
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnivl.commands.study.figures import spread
from omnivl.engine import read_config
from omnivl.engine.command_line import build_runner
from omnivl.storage.checkpoint import find_checkpoints
from omnivl.storage.files import write_json, write_text

from .cycle import count_verdicts, draw_seed
from .demo_questions import LABELLED, write_questions
from .generators.omnivl_answers import NO_VALIDATION, set_steps
from .records import DIRECT, RATIONALISED, REJECTED
from .run import read_cycle_config, run

ROOT = Path(__file__).parents[2]
CYCLES, ANSWERS = (ROOT / 'projects/video_star' / name for name in ('cycles/demo.py', 'configs/demo_answers.py'))
SEED_MODEL = 'the first model'
# Arm -> settings; of one that has fewer cycles each is longer.
ARMS: dict[str, dict[str, Any]] = {
    'labels as answers': dict(cycles=1, keep='labels', mix=None),
    'labels as answers, and instructions': dict(cycles=1, keep='labels'),
    'instructions alone': dict(cycles=1, keep='none'),
    'no verifier': dict(cycles=3, keep='all'),
    'no rationalisation': dict(cycles=3, rationalise=None),
    'nothing mixed in': dict(cycles=3, mix=None),
    'one long cycle': dict(cycles=1),
    'the cycle': dict(cycles=3),
}
KINDS = ('action', 'color', 'shape', 'near')
COLUMNS = ('seen', 'new', 'all', *KINDS)
TUNING_STEPS = 600  # of an arm in all
SEED_STEPS = 600
# A model of one step says nothing that a verifier keeps.
SMOKE = dict(
    arms=('labels as answers', 'no verifier'), seed_clips=4, labelled=4, held_out=2, seed_steps=1, tuning_steps=3
)


def seed_model(out: Path, seed: int, steps: int, changes: Mapping[str, Any]) -> Path:
    """Train the first model of a seed, unless that is done; returns its folder."""
    folder = out / f'seed_{seed}/model'
    done = folder / 'done'
    if not done.is_file():
        cfg = read_config(ANSWERS, options={**changes, **NO_VALIDATION})
        set_steps(cfg, steps)
        cfg.randomness = dict(seed=seed)
        cfg.work_dir = str(folder)
        cfg.resume = 'auto' if find_checkpoints(folder) else False
        build_runner(cfg, None).train()
        write_text(done, 'done\n')
    return folder


def run_arm(
    arm: str, seed: int, out: Path, weights: Path, tuning_steps: int, changes: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Run an arm, unless that is done; returns the figures of each cycle, the first model before them."""
    folder = out / f'seed_{seed}' / arm.replace(',', '').replace(' ', '_')
    cfg = read_cycle_config(str(CYCLES))
    cfg.settings.update(ARMS[arm], seed=draw_seed(seed, 'draws'))
    measured = next((out / f'seed_{seed}').glob('*/cycle_0'), None)
    if measured is not None and not (folder / 'cycle_0').is_dir():  # the first model is that of all arms
        shutil.copytree(measured, folder / 'cycle_0')
    cfg.generator.steps = tuning_steps // cfg.settings.cycles
    cfg.generator.weights = str(weights)
    cfg.generator.config = str(ANSWERS)
    cfg.generator.changes = dict(changes)
    return [dict(result.figures) for result in run(cfg, folder)]


def columns_of(held_out: Mapping[str, float]) -> dict[str, float]:
    """Return the columns of the table."""
    seen = statistics.mean(held_out[kind] for kind in KINDS if kind in LABELLED)
    new = statistics.mean(held_out[kind] for kind in KINDS if kind not in LABELLED)
    return dict(seen=seen, new=new, all=held_out['all'], **{kind: held_out[kind] for kind in KINDS})


def table(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Write mean and, of several seeds, standard error of each arm as Markdown."""
    lines = [f'| | {" | ".join(COLUMNS)} |', '| --- |' + ' ---: |' * len(COLUMNS)]
    for arm, seeds in rows.items():
        cells = []
        for column in COLUMNS:
            found = spread([seed[column] for seed in seeds])
            cells.append(f'{found.mean:.1f}' + ('' if found.error is None else f' ± {found.error:.1f}'))
        lines.append(f'| {arm} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def yield_table(runs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> str:
    """Write the share of each verdict by arm and cycle, over all seeds, as Markdown."""
    lines = ['| | cycle | direct | rationalised | rejected |', '| --- | ---: | ---: | ---: | ---: |']
    for arm, seeds in runs.items():
        for number in range(1, min(map(len, seeds))):
            counts = sum((count_verdicts(seed[number]) for seed in seeds), Counter())
            shares = (f'{100 * counts[name] / counts.total():.1f}%' for name in (DIRECT, RATIONALISED, REJECTED))
            lines.append(f'| {arm} | {number} | {" | ".join(shares)} |')
    return '\n'.join(lines)


def study(
    out: Path,
    seeds: Sequence[int],
    arms: Sequence[str],
    seed_clips: int = 150,
    labelled: int = 400,
    held_out: int = 100,
    seed_steps: int = SEED_STEPS,
    tuning_steps: int = TUNING_STEPS,
    changes: Mapping[str, Any] | None = None,
) -> str:
    """Run all arms with all seeds, and write ``table.md`` and ``figures.json``.

    Args:
        out: Folder of all runs.
        seeds: Of weights, data and draws.
        arms: Which of ``ARMS``.
        seed_clips: Clips that the first model learns of.
        labelled: Clips with labels only.
        held_out: Clips of the test split.
        seed_steps: Of the first model.
        tuning_steps: Of an arm, over all cycles.
        changes: What is changed in the config of the model.

    Returns:
        The tables.
    """
    changes = dict(changes or {})
    data = Path(os.environ.get('OMNIVL_DEMO_DATA', 'data/demo'))
    os.environ['OMNIVL_STAR_QUESTIONS'] = str((out / 'questions').absolute())  # the configs look there
    if not (out / 'questions/instructions.json').is_file():  # which is written last
        write_questions(data, out / 'questions', seed_clips, labelled, held_out)
    runs: dict[str, list[list[dict[str, Any]]]] = {arm: [] for arm in arms}
    for seed in seeds:  # seed by seed, so that a study that is stopped has something of each arm
        weights = seed_model(out, seed, seed_steps, changes)
        for arm in arms:
            runs[arm].append(run_arm(arm, seed, out, weights, tuning_steps, changes))
    rows = {SEED_MODEL: [columns_of(first['held_out']) for first, *_ in next(iter(runs.values()))]}
    rows |= {arm: [columns_of(cycles[-1]['held_out']) for cycles in found] for arm, found in runs.items()}
    text = f'{table(rows)}\n\n{yield_table(runs)}\n'
    write_json(out / 'figures.json', dict(seeds=list(seeds), runs=runs))
    write_text(out / 'table.md', text)
    return text


def main() -> None:
    """Read the command line and run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/star_study'), help='folder of the runs')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--arms', nargs='+', default=list(ARMS), choices=list(ARMS))
    parser.add_argument('--smoke', action='store_true', help='a few steps: whether it runs, no figures to report')
    options = parser.parse_args()
    print(study(options.out, options.seeds, **(SMOKE if options.smoke else dict(arms=options.arms))))


if __name__ == '__main__':
    main()
