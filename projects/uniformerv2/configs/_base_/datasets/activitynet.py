"""ActivityNet 1.3 in its official file, 200 classes: trained on the segments with an action, tested on whole videos."""

from omnivl.datasets import LabelDataset
from projects.uniformerv2.data import ActivityNetJSON

activitynet_annotations = dict(
    type=ActivityNetJSON,
    ann_file='data/activitynet/annotations/activity_net.v1-3.min.json',
    visual_root='data/activitynet/videos',
)
activitynet_train = dict(
    type=LabelDataset,
    name='activitynet',
    annotations=dict(activitynet_annotations, subset='training'),
    broken='replace',
    max_broken_share=0.1,
)
activitynet_test = dict(
    type=LabelDataset,
    name='activitynet_test',
    annotations=dict(activitynet_annotations, subset='validation', whole_videos=True),
    broken='skip',
    max_broken_share=0.1,
)
