"""A video decoder and a benchmark in one new file each and a line of a config: no file of ``omnivl/`` is touched."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from omnivl.datasets.loaders import build_loader
from omnivl.engine import read_config
from omnivl.registry import ANNOTATIONS, EVALUATIONS, VIDEO_DECODERS

DECODER = '''
"""Decodes clips that lie on disk as arrays, a hundred frames a second."""

import numpy as np

from omnivl.datasets.transforms import VideoDecoder, VideoReader
from omnivl.registry import VIDEO_DECODERS


class ArrayReader(VideoReader):
    def __init__(self, path):
        self.array = np.load(path)
        super().__init__(path, np.arange(len(self.array)) / 100, fps=100.0)

    def _read(self, indices):
        return list(self.array[indices])

    def close(self):
        pass


@VIDEO_DECODERS.register_module('arrays')
class ArrayDecoder(VideoDecoder):
    def _open(self, path, limits):
        return ArrayReader(path)
'''

BENCHMARK = '''
"""Clips named after the sentence that is true of them, and how many of the sentences begin with a vowel."""

from pathlib import Path

from omnivl.datasets.annotations import AnnotationReader, Record
from omnivl.evaluation import Evaluation, EvaluationResult
from omnivl.registry import ANNOTATIONS, EVALUATIONS
from omnivl.structures import VIDEO


@ANNOTATIONS.register_module()
class NamedClips(AnnotationReader):
    modality = VIDEO.name

    def read(self):
        for path in sorted(Path(self.visual_root).glob('*.npy')):
            yield Record(id=path.stem, visual=str(path), text=[path.stem])


@EVALUATIONS.register_module()
class VowelEvaluation(Evaluation):
    def evaluate(self, model, dataloader, name):
        rows = [dataloader.dataset.get_data_info(index) for index in range(len(dataloader.dataset))]
        share = 100 * sum(row['captions'][0][0] in 'aeiou' for row in rows) / len(rows)
        return EvaluationResult({'vowels': share}, {'vowels': 50.0}, [], {})
'''

CONFIG = """
custom_imports = dict(imports=['my_decoder', 'my_benchmark'], allow_failed_imports=False)
test_dataloader = dict(
    clips=dict(
        batch_size=2,
        dataset=dict(
            type='RetrievalDataset',
            annotations=dict(type='NamedClips', ann_file='', visual_root={root!r}),
            pipeline=[dict(type='LoadVideo', num_frames=4, decoder='arrays'), dict(type='PackSample')],
            name='clips',
        ),
    )
)
test_evaluator = dict(clips=dict(type='VowelEvaluation'))
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / 'my_decoder.py').write_text(DECODER)
    (tmp_path / 'my_benchmark.py').write_text(BENCHMARK)
    for number, name in enumerate(('an elephant', 'the sea')):
        np.save(
            tmp_path / f'{name}.npy',
            np.full((8, 6, 5, 3), number, np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None],
        )
    (tmp_path / 'config.py').write_text(CONFIG.format(root=str(tmp_path)))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / 'config.py'
    for registry, name in ((VIDEO_DECODERS, 'arrays'), (ANNOTATIONS, 'NamedClips'), (EVALUATIONS, 'VowelEvaluation')):
        registry.module_dict.pop(name)


def test_a_decoder_and_a_benchmark_are_a_file_each(config, tiny_model):
    cfg = read_config(config)
    with DefaultScope.overwrite_default_scope('omnivl'):  # as the runner does
        loader = build_loader(cfg.test_dataloader.clips, 'test_dataloader.clips', seed=0, training=False)
    (data,) = loader
    assert data['inputs']['video'][:, :, 0, 0, 0].tolist() == [[1, 3, 5, 7], [2, 4, 6, 8]]
    assert np.allclose(data['pts_seconds']['video'], [[0.01, 0.03, 0.05, 0.07]] * 2)
    result = EVALUATIONS.build(cfg.test_evaluator.clips).run(tiny_model(), loader)
    assert result.metrics == {'vowels': 50} and result.protocol['annotations'][0]['reader'] == 'NamedClips'
