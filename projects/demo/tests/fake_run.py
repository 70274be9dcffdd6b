"""A work directory as a demo run leaves it, made up: for tests of the report."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import torch

# Made-up percents by task; the report only shows them.
FIGURES = {
    'image': dict(retrieval=82.0, slots=95.5, exact=68.0, top1=97.5, directions=('t2i', 'i2t'), third='relation'),
    'video': dict(retrieval=46.5, slots=71.0, exact=31.0, top1=58.0, directions=('t2v', 'v2t'), third='action'),
}


def make_fake_run(work_dir: Path, visuals: dict[str, list[tuple[str, str]]], classes: dict[str, list[str]]) -> Path:
    """Write the files of a finished run.

    Args:
        work_dir: Where to write.
        visuals: ``'image'`` and ``'video'`` -> path and caption of each test visual.
        classes: ``'image'`` and ``'video'`` -> names of the classes.

    Returns:
        The work directory.
    """
    rng = np.random.default_rng(0)
    tree: dict = {'chance': {}, 'protocol': {}, 'seconds': {'image.retrieval': 1.5}}
    predictions = work_dir / 'test/predictions'
    predictions.mkdir(parents=True)
    for modality, rows in visuals.items():
        tree[modality], tree['chance'][modality] = _figures(modality, len(rows), len(classes[modality]))
        tables = dict(
            retrieval=_retrieval(rows, rng),
            caption=_captions(rows, rng),
            zero_shot=_zero_shot(rows, classes[modality], rng),
        )
        for task, table in tables.items():
            (predictions / f'{modality}.{task}.json').write_text(json.dumps(table))
    (work_dir / 'test/metrics.json').write_text(json.dumps(tree))
    seconds = dict(install=190.2, corpus=31.4, vocabulary=1.8, stage1=171.3, stage2=279.9, test=64.0)
    (work_dir / 'seconds.json').write_text(json.dumps(seconds))
    _stage(work_dir / 'stage1', 900, ('image',), rng)
    _stage(work_dir / 'stage2', 1200, ('image', 'video'), rng)
    return work_dir


def demo_visuals(data: Path, split: str = 'test') -> dict[str, list[tuple[str, str]]]:
    """List the captioned visuals of a demo corpus."""
    images = json.loads((data / 'annotations/dataset_demo.json').read_text())['images']
    with (data / f'annotations/webvid_{split}.csv').open() as file:
        clips = list(csv.DictReader(file))
    return {
        'image': [
            (str(data / 'images' / row['filepath'] / row['filename']), row['sentences'][0]['raw'])
            for row in images
            if row['split'] == split
        ],
        'video': [(str(data / f'videos/{row["page_dir"]}/{row["videoid"]}.mp4'), row['name']) for row in clips],
    }


def _figures(modality: str, gallery: int, num_classes: int) -> tuple[dict, dict]:
    made_up = FIGURES[modality]
    retrieval, unseen, chance = {}, {}, {}
    for direction in made_up['directions']:
        for k in (1, 5, 10):
            value = 100 - (100 - made_up['retrieval']) / k
            chance[f'{direction}_r{k}'] = chance[f'{direction}_r{k}_reranked'] = 100 * k / gallery
            retrieval |= {f'{direction}_r{k}': value, f'{direction}_r{k}_reranked': value + 2 / k}
            unseen |= {f'{direction}_r{k}': value - 20 / k, f'{direction}_r{k}_reranked': value - 15 / k}
    slots = made_up['slots']
    caption = {'exact': made_up['exact'], 'words': 93.0, 'slots': slots}
    caption |= {'slots_colour': slots + 2, 'slots_shape': slots - 3, f'slots_{made_up["third"]}': slots + 1}
    caption |= {f'{name}_beam': value + 0.5 for name, value in caption.items()}
    zero_shot = {'top1': made_up['top1'], 'top5': 99.0, 'per_class': made_up['top1'] - 0.5}
    guess = {'top1': 100 / num_classes, 'top5': min(100, 500 / num_classes)}
    figures = dict(retrieval=retrieval, retrieval_unseen=unseen, caption=caption, zero_shot=zero_shot)
    figures['caption_unseen'] = {'slots': slots - 24}
    return figures, dict(retrieval=chance, retrieval_unseen=chance, caption={'slots': 21.0}, zero_shot=guess)


def _retrieval(rows: list[tuple[str, str]], rng: np.random.Generator) -> list[dict]:
    table = []
    for index, (path, caption) in enumerate(rows):
        order = rng.permutation(len(rows))[:10]
        place = min(int(rng.exponential(0.8)), len(order) - 1)
        order = [*[other for other in order if other != index][:place], index, *order][:10]
        order = list(dict.fromkeys(int(other) for other in order))
        top = [dict(sample_id=f'id{other}', score=1 / rank) for rank, other in enumerate(order, start=1)]
        table.append(dict(sample_id=f'id{index}', visual=path, captions=[caption], top_visuals=top))
    return table


def _captions(rows: list[tuple[str, str]], rng: np.random.Generator) -> list[dict]:
    table = []
    for index, (path, caption) in enumerate(rows):
        words = caption.split()
        if rng.random() < 0.4:
            words[int(rng.integers(len(words)))] = str(rng.choice(['red', 'square', 'green', 'cross', 'below']))
        said = ' '.join(words)
        row = dict(sample_id=f'id{index}', visual=path, references=[caption], greedy=said, beam=caption, score=-0.2)
        table.append(row)
    return table


def _zero_shot(rows: list[tuple[str, str]], classes: list[str], rng: np.random.Generator) -> list[dict]:
    table = []
    for index, (path, _) in enumerate(rows):
        label = classes[index % len(classes)]
        predicted = label if rng.random() < 0.7 else str(rng.choice(classes))
        table.append(dict(sample_id=f'id{index}', visual=path, label=label, predicted=predicted, scores=[]))
    return table


def _stage(folder: Path, steps: int, modalities: tuple[str, ...], rng: np.random.Generator) -> None:
    log = folder / '20260101_000000/vis_data'
    log.mkdir(parents=True)
    with (log / 'scalars.json').open('w') as file:
        for step in range(10, steps + 1, 10):
            decay = math.exp(-2 * step / steps)
            row = dict(
                step=step, lr=1e-3 * min(step / 90, decay), temperature=0.03 + 0.04 * decay, grad_norm=1 + 5 * decay
            )
            for modality in modalities:
                for name, scale in (('univlc', 5.5), ('vlm', 0.6), ('lm', 2.5)):
                    value = scale * (0.2 + decay) * (1 + 0.08 * rng.standard_normal())
                    row[f'{modality}/loss_{name}'] = row[f'loss_{name}'] = value
            file.write(json.dumps(row) + '\n')
    shared = torch.zeros(600, 96)
    state = {
        'trunk.visual_encoder.block.weight': torch.zeros(4000, 96),
        'trunk.text_encoder.embeddings.word.weight': shared,
        'trunk.generation_decoder.embeddings.word.weight': shared,
        'trunk.alignment_decoder.cross.weight': torch.zeros(1500, 96),
        'trunk.generation_decoder.self.weight': torch.zeros(700, 96),
        'trunk.visual_proj.weight': torch.zeros(64, 96),
        'momentum_encoder.averages.0': torch.zeros(4000, 96),
        'queues.visual': torch.zeros(1024, 64),
    }
    torch.save({'state_dict': state}, folder / f'iter_{steps}.pth')
    (folder / 'last_checkpoint').write_text(str(folder / f'iter_{steps}.pth'))
