"""Readers of CIFAR, Food-101, DTD and Pets, on a handful of rows in the published form, and CIFAR's pictures."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from omnivl.datasets import AnnotationError, BrokenVisualError, LabelDataset
from omnivl.datasets.annotations import CIFARBinary, ClassImageList, OxfordPetsList
from omnivl.datasets.labels import configured_classes, distinct_names
from omnivl.datasets.transforms import LoadCIFAR, PackSample
from omnivl.registry import ANNOTATIONS

CIFAR10 = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
PETS = ['Abyssinian', 'american_bulldog', 'yorkshire_terrier']


def write_cifar(folder, name, labels, extra=b'', seed=0):
    """Records of a label (after ``extra``) and of random pixels, which are returned as uint8 (N, 3, 32, 32)."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
    (folder / name).write_bytes(b''.join(extra + bytes([label]) + p.tobytes() for label, p in zip(labels, pixels)))
    return pixels


@pytest.fixture
def cifar10(tmp_path):
    folder = tmp_path / 'cifar-10-batches-bin'
    for number in range(1, 6):
        write_cifar(folder, f'data_batch_{number}.bin', [number, 9], seed=number)
    write_cifar(folder, 'test_batch.bin', [3, 8, 0])
    (folder / 'batches.meta.txt').write_text('\n'.join(CIFAR10) + '\n\n')
    return folder


def test_cifar10(cifar10):
    reader = CIFARBinary(str(cifar10), 'train')
    assert reader.classes == CIFAR10
    records = list(reader)
    assert [record.label for record in records] == [CIFAR10[label] for number in range(1, 6) for label in (number, 9)]
    assert records[3].visual == str(cifar10 / 'data_batch_2.bin') + '#1' and records[3].id == 'data_batch_2.bin#1'
    assert [record.label for record in CIFARBinary(str(cifar10), 'test')] == ['cat', 'ship', 'airplane']


def test_cifar100_has_the_fine_classes(tmp_path):
    folder = tmp_path / 'cifar-100-binary'
    write_cifar(folder, 'train.bin', [0, 99, 4], extra=b'\x13')
    names = [f'class_{number}' for number in range(100)]
    (folder / 'fine_label_names.txt').write_text('\n'.join(names))
    reader = CIFARBinary(str(folder), 'train', num_classes=100)
    assert [record.label for record in reader] == ['class_0', 'class_99', 'class_4']
    assert reader.class_names[4] == 'class 4'


def test_pictures_are_those_of_the_file(cifar10):
    pixels = write_cifar(cifar10, 'test_batch.bin', [3, 8, 0], seed=7)
    dataset = LabelDataset(CIFARBinary(str(cifar10), 'test'), [LoadCIFAR(), PackSample()], 'cifar10')
    for number in range(3):
        item = dataset[number]
        assert np.array_equal(item['inputs']['image'].numpy(), pixels[number][None])
        assert item['data_samples'].label == [3, 8, 0][number]
        assert 'text' not in item['data_samples']


def test_other_visuals_are_loaded_as_images(tmp_path):
    Image.new('RGB', (5, 4), (255, 0, 0)).save(tmp_path / 'odd#1.png')
    frames = LoadCIFAR()({'visual': str(tmp_path / 'odd#1.png')})['frames']
    assert frames.shape == (1, 4, 5, 3) and frames[0, 0, 0].tolist() == [255, 0, 0]
    assert repr(LoadCIFAR()).startswith("LoadCIFAR(backend='pillow', short_side=None")


@pytest.mark.parametrize(
    ('visual', 'reason'),
    [
        ('test_batch.bin#3', 'the file has 3 pictures'),
        ('data_batch_9.bin#0', "'data_batch_9.bin' is no binary file of CIFAR"),
        ('train.bin#0', 'No such file'),
        ('data_batch_1.bin#0', '6145 bytes are no whole number of records of 3073 bytes'),
    ],
)
def test_broken_pictures(cifar10, visual, reason):
    (cifar10 / 'data_batch_1.bin').write_bytes(bytes(6145))
    with pytest.raises(BrokenVisualError, match=reason):
        LoadCIFAR()({'visual': str(cifar10 / visual)})


