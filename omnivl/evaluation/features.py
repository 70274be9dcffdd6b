"""Frozen features of a labelled set: extracted once, kept on the device of each rank."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.runner import Runner
from torch import Tensor, nn

from omnivl.datasets.loaders import with_defaults
from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Encodes, serving
from omnivl.structures import VLBatch

from .annotation_files import describe_annotations
from .base import batches
from .classes import dataset_classes, label_of

Key = tuple[str, str]


class Features(NamedTuple):
    """Features of a set.

    Attributes:
        vectors: Of this rank; float32 (n, D), on the device of the model.
        labels: Of this rank; int64 (n,).
        keys: Of this rank: source and id of the n samples.
        all_labels: Label of every sample of all ranks.
        annotations: Which files they are of.
    """

    vectors: Tensor
    labels: Tensor
    keys: list[Key]
    all_labels: dict[Key, int]
    annotations: list[dict[str, Any]]


def pooled_features(model: nn.Module, batch: VLBatch) -> Tensor:
    """Average the [CLS] vector before the projection over the views of each sample: of (B, D) float32 (B / V, D)."""
    pooled = serving(model, Encodes, 'a probe').encode(batch).pooled.float()
    return pooled.view(-1, batch.views_in_row, pooled.shape[1]).mean(dim=1)


def extract_features(
    model: nn.Module, loader: Mapping[str, Any] | Iterable, classes: Sequence[str], name: str
) -> Features:
    """Run the model, in evaluation mode, once over a labelled set.

    Args:
        model: Offers ``Encodes``.
        loader: A loader or the config of one, in the form of ``test_dataloader``'s entries.
        classes: The classes that the set must have; others, or a process without samples, are an ``OmniVLValueError``.
        name: Shown before the progress bar, and in messages.

    Returns:
        The features; a sample that a padding sampler gave to several ranks is there once.
    """
    if isinstance(loader, Mapping):
        loader = Runner.build_dataloader(with_defaults(loader, training=False), seed=0)
    own = dataset_classes(loader, name, 'a linear probe')
    if own != list(classes):
        odd = [f'{mine!r} in place of {theirs!r}' for mine, theirs in zip(own, classes) if mine != theirs]
        raise OmniVLValueError(
            f'{name}: its {len(own)} classes are not the {len(classes)} classes that are scored'
            f'{": " + odd[0] if odd else ""}; does a split lack some? Then classes_file of the annotations names all'
        )
    vectors, found = [], []
    for batch, samples in batches(model, loader, name):
        vectors.append(pooled_features(model, batch.split_views()))
        found += [((sample.source, sample.sample_id), label_of(sample, own, name)) for sample in samples]
    return _joined(vectors, found, describe_annotations(getattr(loader, 'dataset', None)), name)


def _joined(
    vectors: list[Tensor], found: list[tuple[Key, int]], annotations: list[dict[str, Any]], name: str
) -> Features:
    """Put batches together, and leave out what an earlier rank, or this one before, has."""
    parts = all_gather_object(found)
    if not all(parts):
        counts = [len(part) for part in parts]
        raise OmniVLValueError(
            f'{name}: every process needs samples, they have {counts}: is the set empty, or so small?'
        )
    owners: dict[Key, tuple[int, int]] = {}
    all_labels: dict[Key, int] = {}
    for rank, part in enumerate(parts):
        for place, (key, label) in enumerate(part):
            owners.setdefault(key, (rank, place))
            all_labels.setdefault(key, label)
    mine = [place for place, (key, _) in enumerate(found) if owners[key] == (get_rank(), place)]
    joined = torch.cat(vectors)
    if len(mine) < len(joined):
        joined = joined[mine]
    labels = torch.tensor([found[place][1] for place in mine], device=joined.device)
    return Features(joined, labels, [found[place][0] for place in mine], all_labels, annotations)
