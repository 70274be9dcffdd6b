"""Demo: as ``demo_pretrain.py``, with the sound of the clips: contrasted with frames and texts, and told by classes.

It needs the corpus with sound, ``python -m projects.demo.make_corpus --sound 1 --out FOLDER`` (see
``OMNIVL_DEMO_DATA``). A tenth of the clips is silent. A clip of 16 frames lasts 2 s; a sound has two classes, what it
does and the shape of what moves.
"""

from mmengine.config import read_base

from omnivl.datasets import MultiLabelDataset
from omnivl.datasets.annotations import AudioSetCSV
from omnivl.datasets.transforms import LoadAudio, LoadSoundtrack
from omnivl.evaluation import PairRetrievalEvaluation

with read_base():
    from .demo_pretrain import *

sound = dict(seconds=2.0, rate=16000)
soundtrack = dict(type=LoadSoundtrack, **sound)
heard = [*describe[:-1], dict(type=PackSample, beside=['audio'])]
video_audio_pipeline = [dict(type=LoadVideo, num_frames=4, random=True), soundtrack, *resize, *augment, *heard]
video_audio_test_pipeline = [dict(type=LoadVideo, num_frames=4), soundtrack, *resize, *heard]
audio_test_pipeline = [dict(type=LoadAudio, **sound), dict(type=PackSample)]
audio_label_train = dict(
    type=MultiLabelDataset,
    name='demo_audio_label',
    annotations=dict(
        type=AudioSetCSV,
        ann_file=f'{data_root}/annotations/audioset_train.csv',
        classes_file=f'{data_root}/annotations/class_labels_indices.csv',
        visual_root=f'{data_root}/video_labels',
        path_template='{youtube_id}.mp4',
    ),
    pipeline=audio_test_pipeline,
)
train_dataloader.update(
    video_audio_text=dict(loader, losses=('contrast',), dataset=dict(video_text_train, pipeline=video_audio_pipeline)),
    audio_label=dict(loader, losses=('class',), dataset=audio_label_train),
)
tasks.update(
    video_audio_text=dict(drop=dict(visual=0.25)),
    audio_label=dict(classes=audio_label_train['annotations']),
)
model.tasks = tasks
train_cfg.proportions = dict(
    image_text=2, image_label=1, video_text=1, video_label=1, video_audio_text=2, audio_label=1
)
test_dataloader['video.sound'] = dict(
    video_loader, dataset=dict(video_text['test'], pipeline=video_audio_test_pipeline)
)
test_evaluator['video.sound'] = dict(type=PairRetrievalEvaluation, first='video', second='audio')
