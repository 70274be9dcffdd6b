"""The corpus for finetuning of ``projects/demo/make_tasks.py``, each task in the published form of its benchmark."""

from omnivl.datasets import CaptionDataset, ChoiceDataset, LabelDataset, PairDataset, RetrievalDataset
from omnivl.datasets.annotations import (
    MSRVTTJSON,
    BLIPCaptionJSON,
    ImageNetFolder,
    MSRVTTTestCSV,
    MultipleChoiceList,
    SomethingSomethingJSON,
    YouCook2JSON,
)

# Not in paths.py: where this corpus lies is no setting of pretraining.
tasks_root = __import__('os').environ.get('OMNIVL_DEMO_TASKS', 'data/demo_tasks')

coco = dict(type=BLIPCaptionJSON, visual_root=f'{tasks_root}/coco/images')
coco_train = dict(
    type=PairDataset,
    name='demo_coco_train',
    positives='visual',
    annotations=dict(coco, ann_file=f'{tasks_root}/coco/annotations/coco_karpathy_train.json'),
)
coco_eval = {
    split: dict(
        type=RetrievalDataset,
        name=f'demo_coco_{split}',
        annotations=dict(coco, ann_file=f'{tasks_root}/coco/annotations/coco_karpathy_{split}.json'),
    )
    for split in ('val', 'test')
}
coco_caption = {split: dict(dataset, type=CaptionDataset) for split, dataset in coco_eval.items()}
msrvtt_videos = f'{tasks_root}/msrvtt/videos'
msrvtt_train = dict(
    type=PairDataset,
    name='demo_msrvtt_train',
    positives='visual',
    annotations=dict(
        type=MSRVTTJSON,
        ann_file=f'{tasks_root}/msrvtt/annotations/MSRVTT_data.json',
        visual_root=msrvtt_videos,
        videos_file=f'{tasks_root}/msrvtt/annotations/MSRVTT_train.9k.csv',
    ),
)
msrvtt_eval = {
    split: dict(
        type=RetrievalDataset,
        name=f'demo_msrvtt_{split}',
        annotations=dict(
            type=MSRVTTTestCSV, ann_file=f'{tasks_root}/msrvtt/annotations/{table}', visual_root=msrvtt_videos
        ),
    )
    for split, table in (('val', 'MSRVTT_val.csv'), ('test', 'MSRVTT_JSFUSION_test.csv'))
}
msrvtt_mc = {
    split: dict(
        type=ChoiceDataset,
        name=f'demo_msrvtt_mc_{split}',
        annotations=dict(
            type=MultipleChoiceList,
            ann_file=f'{tasks_root}/msrvtt/annotations/msrvtt_mc_{split}.json',
            visual_root=msrvtt_videos,
        ),
    )
    for split in ('val', 'test')
}
youcook2 = dict(
    type=YouCook2JSON,
    ann_file=f'{tasks_root}/youcook2/annotations/youcookii_annotations_trainval.json',
    visual_root=f'{tasks_root}/youcook2/videos',
    path_template='{subset}/{video}.mp4',
)
youcook2_train = dict(type=PairDataset, name='demo_youcook2_train', annotations=dict(youcook2, split='training'))
# As with YouCook2 itself, everybody tests on `validation`; the demo's settings are chosen on `testing`.
youcook2_eval = {
    split: dict(type=CaptionDataset, name=f'demo_youcook2_{split}', annotations=dict(youcook2, split=subset))
    for split, subset in (('val', 'testing'), ('test', 'validation'))
}
things = {
    split: dict(
        type=LabelDataset,
        name=f'demo_things_{split}',
        annotations=dict(type=ImageNetFolder, visual_root=f'{tasks_root}/things', split=split),
    )
    for split in ('train', 'val', 'test')
}
ssv2 = {
    split: dict(
        type=LabelDataset,
        name=f'demo_ssv2_{split}',
        annotations=dict(
            type=SomethingSomethingJSON,
            ann_file=f'{tasks_root}/ssv2/annotations/something-something-v2-{name}.json',
            labels_file=f'{tasks_root}/ssv2/annotations/something-something-v2-labels.json',
            visual_root=f'{tasks_root}/ssv2/videos',
            path_template='{id}.mp4',
        ),
    )
    for split, name in (('train', 'train'), ('val', 'validation'), ('test', 'test'))
}
