"""Demo: the audio encoder of demo_pretrain.py finetuned on the sounds of the demo, each of two classes of twelve.

After audio_audioset_base.py for a CPU core: 200 steps of 32 sounds of 2 s. Classes are the shape that moves and what it
does.
"""

from mmengine.config import read_base

from omnivl.datasets import MultiLabelDataset
from omnivl.datasets.annotations import AudioSetCSV
from omnivl.datasets.transforms import LoadAudio
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
sound_pipeline = [dict(type=LoadAudio, seconds=2.0, rate=8000), dict(type=PackSample)]
sounds = {
    split: dict(
        type=MultiLabelDataset,
        name=f'demo_sounds_{split}',
        annotations=dict(audioset, ann_file=f'{data_root}/annotations/audioset_{split}.csv'),
        pipeline=sound_pipeline,
    )
    for split in ('train', 'test')
}
model = dict(type=VATTAudioClassifier, trunk=trunk, num_classes=12, multi_label=True, mixup=0.0)
train_dataloader = dict(
    audio=dict(batch_size=32, num_workers=1, sampler=dict(type=EpochSampler), dataset=sounds['train'])
)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=200)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, end=20),
    dict(type=CosineAnnealingLR, by_epoch=False, begin=20, T_max=180, eta_min_ratio=0.05),
]
default_hooks.checkpoint.interval = 200
load_from = dict(type=StageReader, file=f'{demo_work_dir}/vatt')
test_dataloader = {'sounds.classes': dict(video_loader, dataset=sounds['test'])}
test_evaluator = {'sounds.classes': dict(type=MultiLabelEvaluation)}
