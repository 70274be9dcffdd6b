"""Classes by a finetuned head: the same as the evaluation finds, names, and exported."""

import json

import numpy as np
import pytest
from api_world import write_checkpoint, write_config
from mmengine.config import Config

from omnivl.apis import OmniVLInferencer, export_folder
from omnivl.engine import OmniVLRunner

SIZE = [dict(type='Resize', size=32, keep_ratio=True), dict(type='CenterCrop', size=32)]


@pytest.fixture
def trained(tiny_config, world, tmp_path):
    """Config and checkpoint of a classifier of the world's three folders."""
    image = [dict(type='LoadImage'), *SIZE, dict(type='PackSample')]
    video = [dict(type='LoadVideo', num_frames=4), *SIZE, dict(type='PackSample')]
    annotations = dict(type='ImageNetFolder', visual_root=str(world.root / 'images'))
    dataset = dict(type='LabelDataset', name='labels', annotations=annotations, pipeline=image)
    model = tiny_config('OmniVLClassifier', num_classes=3)
    config = write_config(
        world.root,
        model,
        video_test_pipeline=video,
        work_dir=str(tmp_path / 'run'),
        test_dataloader={'image.classification': dict(batch_size=4, num_workers=0, dataset=dataset)},
        test_evaluator={'image.classification': dict(type='ClassificationEvaluation', top_k=(1, 2))},
    )
    return config, write_checkpoint(tmp_path / 'classifier.pth', model)


@pytest.fixture
def classifier(trained):
    def make(batch_size=4):
        return OmniVLInferencer(*trained, device='cpu', batch_size=batch_size)

    return make


def test_it_finds_what_the_evaluation_finds(classifier, trained, tmp_path):
    cfg = Config.fromfile(trained[0])
    cfg.load_from = str(trained[1])
    OmniVLRunner.from_cfg(cfg).test()
    rows = json.loads((tmp_path / 'run/predictions/image.classification.json').read_text())
    found = classifier().classify([row['visual'] for row in rows])
    assert len(rows) == 6 and {row['label'] for row in rows} == {'w1', 'w2', 'w3'}
    for row, answer in zip(rows, found):
        assert (answer['predicted'], answer['score']) == (
            row['predicted'],
            pytest.approx(max(answer['scores'].values())),
        )
        assert answer['scores'] == pytest.approx(row['scores'], abs=1e-5)


def test_alone_and_in_batches(classifier, mixture):
    alone = [classifier(1).classify([item], top_k=2)[0] for item in mixture]
    for one, row in zip(alone, classifier(16).classify(mixture, top_k=2)):
        assert one['predicted'] == row['predicted'] and one['scores'] == pytest.approx(row['scores'], abs=1e-5)
        assert len(row['scores']) == 2
    assert len({row['score'] for row in alone}) == len(mixture)


def test_an_exported_folder_keeps_the_names(classifier, trained, tmp_path, world):
    export_folder(Config.fromfile(trained[0]), trained[1], tmp_path / 'exported')
    exported = OmniVLInferencer(tmp_path / 'exported', device='cpu')
    for one, other in zip(exported.classify(world.images), classifier().classify(world.images)):
        assert one['scores'] == pytest.approx(other['scores'], abs=1e-5)
    assert json.loads((tmp_path / 'exported/config.json').read_text())['classes'] == ['w1', 'w2', 'w3']


def test_names_of_ones_own_and_none_at_all(classifier, world):
    inferencer = classifier()
    of_folders = inferencer.classify(world.images[0])['scores']
    named = inferencer.classify(world.images[0], ['crane', 'dog', 'crane'])['scores']
    assert dict(zip(['crane (0)', 'dog', 'crane (2)'], map(of_folders.get, ['w1', 'w2', 'w3']))) == named
    inferencer.loaded.classes = None
    assert set(inferencer.classify(world.images[0])['scores']) == {'class 0', 'class 1', 'class 2'}
    inferencer.loaded.classes = ['only', 'two']
    assert 'class 0' in inferencer.classify(world.images[0])['scores']


def test_errors(classifier, inferencer, world):
    with pytest.raises(ValueError, match='the model has a head for 3 classes, got 2 names: give all in order, or none'):
        classifier().classify(world.images[0], ['a', 'b'])
    with pytest.raises(ValueError, match='an OmniVLClassifier has a head and needs no templates'):
        classifier().classify(world.images[0], templates='clip_image')
    with pytest.raises(ValueError, match='OmniVLPretrain has no head for classes: give the names of the classes'):
        inferencer.classify(world.images[0])
    assert np.isclose(sum(classifier().classify(world.images[0])['scores'].values()), 1)
