"""ImageNet-1K as image-label data: 1.28M images, 1000 classes, CLIP's prompts."""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import ImageNetFolder

imagenet_train = dict(
    type=LabelDataset,
    name='imagenet',
    annotations=dict(
        type=ImageNetFolder,
        visual_root='data/imagenet',
        split='train',
        class_names_file='data/imagenet/meta/class_names.json',
    ),
    templates='clip_image',
    broken='replace',
)
# The validation set, which is what is reported.
imagenet_test = dict(
    type=LabelDataset,
    name='imagenet_test',
    annotations=dict(
        type=ImageNetFolder,
        visual_root='data/imagenet',
        split='val',
        class_names_file='data/imagenet/meta/class_names.json',
    ),
)