def test_cifar_errors(cifar10):
    with pytest.raises(ValueError, match=r"CIFARBinary: num_classes=20, split='train'; allowed are \[\(10, 'test'\)"):
        CIFARBinary(str(cifar10), 'train', num_classes=20)
    (cifar10 / 'test_batch.bin').write_bytes(bytes([10]) + bytes(3072))
    with pytest.raises(AnnotationError, match=r'test_batch\.bin, record 0.*label.*10, but there are 10 classes'):
        list(CIFARBinary(str(cifar10), 'test'))
    (cifar10 / 'test_batch.bin').write_bytes(bytes(100))
    with pytest.raises(AnnotationError, match='100 bytes are no whole number of records of 3073 bytes'):
        list(CIFARBinary(str(cifar10), 'test'))
    (cifar10 / 'batches.meta.txt').write_text('airplane\n')
    with pytest.raises(AnnotationError, match='1 names for 10 classes'):
        list(CIFARBinary(str(cifar10), 'train'))
    (cifar10 / 'batches.meta.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r"the file .*batches\.meta\.txt' does not exist; set 'visual_root'"):
        list(CIFARBinary(str(cifar10), 'train'))
    (cifar10 / 'batches.meta').touch()
    with pytest.raises(AnnotationError, match='holds the Python version of CIFAR-10; take the binary version'):
        list(CIFARBinary(str(cifar10), 'train'))


@pytest.fixture
def food(tmp_path):
    for label in ('waffles', 'apple_pie'):
        (tmp_path / 'images' / label).mkdir(parents=True)
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta/train.txt').write_text('apple_pie/1005649\nwaffles/77\napple_pie/3\n')
    return tmp_path


def lists(root, **options):
    return ClassImageList(str(root / 'meta/train.txt'), str(root / 'images'), **options)


def test_food101(food):
    reader = lists(food, suffix='.jpg')
    assert reader.classes == ['apple_pie', 'waffles'] and reader.class_names == ['apple pie', 'waffles']
    assert [(record.id, record.label) for record in reader] == [
        ('apple_pie/1005649', 'apple_pie'), ('waffles/77', 'waffles'), ('apple_pie/3', 'apple_pie'),
    ]  # fmt: skip
    assert next(iter(reader)).visual == str(food / 'images/apple_pie/1005649.jpg')


def test_dtd_and_a_class_that_its_list_lacks(food):
    (food / 'meta/train.txt').write_text('waffles/waffles_0002.jpg\n')
    reader = lists(food)
    assert [(record.visual, record.label) for record in reader] == [
        (str(food / 'images/waffles/waffles_0002.jpg'), 'waffles')
    ]
    assert reader.classes == ['apple_pie', 'waffles']


def test_list_errors(food):
    (food / 'meta/train.txt').write_text('apple_pie/1\nwafles/2\n')
    with pytest.raises(AnnotationError, match=r"line 2.*unknown label 'wafles'.*did you mean 'waffles'"):
        list(lists(food))
    (food / 'meta/train.txt').write_text('apple_pie\n')
    with pytest.raises(AnnotationError, match=r'expected "class/image", got \'apple_pie\''):
        list(lists(food))
    with pytest.raises(FileNotFoundError, match=r"ClassImageList: the folder '.*nowhere' does not exist"):
        list(ClassImageList(str(food / 'meta/train.txt'), str(food / 'nowhere')))
    with pytest.raises(FileNotFoundError, match=r"ClassImageList: the file '.*none\.txt' does not exist"):
        list(ClassImageList(str(food / 'none.txt'), str(food / 'images')))


@pytest.fixture
def pets(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'annotations').mkdir()
    head = '#Image CLASS-ID SPECIES BREED ID\n'
    rows = [f'{breed}_{number} {index} 1 1\n' for index, breed in enumerate(PETS, 1) for number in (7, 100)]
    (tmp_path / 'annotations/list.txt').write_text(head + ''.join(rows))
    (tmp_path / 'annotations/test.txt').write_text('yorkshire_terrier_7 3 2 25\nAbyssinian_100 1 1 1\n')
    return tmp_path


def pet_list(root):
    return OxfordPetsList(*(str(root / name) for name in ('annotations/test.txt', 'images', 'annotations/list.txt')))


def test_pets_have_the_classes_of_the_whole_set(pets):
    reader = pet_list(pets)
    assert reader.classes == PETS and reader.class_names[1] == 'american bulldog'
    assert [(record.id, record.label) for record in reader] == [
        ('yorkshire_terrier_7', 'yorkshire_terrier'), ('Abyssinian_100', 'Abyssinian'),
    ]  # fmt: skip
    assert next(iter(reader)).visual == str(pets / 'images/yorkshire_terrier_7.jpg')


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('test.txt', 'Abyssinian_100 2 1 1\n', r"line 1.*breed 2 is not 'Abyssinian' in .*list\.txt, which has 3"),
        ('test.txt', 'Abyssinian_100 4 1 1\n', "breed 4 is not 'Abyssinian'"),
        ('test.txt', 'Abyssinian_100\n', 'expected "Abyssinian_100 1 1 1", got'),
        ('list.txt', 'Abyssinian_1 1 1 1\nBengal_1 1 1 1\n', "breed 1 is 'Bengal' here and 'Abyssinian' before"),
        ('list.txt', 'Abyssinian_1 2 1 1\n', 'the breeds must be numbered from 1 and differ'),
    ],
)
def test_pets_errors(pets, name, text, message):
    (pets / 'annotations' / name).write_text(text)
    with pytest.raises(AnnotationError, match=message):
        list(pet_list(pets))


