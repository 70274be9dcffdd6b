"""Kinetics-710: the training sets of Kinetics-400, 600 and 700 under one list of 710 classes.

Some classes of the three are one under different names, so that label maps say what is what: lists of indices, those of
mmaction2 (``k710_channel_map``). The paper leaves out what is there twice and what one of the three tests on; to do as
the paper does, delete those rows from the CSV files: the sets overlap.
"""

from mmengine.config import read_base

from omnivl.datasets.annotations import MappedClasses

with read_base():
    from ......configs._base_.datasets.kinetics400 import *
    from .kinetics600 import *
    from .kinetics700 import *

kinetics710_classes = 'data/kinetics710/label_map_k710.txt'
kinetics710_train = [
    dict(
        source,
        annotations=dict(
            type=MappedClasses,
            annotations=source['annotations'],
            classes_file=kinetics710_classes,
            label_map=f'data/kinetics710/map_k{number}.json',
        ),
    )
    for number, source in (
        (400, dict(kinetics400_train, templates=None)),
        (600, kinetics600_train),
        (700, kinetics700_train),
    )
]
kinetics710_test = dict(
    kinetics700_test,
    annotations=dict(
        type=MappedClasses,
        annotations=kinetics700_test['annotations'],
        classes_file=kinetics710_classes,
        label_map='data/kinetics710/map_k700.json',
    ),
)
