"""One process of several that evaluate the tiny model together: rank and world size are in the environment."""

import json
import os
from dataclasses import asdict

import torch
import torch.distributed as dist
from evaluation_fakes import Loader, sample

from omnivl.evaluation import (
    CaptionEvaluation,
    LinearProbeEvaluation,
    MultipleChoiceEvaluation,
    RetrievalEvaluation,
    ZeroShotEvaluation,
)
from omnivl.registry import MODELS

CLASSES = [f'w{number}' for number in range(6)]


def make_data(rank, world_size, padded, first=0):
    """Thirteen visuals, numbered from ``first``; with ``padded``, the last rank gets the first sample as well."""
    generator = torch.Generator().manual_seed(first)
    frames = torch.randint(0, 256, (13, 1, 3, 32, 32), generator=generator, dtype=torch.uint8)
    captions = [[f'w{number} w{number + 5}', f'w{number % 4} w2 w9'] for number in range(13)]
    samples = [
        sample(first + number, captions[number], label=number % 6, answer_index=number % 2) for number in range(13)
    ]
    mine = list(range(13))[rank::world_size]
    if padded and rank == world_size - 1 and rank:
        mine.append(0)
    groups = [mine[start : start + 4] for start in range(0, len(mine), 4)]
    return Loader(
        [{'inputs': {samples[0].modality: frames[g]}, 'data_samples': [samples[i] for i in g]} for g in groups], CLASSES
    )


def main(config, out):
    """Runs every evaluation and writes what it found."""
    torch.set_num_threads(1)
    rank, world_size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    if world_size > 1:
        dist.init_process_group('gloo')
    torch.manual_seed(0)
    with open(config) as file:
        model = MODELS.build(json.load(file))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.trunk.temperature.value.fill_(0.1)
    evaluations = {
        'retrieval': RetrievalEvaluation(rerank_k=3, text_batch=4, visual_batch=2, pair_batch=5, dual_softmax=True),
        'caption': CaptionEvaluation(max_length=5),
        'choice': MultipleChoiceEvaluation('match+similarity', pair_batch=3),
        'zero_shot': ZeroShotEvaluation(['{}', 'w7 {}'], text_batch=3),
    }
    for samples_twice in (False, True):
        data = make_data(rank, world_size, samples_twice)
        train = make_data(rank, world_size, samples_twice, first=20)
        evaluations['linear_probe'] = LinearProbeEvaluation(train, strengths=(1.0, 10.0), refinements=1)
        found = {name: asdict(evaluation.run(model, data, name)) for name, evaluation in evaluations.items()}
        with open(f'{out}-{samples_twice}-{rank}.json', 'w') as file:
            json.dump(found, file)
    if world_size > 1:
        dist.destroy_process_group()