def test_class_names_of_a_config_as_far_as_they_are_here(food):
    def loaders(*readers):
        return {str(number): {'dataset': {'annotations': reader}} for number, reader in enumerate(readers)}

    folders = {'type': 'ImageNetFolder', 'visual_root': f'{food}/images'}
    captions = {'type': 'BLIPCaptionJSON', 'ann_file': f'{food}/list.json', 'visual_root': ''}
    gone = {'type': 'ImageNetFolder', 'visual_root': f'{food}/gone'}
    assert configured_classes(loaders(captions, gone, folders)) == ['apple pie', 'waffles']
    assert configured_classes(loaders(captions, gone)) is None
    assert configured_classes({'mixture': {'dataset': {'datasets': []}}}) is None and configured_classes(None) is None
    assert distinct_names(['crane', 'dog', 'crane']) == ['crane (0)', 'dog', 'crane (2)']


@pytest.fixture
def flowers(tmp_path):
    (tmp_path / 'jpg').mkdir()
    savemat(tmp_path / 'imagelabels.mat', dict(labels=np.array([[77, 2, 300, 77, 1]], np.float64)), do_compression=True)
    splits = dict(trnid=np.array([[5, 1]], np.uint16), valid=np.array([[2]]), tstid=np.array([[3, 4, 9]]))
    savemat(tmp_path / 'setid.mat', splits)
    return tmp_path


def flower_list(folder, **options):
    files = dict(ann_file=str(folder / 'setid.mat'), labels_file=str(folder / 'imagelabels.mat'))
    return ANNOTATIONS.build(dict(type='Flowers102', visual_root=str(folder / 'jpg'), split='train') | files | options)


def test_flowers_are_those_of_the_files_of_matlab(flowers):
    """Numbers stored as any kind, small or large, compressed or not."""
    first, second = flower_list(flowers)
    assert (first.visual, first.label) == (str(flowers / 'jpg/image_00005.jpg'), '1') and second.label == '77'
    assert [record.label for record in flower_list(flowers, split='val')] == ['2']
    assert len(flower_list(flowers).classes) == 300
    (flowers / 'names.json').write_text(json.dumps({str(number): f'flower {number}' for number in range(1, 301)}))
    reader = flower_list(flowers, class_names_file=str(flowers / 'names.json'))
    assert reader.class_names[76] == 'flower 77'


def test_what_is_wrong_with_the_files_of_flowers(flowers):
    with pytest.raises(AnnotationError, match=r"no 'tset' in it; allowed are \['train', 'val', 'test'\]"):
        list(flower_list(flowers, split='tset'))
    with pytest.raises(AnnotationError, match='no label for picture 9'):
        list(flower_list(flowers, split='test'))
    (flowers / 'names.json').write_text('{"1": "pink primrose"}')
    with pytest.raises(AnnotationError, match='no words for the classes'):
        assert flower_list(flowers, class_names_file=str(flowers / 'names.json')).class_names
    whole = (flowers / 'imagelabels.mat').read_bytes()
    for content in (b'text', whole[:150]):
        (flowers / 'imagelabels.mat').write_bytes(content)
        with pytest.raises(AnnotationError, match=r'imagelabels\.mat.* cannot be read as a MATLAB file: .'):
            list(flower_list(flowers))
