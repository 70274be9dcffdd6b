"""Write a plan for people: tables of words and rounded figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omnivl.structures import MODALITIES

from .gpus import GIB

MEMORY_LINES = {
    'weights': 'weights',
    'gradients': 'gradients',
    'optimizer': 'optimizer',
    'momentum_encoder': 'momentum encoder',
    'queues': 'queues and other buffers',
    'batch': 'batch',
    'activations': 'activations',
    'peak': 'most at a time in a step',
}


def show(plan: Mapping[str, Any]) -> str:
    """Write a plan, of one card or a comparison of several."""
    lines = [f'{plan["config"]} on {plan["gpus"]} {" / ".join(card["title"] for card in plan["cards"].values())}']
    lines += _data(plan)
    if plan['kind'] == 'test':
        return '\n'.join([*lines, *_test(plan)])
    lines += _operations(plan) + _memory(plan)
    lines += _one_card(plan) if len(plan['plans']) == 1 else _comparison(plan)
    return '\n'.join([*lines, *_checkpoints(plan)])


def _data(plan: Mapping[str, Any]) -> list[str]:
    rows = [['task', 'samples of', 'number', '', 'batch x GPUs', 'steps']]
    for name, task in plan['tasks'].items():
        sizes = task['sizes']
        what = f'{name}: {sizes["size"]} px' + (
            f', {sizes["frames"]} frames' if MODALITIES[task['modality']].has_time else ''
        )
        batch = f'{task["batch_size"]} x {plan["gpus"]}'
        for source in task['sources']:
            rows.append([what, source['name'], f'{source["items"]:,}', source['origin'], batch, f'{task["steps"]:,}'])
            what = batch = ''
            task = task | dict(steps=0)
        rows = [[cell if cell != '0' else '' for cell in row] for row in rows]
    return ['', *table(rows, left=(0, 1, 3))]


def _operations(plan: Mapping[str, Any]) -> list[str]:
    tasks = plan['tasks']
    parts = list(dict.fromkeys(part for task in tasks.values() for part in task['flops']))
    rows = [['operations of a step, GFLOP per sample', *tasks]]
    for part in parts:
        rows.append([part, *(_giga(task['flops'].get(part)) for task in tasks.values())])
    rows.append(['all', *(_giga(sum(task['flops'].values())) for task in tasks.values())])
    rows.append(['of a batch, TFLOP', *(f'{task["step_flops"] / 1e12:,.2f}' for task in tasks.values())])
    return ['', *table(rows)]


def _giga(flops: int | None) -> str:
    return '' if flops is None else f'{flops / 1e9:,.1f}'


def _memory(plan: Mapping[str, Any]) -> list[str]:
    tasks = plan['tasks']
    rows = [['memory of a step on one card, GiB', *tasks]]
    for key, title in MEMORY_LINES.items():
        rows.append([title, *(_gib(task['memory'][key]) for task in tasks.values())])
    for key in ('activations', 'peak'):
        for again, option in (('selective', "='selective'"), ('recomputed', '')):
            if all(task[f'memory_{again}'] for task in tasks.values()):
                cells = [_gib(task[f'memory_{again}'][key]) for task in tasks.values()]
                rows.append([f'{MEMORY_LINES[key]}, with activation_checkpointing{option}', *cells])
    return ['', *table(rows)]


def _gib(size: float) -> str:
    return f'{size / GIB:,.2f}'


def _one_card(plan: Mapping[str, Any]) -> Iterator[str] | list[str]:
    ((name, planned),) = plan['plans'].items()
    card = plan['cards'][name]
    lines = ['']
    for run in planned['runs']:
        lines.append(_time_line(run))
    run = planned['runs'][0]
    rows = [['at ' + _share(run), *run['tasks']]]
    for title, cells in {
        'seconds of a step': [f'{one["seconds"]:.3g}' for one in run['tasks'].values()],
        'samples per second and card': [f'{one["samples_per_second_per_gpu"]:,.1f}' for one in run['tasks'].values()],
        'loaders of a machine: samples per second': [
            f'{one["loader_samples_per_second_per_node"]:,.0f}' for one in run['tasks'].values()
        ],
        '  pixels, MB/s': [_mega(one['loader_pixel_bytes_per_second_per_node']) for one in run['tasks'].values()],
        '  read from disk, MB/s': [
            _mega(one['loader_file_bytes_per_second_per_node']) for one in run['tasks'].values()
        ],
        '  files of an epoch, GB': [_giga_bytes(one['epoch_file_bytes']) for one in run['tasks'].values()],
        'network, sent by a card in a step: gradients, MB': [
            _mega(one['network_bytes']['gradients']) for one in run['tasks'].values()
        ],
        '  features of the contrast, MB': [_mega(one['network_bytes']['features']) for one in run['tasks'].values()],
        '  with FSDP2 in place of the gradients, MB': [
            _mega(one['network_bytes']['fsdp2']) for one in run['tasks'].values()
        ],
    }.items():
        rows.append([title, *cells])
    return [*lines, '', *table(rows), '', *_fitting(planned, card, plan)]


def _time_line(run: Mapping[str, Any]) -> str:
    return f'{run["days"]:.3g} days ({run["gpu_days"]:,.3g} GPU days) at {_share(run)}; {run["flops"]:.3g} FLOP in all'


def _share(run: Mapping[str, Any]) -> str:
    if run['mfu'] is None:
        return f'the measured times, {run["utilisation"]:.1%} of the peak'
    return f'{run["mfu"]:.0%} of the peak'


def _mega(size: float | None) -> str:
    return 'not known' if size is None else f'{size / 1e6:,.1f}'


def _giga_bytes(size: float | None) -> str:
    return 'not known' if size is None else f'{size / 1e9:,.1f}'


def _fitting(planned: Mapping[str, Any], card: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    lines = [f'{card["title"]}: {_gib(card["memory"])} GiB, of which a step may take {_gib(card["usable"])} (--margin)']
    for name, memory in planned['memory'].items():
        verdict = 'fits' if memory['fits'] else 'does NOT fit'
        buckets = (
            ', the buckets of DDP included' if memory['step_bytes'] > plan['tasks'][name]['memory']['peak'] else ''
        )
        lines.append(f'  {name}: {_gib(memory["step_bytes"])} GiB{buckets}: {verdict}')
        for way in memory['ways']:
            lines.append(f'    {_gib(way["bytes"])} GiB, {"fits" if way["fits"] else "too much"}: {way["change"]}')
        if memory['fits'] and plan['gpus'] > 1 and not plan['training']['fully_sharded']:
            lines.append(f'    in shards (FSDP2, model_wrapper_cfg.type=FullyShard): {_gib(memory["fsdp2_bytes"])} GiB')
    if planned['precision_missing']:
        lines.append(f'  {card["title"]} has no bf16: set optim_wrapper.precision=fp16')
    return [*lines, f'  figures of the card: {card["source"]}']


def _comparison(plan: Mapping[str, Any]) -> list[str]:
    runs = next(iter(plan['plans'].values()))['runs']
    heads = [f'days at {_share(run) if run["mfu"] else "the measured times"}' for run in runs]
    names = list(plan['tasks'])
    rows = [['card', 'usable GiB', *(f'{name} GiB' for name in names), 'fits', 'with checkpointing', *heads]]
    for name, planned in plan['plans'].items():
        card, memory = plan['cards'][name], planned['memory']
        needs = [memory[one]['step_bytes_recomputed'] for one in names]
        recomputed = '-' if None in needs else _yes(max(needs) <= card['usable'])
        days = [f'{run["days"]:,.3g}' for run in planned['runs']]
        sizes = [_gib(memory[one]['step_bytes']) for one in names]
        fits = _yes(all(one['fits'] for one in memory.values()))
        rows.append([card['title'], _gib(card['usable']), *sizes, fits, recomputed, *days])
    notes = [
        f'{plan["cards"][name]["title"]} has no bf16: set optim_wrapper.precision=fp16'
        for name, planned in plan['plans'].items()
        if planned['precision_missing']
    ]
    return ['', *table(rows), *notes]


def _yes(value: bool) -> str:
    return 'yes' if value else 'no'


def _checkpoints(plan: Mapping[str, Any]) -> list[str]:
    found = plan['checkpoints']
    size, disk = found['bytes'] / 1e9, found['disk_bytes'] / 1e9
    return ['', f'a checkpoint has {size:,.2f} GB; {found["kept"]} are kept, {disk:,.1f} GB']


def _test(plan: Mapping[str, Any]) -> list[str]:
    tasks = plan['tasks'].values()
    rows = [['one pass, features only', *plan['tasks']]]
    rows.append(['GFLOP per sample', *(_giga(sum(task['flops'].values())) for task in tasks)])
    rows.append(['most memory at a time, GiB', *(_gib(task['memory']['peak']) for task in tasks)])
    lines = ['', *table(rows), '']
    for name, planned in plan['plans'].items():
        times = ', '.join(
            f'{seconds:.3g} s at {share:.0%} of the peak' for share, seconds in planned['seconds'].items()
        )
        missing = [task for task, fits in planned['fits'].items() if not fits]
        verdict = f'does NOT fit: {", ".join(missing)}; take a smaller batch_size' if missing else 'fits'
        lines.append(f'{plan["cards"][name]["title"]}: {times}; {verdict}')
    return [
        *lines,
        'What an evaluation does with the features (beams, matching of pairs, a regression) is not counted.',
    ]


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Set rows into columns below the first, those of ``left`` to the left, and underline the first row."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        '  '.join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    return [lines[0], '-' * max(map(len, lines)), *lines[1:]]
