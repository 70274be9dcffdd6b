"""Image classification on tiny sets in the published form: finetuning, linear probes and classes by prompts."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmark_runs import run_small, write_image, write_video

WNIDS = {'n01440764': 'tench', 'n01443537': 'goldfish', 'n02012849': 'crane'}
FOODS = ('apple_pie', 'baklava', 'waffles')
TEXTURES = ('banded', 'polka-dotted', 'zigzagged')
BREEDS = ('Abyssinian', 'american_bulldog', 'yorkshire_terrier')


def write_imagenet(root: Path) -> None:
    """Folders of classes; one class is missing in the validation set, though its folder is there."""
    data = root / 'data/imagenet'
    for split, count in (('train', 4), ('val', 2)):
        for index, wnid in enumerate(WNIDS):
            (data / split / wnid).mkdir(parents=True)
            for number in range(0 if (split, index) == ('val', 2) else count):
                write_image(data / split / wnid / f'{wnid}_{number}.JPEG', 10 * index + number)
    (data / 'meta').mkdir()
    (data / 'meta/class_names.json').write_text(json.dumps(WNIDS))


def write_cifar(path: Path, count: int, label_bytes: int) -> None:
    """Records of the binary version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = np.random.default_rng(count).integers(0, 256, (count, label_bytes + 3072), dtype=np.uint8)
    records[:, :label_bytes] = np.arange(count)[:, None] % 3
    path.write_bytes(records.tobytes())


def write_cifar10(root: Path) -> None:
    folder = root / 'data/cifar10/cifar-10-batches-bin'
    for number in range(1, 6):
        write_cifar(folder / f'data_batch_{number}.bin', 4, 1)
    write_cifar(folder / 'test_batch.bin', 5, 1)
    (folder / 'batches.meta.txt').write_text('\n'.join(f'class{chr(97 + number)}' for number in range(10)) + '\n\n')


def write_cifar100(root: Path) -> None:
    folder = root / 'data/cifar100/cifar-100-binary'
    write_cifar(folder / 'train.bin', 12, 2)
    write_cifar(folder / 'test.bin', 5, 2)
    (folder / 'fine_label_names.txt').write_text('\n'.join(f'class_{number}' for number in range(100)) + '\n')


def write_food101(root: Path) -> None:
    """Lists without suffixes."""
    data = root / 'data/food-101'
    (data / 'meta').mkdir(parents=True)
    (data / 'meta/classes.txt').write_text('\n'.join(FOODS) + '\n')
    for split, numbers in (('train', range(4)), ('test', range(4, 6))):
        names = [f'{food}/{number}' for food in FOODS for number in numbers]
        (data / f'meta/{split}.txt').write_text('\n'.join(names) + '\n')
        for seed, name in enumerate(names):
            write_image(data / f'images/{name}.jpg', seed)


def write_pets(root: Path) -> None:
    """The test list lacks a breed."""
    data = root / 'data/oxford-iiit-pet'
    (data / 'annotations').mkdir(parents=True)
    rows = {'trainval': [], 'test': []}
    for breed, name in enumerate(BREEDS, 1):
        for number in range(6):
            write_image(data / f'images/{name}_{number}.jpg', 10 * breed + number)
            if number < 4 or breed < 3:
                rows['trainval' if number < 4 else 'test'].append(f'{name}_{number} {breed} 1 1')
    for split, lines in rows.items():
        (data / f'annotations/{split}.txt').write_text('\n'.join(lines) + '\n')
    header = ['#Image CLASS-ID SPECIES BREED ID', '#ID: 1:37 Class ids']
    (data / 'annotations/list.txt').write_text('\n'.join([*header, *rows['trainval'], *rows['test']]) + '\n')


def write_dtd(root: Path) -> None:
    """Lists of three splits."""
    data = root / 'data/dtd'
    (data / 'labels').mkdir(parents=True)
    for place, split in enumerate(('train', 'val', 'test')):
        names = [f'{texture}/{texture}_{number + 10 * place:04d}.jpg' for texture in TEXTURES for number in range(2)]
        (data / f'labels/{split}1.txt').write_text('\n'.join(names) + '\n')
        for seed, name in enumerate(names):
            write_image(data / f'images/{name}', 10 * place + seed)


