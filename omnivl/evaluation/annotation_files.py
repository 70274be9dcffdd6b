"""Which annotations an evaluation was made on, so that figures of other files are not taken for the same."""

import os
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

from omnivl.datasets import MixedDataset, VisualDataset
from omnivl.storage.hashes import file_sha256, folder_sha256


def describe_annotations(dataset: object) -> list[dict[str, Any]]:
    """Describe a dataset of omnivl, or each of a mixture, with the SHA-256 of its files; the same on every rank.

    Each set has ``name, reader, visual_root, split, items`` and ``files``: option of the reader -> ``file, sha256``. Of
    a folder of annotation files (HMDB51's) it is that of them all, one after the other in the order of their names.
    Sets without annotation files, such as a folder for each class, have none.
    """
    datasets = dataset.datasets if isinstance(dataset, MixedDataset) else [dataset]
    described = [[_describe(one) for one in datasets if isinstance(one, VisualDataset)] if is_main_process() else []]
    broadcast_object_list(described)
    return described[0]


def _describe(dataset: VisualDataset) -> dict[str, Any]:
    reader = dataset.reader
    files = {
        option: dict(file=value, sha256=file_sha256(value))
        for option, value in sorted(vars(reader).items())
        if isinstance(value, str) and option.endswith('file') and os.path.isfile(value)
    }
    folder = getattr(reader, 'splits_root', None)
    if folder is not None and os.path.isdir(folder):
        files['splits_root'] = dict(file=folder, sha256=folder_sha256(folder))
    return dict(
        name=dataset.name,
        reader=type(reader).__name__,
        visual_root=reader.visual_root,
        split=getattr(reader, 'split', None),
        items=len(dataset),
        files=files,
    )
