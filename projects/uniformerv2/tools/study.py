"""What local relations, global blocks and training the ViT are worth, on the demo's motions; a table comes out.

The eight motions come in pairs that are the same frames in the opposite order: without it nobody is right in more
than half of the cases. Each variant is trained and tested with every seed; what is finished is not done again.

    python -m projects.uniformerv2.tools.study
    python -m projects.uniformerv2.tools.study --smoke --out work_dirs/uniformerv2_smoke

It starts from the image stage of the quickstart (``bash tools/quickstart.sh``), which lies where
``OMNIVL_DEMO_WORK_DIR`` says, and needs the corpus of the tasks (``python -m projects.demo.make_tasks --out
data/demo_tasks``), which lies where ``OMNIVL_DEMO_TASKS`` says.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

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
TESTS = {'in order': 'classification', 'shuffled': 'classification_shuffled'}


def options_of(variant: str, seed: int, smoke: bool) -> list[str]:
    """List what a run changes of the config."""
    changes = [f'{ENCODER}{key}={value}' for key, value in VARIANTS[variant].items()]
    return [*changes, f'randomness.seed={seed}', *(SMOKE if smoke else ())]


def run(tool: str, *arguments: str) -> None:
    """Run a tool; the program ends where it fails."""
    code = subprocess.run([sys.executable, f'tools/{tool}.py', *arguments]).returncode
    if code:
        sys.exit(f'error: {tool} {" ".join(arguments)} ended with {code}; what is finished is kept')


def figures(variant: str, seed: int, out: Path, smoke: bool) -> dict[str, float]:
    """Train and test a variant, unless that is done; top-1 of both tests, in percent."""
    folder = out / f'{variant.replace(" ", "_").replace(",", "")}_{seed}'
    metrics = folder / 'test' / 'metrics.json'
    if not metrics.is_file():
        changes = options_of(variant, seed, smoke)
        run('train', CONFIG, '--work-dir', str(folder), '--cfg-options', *changes)
        run('test', CONFIG, str(folder), '--work-dir', str(metrics.parent), '--cfg-options', *changes)
    found = json.loads(metrics.read_text())
    return {name: top1_of(found, test) for name, test in TESTS.items()}


def top1_of(metrics: Mapping, test: str) -> float:
    """Find the top-1 accuracy of a test among the figures of ``metrics.json``."""
    return float(metrics['video'][test]['top1'])


def table(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Write mean and, of several seeds, standard deviation of each variant as Markdown."""
    lines = ['| | ' + ' | '.join(f'top-1, {name}' for name in TESTS) + ' |', '| --- |' + ' ---: |' * len(TESTS)]
    for variant, seeds in rows.items():
        cells = []
        for name in TESTS:
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
    rows = {
        variant: [figures(variant, seed, arguments.out, arguments.smoke) for seed in arguments.seeds]
        for variant in VARIANTS
    }
    text = table(rows)
    (arguments.out / 'table.md').write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
