"""HACS Segments in its official file, 200 classes: trained on the segments with an action, tested on whole videos."""

from omnivl.datasets import LabelDataset
from projects.uniformerv2.data import ActivityNetJSON

hacs_annotations = dict(
    type=ActivityNetJSON,
    ann_file='data/hacs/annotations/HACS_segments_v1.1.1.json',
    visual_root='data/hacs/videos',
)
hacs_train = dict(
    type=LabelDataset,
    name='hacs',
    annotations=dict(hacs_annotations, subset='training'),
    broken='replace',
    max_broken_share=0.1,
)
hacs_test = dict(
    type=LabelDataset,
    name='hacs_test',
    annotations=dict(hacs_annotations, subset='validation', whole_videos=True),
    broken='skip',
    max_broken_share=0.1,
)
