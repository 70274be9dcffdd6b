"""Multi-label figures against scikit-learn and by hand; retrieval between modalities; what has no frames."""

import math

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeModel, Loader
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.evaluation import (
    ClassificationEvaluation,
    MultiLabelEvaluation,
    PairRetrievalEvaluation,
    RetrievalEvaluation,
)
from omnivl.evaluation.multi_label_scores import average_precision, d_prime, multi_label_metrics, roc_area
from omnivl.structures import VLBatch, VLDataSample

CLASSES = ['bark', 'rain', 'speech']


@pytest.mark.parametrize('levels', [3, 10_000])
def test_figures_are_those_of_scikit_learn_ties_included(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(levels, size=(60, 5)) / levels
    is_true = rng.random((60, 5)) < 0.3
    for one in range(5):
        column, true = scores[:, one], is_true[:, one]
        assert average_precision(column, true) == pytest.approx(average_precision_score(true, column))
        assert roc_area(column, true) == pytest.approx(roc_auc_score(true, column))
    found = multi_label_metrics(scores, is_true)
    assert found['mAP'] == pytest.approx(100 * average_precision_score(is_true, scores, average='macro'))
    assert found['AUC'] == pytest.approx(100 * roc_auc_score(is_true, scores, average='macro'))


def test_figures_by_hand():
    scores, is_true = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, is_true) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert roc_area(scores, is_true) == 0.75
    assert roc_area(np.zeros(4), is_true) == 0.5 and average_precision(np.zeros(4), is_true) == 0.5
    assert d_prime(0.5) == 0 and d_prime(0.971) == pytest.approx(2.68, abs=0.01)
    # Two normal distributions of unit variance that lie d' apart are told apart with that area.
    rng = np.random.default_rng(0)
    draws = np.concatenate([rng.normal(1.5, 1, 4000), rng.normal(0, 1, 4000)])
    assert d_prime(roc_area(draws, np.arange(8000) < 4000)) == pytest.approx(1.5, abs=0.08)
    assert d_prime(1.0) == math.inf and d_prime(0.0) == -math.inf
    assert math.isnan(average_precision(scores, np.zeros(4, bool))) and math.isnan(roc_area(scores, np.ones(4, bool)))


def test_classes_without_both_kinds_do_not_count():
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.5]])
    is_true = np.array([[True, True, False], [False, True, False]])
    assert multi_label_metrics(scores, is_true)['mAP'] == 100
    with pytest.raises(OmniVLValueError, match='none of 1 classes has a sample of it and one that is not'):
        multi_label_metrics(scores[:, 1:2], is_true[:, 1:2])
    with pytest.raises(OmniVLValueError, match='scores are NaN'):
        multi_label_metrics(scores * np.nan, is_true)


class Ear(nn.Module):
    """Hears in a sound's first sample which row of the tables it is."""

    def __init__(self, logits=((0.0,),), vectors=None, others=None):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.logits = torch.as_tensor(logits, dtype=torch.float32)
        self.num_classes = self.logits.shape[1]
        self.vectors, self.others = vectors, others

    def data_preprocessor(self, data, training):
        masks = {name: values.abs() > 0 for name, values in data['inputs'].items() if name == 'audio'}
        return {'batch': VLBatch(data['inputs'], masks=masks), 'data_samples': data['data_samples']}

    def encode(self, batch):
        raise NotImplementedError

    def classify(self, batch):
        return self.logits[batch.inputs['audio'][:, 0].long() - 1]


class PairEar(Ear):
    def embed_pair(self, batch, first, second):
        numbers = batch.inputs['audio'][:, 0].long() - 1
        tables = dict(video=self.vectors, audio=self.others)
        return tuple(nn.functional.normalize(tables[name][numbers], dim=1) for name in (first, second))


def sounds(labels, modality='audio', silent=(), **more):
    """A batch of sounds, whose first sample is their number from 1, or that are silent."""
    samples = []
    for number, label in enumerate(labels):
        info = dict(sample_id=str(number), source='s', visual=f'{number}.wav', modality=modality)
        samples.append(VLDataSample(metainfo=info))
        if label is not None:
            samples[-1].label = label
    waveform = torch.arange(1.0, len(labels) + 1)[:, None].repeat(1, 4)
    waveform[list(silent)] = 0
    return [{'inputs': {**more, 'audio': waveform}, 'data_samples': samples}]


