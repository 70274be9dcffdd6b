"""What local relations, global blocks and training the ViT are worth, on the demo's motions; a table comes out.

The eight motions come in pairs that are the same frames in the opposite order: without it nobody is right in more
than half of the cases, and of the answers that name the pair half name the wrong one. Each variant is trained and
tested with every seed; what is finished is not done again.

    python -m projects.uniformerv2.tools.study
    python -m projects.uniformerv2.tools.study --smoke --out work_dirs/uniformerv2_smoke

It starts from the image stage of the quickstart (``bash tools/quickstart.sh``), which lies where
``OMNIVL_DEMO_WORK_DIR`` says, and needs the corpus of the tasks (``python -m projects.demo.make_tasks --out
data/demo_tasks``), which lies where ``OMNIVL_DEMO_TASKS`` says.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from omnivl.commands.main import run_command
from projects.demo.report.task_files import direction_of

CONFIG = 'projects/uniformerv2/configs/demo_action.py'
ENCODER = 'model.trunk.visual_encoder.'
# Variant -> what the config is changed by.
VARIANTS = {
    'frame mean of the ViT': {'num_local': '0', 'global_layers': '()'},
    'local relations alone': {'global_layers': '()'},
    'global blocks alone': {'num_local': '0'},
    'global blocks alone, ViT frozen': {'num_local': '0', 'frozen': 'True'},
    'both': {},
}
SMOKE = ('train_cfg.max_iters=2', 'default_hooks.logger.interval=1', 'param_scheduler=[]')
NO_VALIDATION = ('val_cfg=None', 'val_dataloader=None', 'val_evaluator=None')
TEST = 'video.classification'
# Figures, in percent, as columns of the table.
TOP1, PAIRS, SHUFFLED = 'top-1', 'told from its reverse', 'top-1, shuffled'


def options_of(variant: str, seed: int, smoke: bool) -> list[str]:
    """List what a run changes of the config."""
    changes = [f'{ENCODER}{key}={value}' for key, value in VARIANTS[variant].items()]
    return [*changes, f'randomness.seed={seed}', *(SMOKE if smoke else ())]


def figures(variant: str, seed: int, out: Path, smoke: bool) -> dict[str, float]:
    """Train and test a variant, unless that is done; figures by the columns of the table, in percent."""
    folder = out / f'{variant.replace(" ", "_").replace(",", "")}_{seed}'
    metrics = folder / 'test' / 'metrics.json'
    if not metrics.is_file():
        changes = options_of(variant, seed, smoke)
        # In this process: to import torch and all else thirty times would take as long as some of the trainings.
        run_command('train', [CONFIG, '--work-dir', str(folder), '--cfg-options', *changes, *NO_VALIDATION])
        run_command('test', [CONFIG, str(folder), '--work-dir', str(metrics.parent), '--cfg-options', *changes])
    rows = json.loads((metrics.parent / 'predictions' / f'{TEST}.json').read_text())
    return figures_of(json.loads(metrics.read_text()), rows)


def figures_of(metrics: Mapping, predictions: list[dict]) -> dict[str, float]:
    """Gather the figures of a test from its ``metrics.json`` and its predictions; NaN where none names the pair."""
    kind, name = TEST.split('.')
    direction = direction_of(predictions)
    return {
        TOP1: float(metrics[kind][name]['top1']),
        PAIRS: float('nan') if direction is None else direction,
        SHUFFLED: float(metrics[kind][f'{name}_shuffled']['top1']),
    }


def table(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Write mean and, of several seeds, standard deviation of each variant as Markdown."""
    columns = (TOP1, PAIRS, SHUFFLED)
    lines = [f'| | {" | ".join(columns)} |', '| --- |' + ' ---: |' * len(columns)]
    for variant, seeds in rows.items():
        cells = []
        for name in columns:
            values = [seed[name] for seed in seeds]
            spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
            cells.append(f'{statistics.mean(values):.1f}{spread}')
        lines.append(f'| {variant} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Do all runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/uniformerv2_study'), help='folder of the runs')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--smoke', action='store_true', help='two steps each: whether it runs, no figures to report')
    arguments = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for seed in arguments.seeds:
        for variant, found in rows.items():
            found.append(figures(variant, seed, arguments.out, arguments.smoke))
    text = table(rows)
    (arguments.out / 'figures.json').write_text(json.dumps(rows, indent=1) + '\n')  # of each seed
    (arguments.out / 'table.md').write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
