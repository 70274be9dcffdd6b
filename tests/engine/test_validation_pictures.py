"""Pictures of validations: which visuals, what stands beside them; no trace in the training, never the end of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toys
from PIL import Image
from runs import assert_same_run, run_ranks, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from omnivl.datasets import MixedDataset
from omnivl.engine import EvaluationLoop
from omnivl.errors import OmniVLValueError
from omnivl.registry import DATASETS, EVALUATIONS, TRANSFORMS
from omnivl.visualization import validation
from omnivl.visualization.sheets import BAD, GOOD
from omnivl.visualization.validation import (
    ValidationPicturesHook,
    draw_evaluation,
    items_of,
    key_of,
    lines_of,
    shortened,
)

NUM_IMAGES = 6


@TRANSFORMS.register_module()
class Disturbing:
    """Draws from the generators that the training draws from."""

    def __call__(self, results):
        torch.rand(3), np.random.rand(3)
        return results


@EVALUATIONS.register_module()
class GreyEvaluation(toys.ToyEvaluation):
    """Captions of its own for every picture, and nothing asked of the model."""

    def run(self, model, dataloader, progress):
        dataset = dataloader.dataset
        rows = [row_of(*key_of(dataset, index)) for index in range(len(dataset))]
        return SimpleNamespace(metrics=dict(r1=1.0), chance={}, predictions=rows, protocol={})


def row_of(source, sample_id, **more):
    row = dict(source=source, sample_id=sample_id, modality='image', visual='', references=[f'grey {sample_id}'])
    return row | dict(score=dict(beam=0.0), beam=f'grey {sample_id}') | more


@pytest.fixture
def dataset(tmp_path):
    """Config of a set of grey pictures, each brighter than the one before."""
    rows = []
    (tmp_path / 'images').mkdir()
    for number in range(NUM_IMAGES):
        Image.fromarray(np.full((32, 32, 3), 40 * number, np.uint8)).save(tmp_path / f'images/{number}.png')
        rows.append(dict(image=f'{number}.png', caption=f'grey {number}', image_id=number))
    (tmp_path / 'captions.json').write_text(json.dumps(rows))
    pipeline = [dict(type='LoadImage'), dict(type='Disturbing'), dict(type='PackSample')]
    annotations = dict(
        type='BLIPCaptionJSON', ann_file=str(tmp_path / 'captions.json'), visual_root=str(tmp_path / 'images')
    )
    return dict(type='RetrievalDataset', name='greys', annotations=annotations, pipeline=pipeline)


def options(dataset, **hook):
    return dict(
        val_dataloader={'image.grey': dict(batch_size=2, num_workers=0, dataset=dataset)},
        val_evaluator={'image.grey': dict(type='GreyEvaluation')},
        val_cfg=dict(type='EvaluationLoop'),
        train_cfg=dict(type='AlternatingTrainLoop', max_iters=4, val_interval=2),
        visualizer=dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]),
        default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=1), pictures=hook),
    )


def images_of(work_dir):
    (folder,) = work_dir.glob('*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()['images']}


def test_every_validation_has_its_picture_and_the_training_is_the_same_bit_for_bit(tmp_path, dataset):
    train(tmp_path / 'with', 'pictures-with', **options(dataset, number=3))
    train(tmp_path / 'without', 'pictures-without', **options(dataset, number=0))
    assert images_of(tmp_path / 'with') == {'picture/image.grey': [2, 4]}
    assert images_of(tmp_path / 'without') == {}
    assert_same_run(tmp_path / 'with', tmp_path / 'without', 4)


def test_a_long_run_has_a_bounded_number_of_pictures(tmp_path, dataset):
    long = dict(type='AlternatingTrainLoop', max_iters=10, val_interval=1)
    train(tmp_path / 'run', 'pictures-most', **options(dataset, number=1, most=3) | dict(train_cfg=long))
    assert images_of(tmp_path / 'run') == {'picture/image.grey': [4, 7, 10]}


def test_no_place_for_pictures_is_refused():
    with pytest.raises(OmniVLValueError, match=r'pictures\.most is 0; it must be at least 1 \(number=0'):
        ValidationPicturesHook(most=0)


def test_a_picture_that_fails_is_a_warning(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(validation, 'contact_sheet', lambda *_, **__: 1 / 0)
    runner = train(tmp_path / 'run', 'pictures-fail', **options(dataset))
    assert runner.iter == 4
    log = Path(runner.logger.log_file).read_text()
    assert log.count('picture/image.grey is not drawn: ZeroDivisionError: division by zero') == 1  # not twice


def test_no_tracker_no_work(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(validation, 'draw_evaluation', lambda *_: pytest.fail('drawn for nobody'))
    changes = options(dataset) | dict(visualizer=dict(vis_backends=[dict(type='LocalVisBackend')]))
    runner = train(tmp_path / 'run', 'pictures-nobody', **changes)
    assert 'is not drawn' not in Path(runner.logger.log_file).read_text()


def on_ranks(root, dataset):
    train(root / 'ranks', 'pictures-ranks', launcher='pytorch', **options(dataset))


def test_the_first_rank_draws(tmp_path, dataset):
    run_ranks(on_ranks, tmp_path, dataset)
    assert images_of(tmp_path / 'ranks') == {'picture/image.grey': [2, 4]}


def test_the_same_visuals_from_all_of_the_set(dataset):
    built = DATASETS.build(dataset)
    rows = [row_of(*key_of(built, index)) for index in range(NUM_IMAGES)]
    drawn = [(row['sample_id'], int(item['inputs']['image'].float().mean())) for item, row in items_of(built, rows, 3)]
    assert drawn == [('1', 40), ('3', 120), ('5', 200)]
    assert len(list(items_of(built, rows, 99))) == NUM_IMAGES
    assert [row['sample_id'] for _, row in items_of(built, rows[:2], 3)] == ['1']  # the others have no prediction


def test_items_of_a_mixture_are_found(dataset):
    both = [DATASETS.build(dataset | dict(name=name, max_items=size)) for name, size in (('a', 2), ('b', 3))]
    mixed = MixedDataset(both)
    assert [key_of(mixed, index) for index in range(5)] == [('a', '0'), ('a', '1'), ('b', '0'), ('b', '1'), ('b', '2')]


def test_results_of_a_search_stand_below_the_visual(dataset):
    built = DATASETS.build(dataset)
    found = dict(captions=['grey 3'], top_captions=[dict(caption='grey 3')], ranks=dict(t2i=[2], i2t=1))
    row = row_of('greys', '3', **found, top_visuals=[dict(sample_id='5'), dict(sample_id='3'), dict(sample_id='0')])
    del row['references'], row['score']
    sheet = np.asarray(draw_evaluation(built, [row], 6, 32, ''))
    card = sheet[20:, 20:]  # margins of sheet and card
    assert (card[:32, :32] == 120).all()
    assert [int(card[51, 16 + 35 * place].mean()) for place in range(3)] == [200, 120, 0]


@pytest.mark.parametrize(
    ('row', 'lines'),
    [
        (dict(references=['a', 'b'], score=dict(greedy=0, beam=0), greedy='b', beam='c'), [('greedy: b', GOOD)]),
        (dict(references=['a'], score=dict(beam=0), beam='c'), [('beam: c', BAD), 'true: a']),
        (
            dict(question='how many?', answers=['2', '2'], score=dict(rank=0), rank='2'),
            ['how many?', ('rank: 2', GOOD)],
        ),
        (dict(question='why?', answers=None, score=dict(rank=0), rank='2'), ['why?', ('rank: 2', BAD)]),
        (
            dict(choices=['x', 'y'], predicted=1, answer_index=0, correct=False),
            [('chosen: y', BAD), 'true: x'],
        ),
        (dict(label='dog', predicted='dog', scores={}), [('predicted: dog', GOOD), 'true: dog']),
        (
            dict(captions=['t'], top_captions=[dict(caption='u'), dict(caption='t')], ranks=dict(i2t=2)),
            [('1. u', BAD), ('2. t', GOOD), 'true: t', 'ranks: i2t 2'],
        ),
        (dict(something_new=1), ['s  1']),
    ],
)
def test_what_the_model_says_stands_beside_the_truth(row, lines):
    got = lines_of(dict(source='s', sample_id='1', **row))
    assert got[-1].text == 's  1'
    for line, expected in zip(got, lines):
        assert (line.text, line.colour) == expected if isinstance(expected, tuple) else line.text == expected


def test_a_model_that_matches_shows_where_it_looks(dataset, tiny_model):
    built = DATASETS.build(dataset)
    rows = [row_of('greys', str(index), references=['w1 w2 ' * 9]) for index in range(NUM_IMAGES)]
    shown, loop = {}, object.__new__(EvaluationLoop)
    loop.predictions, loop.dataloader = {'image.grey': rows}, {'image.grey': SimpleNamespace(dataset=built)}
    runner = SimpleNamespace(model=tiny_model(shake=True).train(), val_loop=loop, iter=7, max_iters=9)
    runner.visualizer = SimpleNamespace(
        shows_pictures=True, add_image=lambda name, image, step: shown.update({name: (image.shape, step)})
    )
    validation.ValidationPicturesHook().after_val_epoch(runner)
    assert list(shown) == ['picture/image.grey', 'picture/attention'] and shown['picture/attention'][1] == 7
    assert runner.model.training
    shown.clear()
    validation.ValidationPicturesHook(attention=False).after_val_epoch(runner)
    assert list(shown) == ['picture/image.grey']


def test_of_a_long_clip_some_frames_are_drawn():
    clip = torch.arange(64)[:, None, None, None].expand(64, 3, 4, 4)
    assert shortened(clip)[:, 0, 0, 0].tolist() == [0, 9, 18, 27, 36, 45, 54, 63]
    assert torch.equal(shortened(clip[:3]), clip[:3])
    sound = torch.zeros(100, 20)
    assert shortened(sound) is sound
