"""Training steps on several views of each sample: visuals of their own, and what compares them with each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader

from omnivl.datasets import collate_samples
from omnivl.models.losses import StepLoss
from omnivl.registry import DATASETS, MODELS


class ViewContrast(StepLoss):
    """Find the other view of each visual among the second views of all (SimCLR, 2002.05709, without projection)."""

    name = 'views'
    needs = ('view_vectors',)

    def forward(self, view_vectors):
        first, second = F.normalize(view_vectors, dim=-1).unbind(1)
        logits = first @ second.T / 0.1
        return self.weight * F.cross_entropy(logits, torch.arange(len(logits)))


def in_views(batch, views=2):
    """Take so many frames more of each sample as further views of it."""
    frames = torch.cat([batch.frames + step for step in range(views)], dim=1)
    return replace(batch, inputs={batch.modality: frames}, num_views=views)


@pytest.mark.parametrize('modality', ['image', 'video'])
def test_the_loss_of_a_class_is_that_of_all_views_as_samples(tiny_model, random_batch, modality):
    model = tiny_model(type='OmniVLClassifier', num_classes=4, shake=True).train()
    batch = replace(random_batch(modality=modality), labels=torch.tensor([3, 1, 0, 2]))
    views = [replace(batch, inputs={modality: batch.frames + step}) for step in range(2)]
    expected = sum(model.loss(view)['loss_class'] for view in views) / 2
    assert model.loss(in_views(batch))['loss_class'].item() == pytest.approx(expected.item(), rel=1e-5)


def test_captions_and_contrast_are_of_all_views_and_views_are_no_negatives(tiny_model, random_batch):
    for labels in (True, False):
        model = tiny_model(use_labels=labels).train()
        found = model.loss(in_views(random_batch()))
        assert all(torch.isfinite(found[f'loss_{name}']) for name in ('univlc', 'vlm', 'lm'))
        assert int(model.queues.fill) == 8
        assert model.queues.target_ids[:8].unique_consecutive(return_counts=True)[1].tolist() == [2] * 4
        step = model.step_type(model, in_views(random_batch()))
        assert torch.equal(step.target_ids[::2], step.target_ids[1::2]) and len(set(step.target_ids.tolist())) == 4
        owner = torch.arange(8) // 2
        assert (owner[step.pairs.visual_index[8:]] != owner[step.pairs.text_index[8:]]).all()


@pytest.fixture
def images(tmp_path):
    """Batches of two views, of sixteen pictures of noise."""
    for number in range(16):
        picture = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        (tmp_path / 'noise').mkdir(exist_ok=True)
        Image.fromarray(picture).resize((48, 48), Image.Resampling.NEAREST).save(tmp_path / 'noise' / f'{number}.png')
    views = dict(
        type='AugmentedViews',
        transforms=[
            dict(type='RandomResizedCrop', size=32, scale=(0.7, 1.0)),
            dict(type='ColorContrast', contrast=0.2),
        ],
    )
    dataset = DATASETS.build(
        dict(
            type='LabelDataset',
            name='noise',
            annotations=dict(type='ImageNetFolder', visual_root=str(tmp_path)),
            pipeline=[dict(type='LoadImage'), views, dict(type='PackSample')],
        )
    )
    return DataLoader(dataset, batch_size=16, collate_fn=collate_samples)


def test_a_contrast_of_two_views_learns_which_views_are_of_one_picture(tiny_trunk, images):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(type='TrunkModel', trunk=dict(type='VisualTrunk', visual_encoder=tiny_trunk()['visual_encoder']))
    ).train()
    model.losses['views'] = ViewContrast()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    (data,) = images
    losses = []
    for _ in range(30):
        batch = model.data_preprocessor(data)['batch']
        assert (batch.num_views, batch.frames.shape) == (2, (16, 2, 3, 32, 32))
        loss = model.loss(batch)['loss_views']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    step = model.step_type(model, batch)
    assert step.view_vectors.shape == (16, 2, 16)
    assert torch.equal(step.view_vectors[3, 1], step.visual.pooled[7])
    assert losses[-1] < 0.5 * losses[0]


def test_one_view_of_each_cannot_be_compared(tiny_model, random_batch):
    model = tiny_model(type='OmniVLClassifier', num_classes=4)
    with pytest.raises(ValueError, match=r'compares views of a sample .* one of each: put AugmentedViews into the pip'):
        _ = model.step_type(model, random_batch()).view_vectors