def test_multi_label_evaluation():
    logits = [[3, 1, -2], [0, -1, 2], [2, -1, -3], [-3, 3, -1]]
    data = Loader(sounds([(1, 1, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0)]), CLASSES)
    result = MultiLabelEvaluation().run(Ear(logits), data, 'x')
    assert result.metrics == {'mAP': 100, 'AUC': 100, 'd_prime': math.inf}
    assert result.chance == pytest.approx({'mAP': 100 * (0.5 + 0.5 + 0.25) / 3, 'AUC': 50, 'd_prime': 0})
    assert result.predictions[0]['labels'] == ['bark', 'rain']
    assert result.predictions[1]['scores']['speech'] == pytest.approx(1 / (1 + math.exp(-2)))
    assert (result.protocol['modality'], result.protocol['values'], result.protocol['judged_classes']) == (
        'audio',
        4,
        3,
    )
    one_each = MultiLabelEvaluation().run(Ear(logits), Loader(sounds([0, 2, 0, 1]), CLASSES), 'x')
    assert one_each.metrics['mAP'] == 100 and one_each.predictions[3]['labels'] == ['rain']
    for labels, message in (([None] * 4, 'has no classes'), ([(1, 0)] * 4, 'or other than these 3')):
        with pytest.raises(OmniVLValueError, match=message):
            MultiLabelEvaluation().run(Ear(logits), Loader(sounds(labels), CLASSES), 'x')


def test_sounds_of_one_class_each():
    logits = [[3, 1, 0], [0, 1, 3], [2, 1, 0], [0, 3, 2]]
    result = ClassificationEvaluation(top_k=(1,)).run(Ear(logits), Loader(sounds([0, 2, 2, 2]), CLASSES), 'x')
    assert result.metrics['top1'] == 50 and result.protocol['modality'] == 'audio' and result.protocol['values'] == 4
    assert [row['predicted'] for row in result.predictions] == ['bark', 'speech', 'bark', 'rain']


def test_texts_and_sounds():
    class Hearing(FakeModel):
        def encode(self, batch):
            numbers = batch.inputs['audio'][:, 0] - 1
            return type('Features', (), dict(tokens=numbers[:, None, None], pooled=numbers[:, None]))

    (batch,) = sounds([None, None])
    for number, one in enumerate(batch['data_samples']):
        one.set_metainfo(dict(captions=[f'w{number}']))
        one.caption_ids = [np.array([2, 5 + number, 3])]
    result = RetrievalEvaluation(rerank_k=None).run(Hearing(np.eye(2), np.eye(2)), [batch], 'x')
    assert result.metrics['t2a_r1'] == result.metrics['a2t_r1'] == 100


def test_retrieval_between_modalities():
    vectors = torch.tensor([[1.0, 0.0, 0.2], [0.0, 1.0, 0.1], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    others = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    frames = torch.zeros(4, 2, 3, 4, 4)
    data = sounds([None] * 4, 'video', video=frames)
    result = PairRetrievalEvaluation('video', 'audio', recall_k=(1, 2)).run(
        PairEar(vectors=vectors, others=others), data, 'x'
    )
    scores = nn.functional.normalize(vectors, dim=1) @ nn.functional.normalize(others, dim=1).T
    for way, table in (('v2a', scores), ('a2v', scores.T)):
        ranks = [1 + int((row >= row[place]).sum()) - 1 for place, row in enumerate(table)]
        assert [row['ranks'][way] for row in result.predictions] == ranks
        assert result.metrics[f'{way}_r1'] == 25 * sum(rank == 1 for rank in ranks)
        assert result.metrics[f'{way}_mean_rank'] == np.mean(ranks)
    assert result.chance['v2a_r1'] == 25 and result.chance['a2v_mean_rank'] == 2.5
    assert result.predictions[3]['found']['v2a'][0] == '3'
    assert (result.protocol['first'], result.protocol['without_both'], result.protocol['frames']) == ('video', 0, 2)


def test_silent_samples_are_neither_asked_for_nor_found():
    vectors = torch.eye(4)
    data = sounds([None] * 4, 'video', silent=[3], video=torch.zeros(4, 2, 3, 4, 4))
    model = PairEar(vectors=vectors, others=vectors)
    result = PairRetrievalEvaluation('audio', 'video').run(model, data, 'x')
    assert result.metrics['a2v_r1'] == 100 and result.protocol['without_both'] == 1
    assert result.chance['a2v_r1'] == pytest.approx(100 / 3) and result.predictions[3]['ranks'] is None
    with pytest.raises(OmniVLValueError, match='none of 4 samples has both audio and video'):
        silent = sounds([None] * 4, 'video', silent=range(4), video=torch.zeros(4, 2, 3, 4, 4))
        PairRetrievalEvaluation('audio', 'video').run(model, silent, 'x')


def test_refusals():
    with pytest.raises(OmniVLTypeError, match='this Ear does not: it has no embed_pair'):
        PairRetrievalEvaluation('audio', 'video').run(Ear(), [], 'x')
    with pytest.raises(OmniVLValueError, match=r"the batch has no video, only \['audio'\]: load it"):
        PairRetrievalEvaluation('audio', 'video').run(PairEar(), sounds([None]), 'x')
    for arguments, message in ((('audio', 'audio'), 'two modalities'), (('audio', 'smell'), "modality='smell'")):
        with pytest.raises(OmniVLValueError, match=message):
            PairRetrievalEvaluation(*arguments)
