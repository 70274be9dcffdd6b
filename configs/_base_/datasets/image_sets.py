"""The smaller sets of the linear probe, in their published folders: CIFAR-10/100, Food-101, Oxford-IIIT Pets, DTD,
Flowers-102.

Train / test: CIFAR 50,000 / 10,000; Food-101 75,750 / 25,250, 101 classes; Pets 3,680 / 3,669, 37 classes; DTD, split 1
of ten, 1,880 / 1,880 and as many for validation, 47 classes; Flowers-102 1,020 / 6,149 and
1,020 for validation. What torchvision downloads of the last four fits, too.
"""

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import CIFARBinary, ClassImageList, Flowers102, OxfordPetsList

cifar10 = dict(type=CIFARBinary, visual_root='data/cifar10/cifar-10-batches-bin', num_classes=10)
cifar10_train = dict(type=LabelDataset, name='cifar10_train', annotations=dict(cifar10, split='train'))
cifar10_test = dict(type=LabelDataset, name='cifar10_test', annotations=dict(cifar10, split='test'))

cifar100 = dict(type=CIFARBinary, visual_root='data/cifar100/cifar-100-binary', num_classes=100)
cifar100_train = dict(type=LabelDataset, name='cifar100_train', annotations=dict(cifar100, split='train'))
cifar100_test = dict(type=LabelDataset, name='cifar100_test', annotations=dict(cifar100, split='test'))

food101 = dict(
    type=ClassImageList,
    visual_root='data/food-101/images',
    suffix='.jpg',
    classes_file='data/food-101/meta/classes.txt',
)
food101_train = dict(
    type=LabelDataset, name='food101_train', annotations=dict(food101, ann_file='data/food-101/meta/train.txt')
)
food101_test = dict(
    type=LabelDataset, name='food101_test', annotations=dict(food101, ann_file='data/food-101/meta/test.txt')
)

pets = dict(
    type=OxfordPetsList,
    visual_root='data/oxford-iiit-pet/images',
    classes_file='data/oxford-iiit-pet/annotations/list.txt',
)
pets_train = dict(
    type=LabelDataset,
    name='pets_train',
    annotations=dict(pets, ann_file='data/oxford-iiit-pet/annotations/trainval.txt'),
)
pets_test = dict(
    type=LabelDataset, name='pets_test', annotations=dict(pets, ann_file='data/oxford-iiit-pet/annotations/test.txt')
)

dtd = dict(type=ClassImageList, visual_root='data/dtd/images')
dtd_train = dict(type=LabelDataset, name='dtd_train', annotations=dict(dtd, ann_file='data/dtd/labels/train1.txt'))
dtd_val = dict(type=LabelDataset, name='dtd_val', annotations=dict(dtd, ann_file='data/dtd/labels/val1.txt'))
dtd_test = dict(type=LabelDataset, name='dtd_test', annotations=dict(dtd, ann_file='data/dtd/labels/test1.txt'))

flowers102 = dict(
    type=Flowers102,
    ann_file='data/flowers-102/setid.mat',
    labels_file='data/flowers-102/imagelabels.mat',
    visual_root='data/flowers-102/jpg',
)
flowers102_train = dict(type=LabelDataset, name='flowers102_train', annotations=dict(flowers102, split='train'))
flowers102_val = dict(type=LabelDataset, name='flowers102_val', annotations=dict(flowers102, split='val'))
flowers102_test = dict(type=LabelDataset, name='flowers102_test', annotations=dict(flowers102, split='test'))
