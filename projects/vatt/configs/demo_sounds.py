"""Demo: the audio encoder of demo_pretrain.py finetuned on the sounds of the demo, each of two classes of twelve.

After audio_audioset_base.py for a CPU core: 200 steps of 32 sounds of 2 s. Classes are the shape that moves and what it
does.
"""

from mmengine.config import read_base

from omnivl.datasets import MultiLabelDataset
from omnivl.datasets.annotations import AudioSetCSV
from omnivl.evaluation import MultiLabelEvaluation
from omnivl.weights import StageReader
from projects.vatt.model import VATTAudioClassifier

with read_base():
    from .demo_pretrain import *

audioset = dict(
    type=AudioSetCSV,
    visual_root=f'{data_root}/video_labels',
    classes_file=f'{data_root}/annotations/class_labels_indices.csv',
    path_template='{youtube_id}.mp4',
)
sounds = {
    split: dict(
        type=MultiLabelDataset,
        name=f'demo_sounds_{split}',
        annotations=dict(audioset, ann_file=f'{data_root}/annotations/audioset_{split}.csv'),
        pipeline=audio_test_pipeline,
    )
    for split in ('train', 'test')
}
model = dict(type=VATTAudioClassifier, trunk=trunk, num_classes=12, multi_label=True, mixup=0.0)
train_dataloader = dict(
    audio=dict(batch_size=32, num_workers=1, sampler=dict(type=EpochSampler), dataset=sounds['train'])
)
max_iters = 200
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler[0].end = 20
param_scheduler[1].update(begin=max_iters // 2, end=max_iters)
default_hooks.checkpoint.interval = max_iters
load_from = dict(type=StageReader, file=f'{demo_work_dir}/vatt')
test_dataloader = {'sounds.classes': dict(video_loader, dataset=sounds['test'])}
test_evaluator = {'sounds.classes': dict(type=MultiLabelEvaluation)}
