"""What both losses of a CoCa are worth beside each alone, and a cascade of poolers beside a single one; two tables.

All on the pictures of the demo, at equal steps and from equal seeds; what is finished is not done again. The second
table is the cost of a step beside OmniVL's (``cost.py``).

    python -m projects.coca.tools.study
    python -m projects.coca.tools.study --smoke --out work_dirs/coca_smoke

It needs the corpus and the vocabulary of the quickstart (``bash tools/quickstart.sh``, or ``python -m
projects.demo.make_corpus --out data/demo`` and ``python -m projects.demo.make_vocabulary --data data/demo --out
data/demo/vocab.txt``), which lie where ``OMNIVL_DEMO_DATA`` says. The tables are also in ``table.md``, all figures of
all runs in ``figures.json``.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omnivl.engine import read_config
from omnivl.engine.command_line import build_runner

from .cost import cost_table, measure

CONFIGS = Path('projects/coca/configs')


class Variant(NamedTuple):
    """A model to train.

    Attributes:
        config: Name of its config.
        changes: What of it is changed.
    """

    config: str
    changes: Mapping[str, Any] = {}


# One query for the vector and 16 for the decoder; the layer norm stands behind the pooler and not before it.
SINGLE = {
    'model.trunk.pooler.kind': 'single',
    'model.trunk.pooler.num_queries': 17,
    'model.trunk.visual_encoder.last_norm': False,
}
VARIANTS = {
    'both losses': Variant('demo_pretrain'),
    'contrast alone': Variant('demo_contrast'),
    'captions alone': Variant('demo_captions'),
    'both losses, single pooler': Variant('demo_pretrain', SINGLE),
}
SMOKE = {'train_cfg.max_iters': 2, 'default_hooks.logger.interval': 1, 'param_scheduler': []}
# Column -> figure. What a model cannot do, as writing without the caption loss, it has no figure of.
FIGURES = {
    'text to image, R@1': 'image.retrieval.t2i_r1',
    'image to text, R@1': 'image.retrieval.i2t_r1',
    'classes, top-1': 'image.zero_shot.top1',
    'attributes named right': 'image.caption.slots',
    'of these, colours': 'image.caption.slots_colour',
    'shapes': 'image.caption.slots_shape',
    'relations': 'image.caption.slots_relation',
}
CHANCE = 'chance'

Rows = Mapping[str, Sequence[Mapping[str, float]]]


def run(variant: str, seed: int, out: Path, smoke: bool) -> dict[str, dict[str, float]]:
    """Train and test a variant, unless that is done.

    Args:
        variant: Its name.
        seed: Of weights and data.
        out: Folder of all runs.
        smoke: Whether to make two steps only.

    Returns:
        ``'figures'`` and ``'chance'``: figure -> value, in percent.
    """
    folder = out / f'{variant.replace(" ", "_").replace(",", "")}_{seed}'
    finished = folder / 'figures.json'
    if not finished.is_file():
        config, changes = VARIANTS[variant]
        changes = {**changes, 'randomness.seed': seed, **(SMOKE if smoke else {})}
        cfg = read_config(CONFIGS / f'{config}.py', options=changes)
        cfg.work_dir = str(folder)
        runner = build_runner(cfg, None)
        runner.train()
        figures = runner.test()
        finished.write_text(json.dumps(dict(figures=figures, chance=runner.test_loop.chance), indent=1))
    return json.loads(finished.read_text())


def table(rows: Rows) -> str:
    """Write mean and, of several seeds, standard deviation of each variant as Markdown; a dash is no figure."""
    lines = ['| | ' + ' | '.join(FIGURES) + ' |', '| --- |' + ' ---: |' * len(FIGURES)]
    for variant, seeds in rows.items():
        cells = []
        for figure in FIGURES.values():
            values = [seed[figure] for seed in seeds if figure in seed]
            spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 and variant != CHANCE else ''
            cells.append(f'{statistics.mean(values):.1f}{spread}' if values else '-')
        lines.append(f'| {variant} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Do all runs, measure the cost, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/coca_study'), help='folder of the runs')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--smoke', action='store_true', help='two steps each: whether it runs, no figures to report')
    arguments = parser.parse_args()
    # Seed by seed, so that a study that is stopped has something of each variant.
    runs: dict[str, list[dict[str, dict[str, float]]]] = {variant: [] for variant in VARIANTS}
    for seed in arguments.seeds:
        for variant, found in runs.items():
            found.append(run(variant, seed, arguments.out, arguments.smoke))
    rows = {variant: [one['figures'] for one in found] for variant, found in runs.items()}
    rows[CHANCE] = [found[0]['chance'] for found in runs.values()]
    costs = measure(repeats=1 if arguments.smoke else 20)
    text = f'{table(rows)}\n\n{cost_table(costs)}'
    (arguments.out / 'table.md').write_text(text + '\n')
    kept = dict(seeds=arguments.seeds, runs=runs, costs={name: cost._asdict() for name, cost in costs.items()})
    (arguments.out / 'figures.json').write_text(json.dumps(kept, indent=1))
    print(text)


if __name__ == '__main__':
    main()
