"""The demo corpus of ``projects/demo/make_corpus.py``, through the readers of the public formats."""

from mmengine.config import read_base

from omnivl.datasets import LabelDataset, PairDataset, RetrievalDataset
from omnivl.datasets.annotations import ImageNetFolder, KarpathyJSON, KineticsCSV, WebVidCSV

with read_base():
    from .paths import *

image_templates = ['a photo of a {}', 'a picture of a {}', 'one {} alone']
video_templates = ['a video of a shape {}', 'something {}', 'a shape {} near another']

karpathy = dict(
    type=KarpathyJSON, ann_file=f'{data_root}/annotations/dataset_demo.json', visual_root=f'{data_root}/images'
)
imagenet = dict(type=ImageNetFolder, visual_root=f'{data_root}/image_labels')
webvid = dict(type=WebVidCSV, visual_root=f'{data_root}/videos')
kinetics = dict(type=KineticsCSV, visual_root=f'{data_root}/video_labels')

image_text_train = dict(type=PairDataset, name='demo_image_text', annotations=dict(karpathy, split='train'))
image_label_train = dict(
    type=LabelDataset, name='demo_image_label', annotations=dict(imagenet, split='train'), templates=image_templates
)
video_text_train = dict(
    type=PairDataset,
    name='demo_video_text',
    annotations=dict(webvid, ann_file=f'{data_root}/annotations/webvid_train.csv'),
)
video_label_train = dict(
    type=LabelDataset,
    name='demo_video_label',
    annotations=dict(kinetics, ann_file=f'{data_root}/annotations/kinetics_train.csv'),
    templates=video_templates,
)

image_text = {
    split: dict(type=RetrievalDataset, name=f'demo_image_text_{split}', annotations=dict(karpathy, split=split))
    for split in ('val', 'test', 'test_unseen')
}
video_text = {
    split: dict(
        type=RetrievalDataset,
        name=f'demo_video_text_{split}',
        annotations=dict(webvid, ann_file=f'{data_root}/annotations/webvid_{split}.csv'),
    )
    for split in ('val', 'test', 'test_unseen')
}
image_label = {
    split: dict(
        type=LabelDataset,
        name=f'demo_image_label_{split}',
        annotations=dict(imagenet, split=split),
        templates=image_templates,
    )
    for split in ('val', 'test')
}
video_label = {
    split: dict(
        type=LabelDataset,
        name=f'demo_video_label_{split}',
        annotations=dict(kinetics, ann_file=f'{data_root}/annotations/kinetics_{split}.csv'),
        templates=video_templates,
    )
    for split in ('val', 'test')
}
