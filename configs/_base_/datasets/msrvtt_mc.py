"""MSRVTT-MC in VindLU's form: 2990 clips, those of MSR-VTT's official test split, with five captions to choose from."""

from omnivl.datasets import ChoiceDataset
from omnivl.datasets.annotations import MultipleChoiceList

msrvtt_mc_test = dict(
    type=ChoiceDataset,
    name='msrvtt_mc_test',
    annotations=dict(
        type=MultipleChoiceList,
        ann_file='data/msrvtt/annotations/msrvtt_mc_test.json',
        visual_root='data/msrvtt/videos',
    ),
)
