"""The sets that both stages of pretraining are trained on, a handful of files each in the published form."""

import json
from pathlib import Path

from benchmark_runs import write_image, write_video
from mmengine.config import Config
from test_action_benchmarks import write_kinetics400
from test_classify_benchmarks import write_imagenet
from test_retrieval_benchmarks import coco

GENOME = [2366000 + number for number in range(5)]


def write_training_sets(root: Path, config: Config) -> None:
    """Write four pictures or clips of each set; of Visual Genome a fifth, which COCO's test has, too."""
    coco(root)  # val and test, which Visual Genome is compared with
    for source in config.train_dataloader.image.dataset.datasets[:5]:
        reader = source.annotations.get('annotations', source.annotations)
        genome = source.name == 'visual_genome'
        images = [f'image/{number}.jpg' for number in GENOME] if genome else [f'{number}.jpg' for number in range(4)]
        rows = [
            dict(image=image, caption=f'a red dog {number}', image_id=f'{number}')
            for number, image in enumerate(images)
        ]
        (root / reader.ann_file).parent.mkdir(parents=True, exist_ok=True)
        (root / reader.ann_file).write_text(json.dumps(rows))
        for number, image in enumerate(images):
            write_image(root / reader.visual_root / image, number)
    known = [
        dict(image_id=number, url=f'https://cs.edu/VG_100K/{number}.jpg', coco_id=10 if number == GENOME[-1] else None)
        for number in GENOME
    ]
    (root / 'data/visual_genome/image_data.json').write_text(json.dumps(known))
    write_imagenet(root)
    if 'video' in config.train_dataloader:
        write_kinetics400(root)
        reader = config.train_dataloader.video.dataset.datasets[0].annotations
        (root / reader.ann_file).parent.mkdir(parents=True)
        lines = [
            'videoid,contentUrl,duration,page_dir,name',
            *(f'{number},u,PT3S,p,a man {number}' for number in range(4)),
        ]
        (root / reader.ann_file).write_text('\n'.join(lines) + '\n')
        for number in range(4):
            write_video(root / reader.visual_root / f'p/{number}.mp4', number)
