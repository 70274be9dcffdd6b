"""Views of samples in a batch: dealt out, with what belongs to each of them."""

import pytest
import torch

from omnivl.structures import MODALITIES, VIDEO, Modality, VLBatch


@pytest.fixture
def sound(monkeypatch):
    """A modality that is no picture."""
    fields = dict(plural='sounds', letter='s', suffixes=('.sound',), loader='LoadSound', tokenizer='SoundTokenizer')
    monkeypatch.setitem(MODALITIES, 'sound', Modality('sound', templates=VIDEO.templates, kind='waves', **fields))
    return 'sound'


def numbered(samples, frames):
    return torch.arange(samples * frames).view(samples, frames, 1, 1, 1).expand(-1, -1, 3, 2, 2)


def test_frames_and_times_are_dealt_out_view_by_view():
    frames = numbered(2, 6)
    batch = VLBatch({'video': frames}, pts_seconds={'video': frames[:, :, 0, 0, 0].float()}, num_views=3).split_views()
    assert batch.frames[:, :, 0, 0, 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert torch.equal(batch.pts_seconds['video'], batch.frames[:, :, 0, 0, 0].float())
    assert (batch.num_views, batch.views_in_row, len(batch)) == (1, 3, 6)


def test_what_belongs_to_a_sample_belongs_to_each_of_its_views(sound):
    text = torch.arange(6).view(2, 3)
    batch = VLBatch(
        {'image': numbered(2, 2), sound: torch.tensor([[1.0, 2.0], [3.0, 4.0]])},
        masks={sound: torch.tensor([[True, True], [True, False]])},
        text_ids=text,
        text_mask=text > 1,
        target_ids=torch.tensor([7, 8]),
        labels=torch.tensor([0, 1]),
        num_views=2,
        task='image',
        losses=('class',),
    ).split_views()
    assert batch.inputs[sound].tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert batch.masks[sound].tolist() == [[True, True]] * 2 + [[True, False]] * 2
    assert batch.text_ids.tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert torch.equal(batch.text_mask, batch.text_ids > 1)
    assert batch.target_ids.tolist() == [7, 7, 8, 8] and batch.labels.tolist() == [0, 0, 1, 1]
    assert (batch.task, batch.losses) == ('image', ('class',))


def test_each_view_has_all_answers_to_the_question_of_its_sample():
    answers = torch.tensor([[2, 10, 3], [2, 11, 3], [2, 20, 3]])
    batch = VLBatch(
        {'image': numbered(2, 2)},
        answer_ids=answers,
        answer_mask=answers != 20,
        answer_weights=torch.tensor([0.25, 0.75, 1.0]),
        answer_owner=torch.tensor([0, 0, 1]),
        num_views=2,
    ).split_views()
    assert batch.answer_owner.tolist() == [0, 0, 1, 1, 2, 3]
    assert batch.answer_ids[:, 1].tolist() == [10, 11, 10, 11, 20, 20]
    assert torch.equal(batch.answer_mask, batch.answer_ids != 20)
    assert batch.answer_weights.tolist() == [0.25, 0.75, 0.25, 0.75, 1, 1]


def test_one_view_each_is_left_as_it_is():
    batch = VLBatch({'image': numbered(2, 1)})
    assert batch.split_views() is batch
    split = VLBatch({'image': numbered(2, 2)}, num_views=2).split_views()
    assert split.split_views() is split