def write_flowers102(root: Path) -> None:
    """MATLAB's files, as scipy writes them: numbers from 1, in rows."""
    from scipy.io import savemat

    data = root / 'data/flowers-102'
    data.mkdir(parents=True)
    labels = np.arange(24) % 3 + 1
    for number in range(1, 25):
        write_image(data / f'jpg/image_{number:05d}.jpg', number)
    splits = dict(trnid=np.arange(1, 7), valid=np.arange(7, 13), tstid=np.arange(24, 12, -1))
    savemat(data / 'imagelabels.mat', dict(labels=labels.astype(np.uint8)), do_compression=True)
    savemat(data / 'setid.mat', {name: numbers.astype(np.uint16) for name, numbers in splits.items()})


def write_kinetics400(root: Path) -> None:
    """The validation list."""
    data, labels = root / 'data/kinetics400', ('abseiling', 'air drumming')
    (data / 'annotations').mkdir(parents=True)
    lines = ['label,youtube_id,time_start,time_end,split,is_cc']
    for index in range(4):
        lines.append(f'{labels[index % 2]},clip{index},0,10,validate,0')
        write_video(data / f'val/{labels[index % 2].replace(" ", "_")}/clip{index}_000000_000010.mp4', index)
    (data / 'annotations/validate.csv').write_text('\n'.join(lines) + '\n')


WRITERS = {
    'imagenet': write_imagenet,
    'cifar10': write_cifar10,
    'cifar100': write_cifar100,
    'food101': write_food101,
    'pets': write_pets,
    'dtd': write_dtd,
    'flowers102': write_flowers102,
    'kinetics400': write_kinetics400,
}


def check(figures: dict[str, float], name: str) -> None:
    """The three figures of classification, all of them shares."""
    for metric in ('top1', 'top5', 'per_class'):
        assert 0 <= figures[f'{name}.{metric}'] <= 100


@pytest.mark.parametrize('name', [name for name in WRITERS if name != 'kinetics400'])
def test_probe(name, tmp_path):
    WRITERS[name](tmp_path)
    check(run_small(f'probe_{name}.py', tmp_path, train=False), f'{name}.linear_probe')
    metrics = json.loads((tmp_path / f'work_dirs/probe_{name}/metrics.json').read_text())
    protocol = metrics['protocol'][f'{name}.linear_probe']
    counts = dict(dict.fromkeys(WRITERS, 12), cifar10=20)
    assert protocol['training_visuals'] == counts[name]
    assert protocol['held_out_visuals'] == (6 if name in ('dtd', 'flowers102') else int(0.2 * counts[name]))
    assert protocol['classes'] == {'cifar10': 10, 'cifar100': 100}.get(name, 3)
    missing = {'imagenet': 1, 'pets': 1, 'cifar10': 7, 'cifar100': 97}
    assert protocol['classes_without_samples'] == missing.get(name, 0)
    assert metrics['chance'][name]['linear_probe']['top1'] == pytest.approx(100 / protocol['classes'])


def test_finetuning_on_imagenet(tmp_path):
    def edits(cfg):
        cfg.model.num_classes = len(WNIDS)

    write_imagenet(tmp_path)
    check(run_small('classify_imagenet.py', tmp_path, edits), 'image.classification')
    rows = json.loads((tmp_path / 'work_dirs/classify_imagenet/predictions/image.classification.json').read_text())
    assert len(rows) == 4 and {row['label'] for row in rows} == {'tench', 'goldfish'}
    for row in rows:
        assert sum(row['scores'].values()) == pytest.approx(1)


def test_classes_by_prompts(tmp_path):
    for write in WRITERS.values():
        write(tmp_path)
    figures = run_small('zero_shot_classification.py', tmp_path, train=False)
    for name in WRITERS.keys() - {'flowers102'}:  # whose classes have no names in its files
        check(figures, f'{name}.zero_shot')
