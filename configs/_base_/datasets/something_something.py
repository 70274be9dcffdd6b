"""Something-Something v2 in its official files: 168,913 / 24,777 clips in train / validation, 174 classes.

Its test set has no published labels, so that the validation set is what is reported.
"""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import SomethingSomethingJSON

ssv2_train = dict(
    type=LabelDataset,
    name='ssv2_train',
    annotations=dict(
        type=SomethingSomethingJSON,
        ann_file='data/ssv2/annotations/something-something-v2-train.json',
        labels_file='data/ssv2/annotations/something-something-v2-labels.json',
        visual_root='data/ssv2/videos',
    ),
    broken='replace',
)
ssv2_val = dict(
    type=LabelDataset,
    name='ssv2_val',
    annotations=dict(
        type=SomethingSomethingJSON,
        ann_file='data/ssv2/annotations/something-something-v2-validation.json',
        labels_file='data/ssv2/annotations/something-something-v2-labels.json',
        visual_root='data/ssv2/videos',
    ),
)
