"""Question answering on tiny sets in the published form: training, then the figures of the test."""

import json
from pathlib import Path

import pytest
from benchmark_runs import CONFIGS, run_small, write_image, write_video
from mmengine.config import Config

ANSWERS = ['yes', 'no', 'red', 'a dog']
QUESTIONS = ['what is the man on', 'is the dog red?', 'what is in the picture?', 'is the man in the video?', 'what?']


def write_json(content: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_vqa_v2(root: Path) -> None:
    """The official files: questions and, but for the test, ten answers each; VG's questions and BLIP's answers."""
    data = root / 'data/vqa_v2'
    for number, (split, folder) in enumerate(
        (('train2014', 'train2014'), ('val2014', 'val2014'), ('test-dev2015', 'test2015')), 1
    ):
        questions, annotations = [], []
        for index, question in enumerate(QUESTIONS):
            image_id = 100 * number + index // 2  # two questions to an image
            write_image(root / f'data/coco/images/{folder}/COCO_{folder}_{image_id:012d}.jpg', image_id)
            row = {'image_id': image_id, 'question_id': 1000 * image_id + index}
            questions.append(row | {'question': question})
            given = [ANSWERS[index % 4]] * 7 + ['something else'] * 3
            kind = ['yes/no', 'number', 'other'][index % 3]
            annotations.append(
                row | {'question_type': 'what', 'answer_type': kind, 'multiple_choice_answer': given[0]}
                | {'answers': [{'answer': text, 'answer_confidence': 'yes', 'answer_id': n} for n, text in
                               enumerate(given, 1)]}
            )  # fmt: skip
        content = {'task_type': 'Open-Ended', 'data_type': 'mscoco', 'data_subtype': split}
        write_json(content | {'questions': questions}, data / f'v2_OpenEnded_mscoco_{split}_questions.json')
        if number < 3:
            write_json(content | {'annotations': annotations}, data / f'v2_mscoco_{split}_annotations.json')
    write_json(ANSWERS, data / 'answer_list.json')
    rows = [{'image': 'image/7.jpg', 'question': 'what is red?', 'answer': 'a dog', 'dataset': 'vg'}] * 2
    write_image(root / 'data/visual_genome/image/7.jpg', 7)
    write_json(rows, root / 'data/visual_genome/vg_qa.json')


def write_video_qa(root: Path, name: str, suffix: str) -> None:
    """VindLU's lists; the test asks for an answer that is not in the list, and of a clip shorter than 16 frames."""
    data = root / 'data' / name
    for number, split in enumerate(('train', 'val', 'test')):
        rows = []
        for index, question in enumerate(QUESTIONS[:4]):
            video = f'video{10 * number + index // 2}{suffix}'
            write_video(data / 'videos' / video, seed=index, num_frames=5 if index < 2 else 24)
            answer = 'a cat' if split == 'test' and index == 3 else ANSWERS[index]
            rows.append({'question_id': index, 'video': video, 'question': question, 'answer': answer})
        write_json(rows, data / f'annotations/{name}_qa_{split}.json')
    write_json(ANSWERS, data / f'annotations/{name}_qa_answer_list.json')


def on_validation_split(cfg: Config) -> None:
    """Test where there are answers, as one does without the server: val out of the training, and into the test."""
    mixed = cfg.train_dataloader.image.dataset
    train, val, genome = mixed.datasets
    mixed.datasets = [train, genome]
    cfg.test_dataloader['image.qa'].dataset.annotations = val.annotations


@pytest.mark.parametrize('config', ['vqa_v2.py', 'vqa_v2_from_blip.py'])
def test_vqa_v2(tmp_path, config):
    write_vqa_v2(tmp_path)
    metrics = run_small(config, tmp_path)
    assert not any('accuracy' in key for key in metrics)  # the server has the answers
    found = json.loads(next((tmp_path / 'work_dirs').rglob('predictions/*.json')).read_text())
    rows = found if isinstance(found, list) else found['predictions']
    assert [row['question_id'] for row in rows] == [300000, 300001, 301002, 301003, 302004]
    assert all(row['rank'] in ANSWERS for row in rows)


def test_finetuning_blip_has_the_values_of_its_code():
    """configs/vqa.yaml and models/blip_vqa.py: 480 pixels, 2e-5, batch 256, 10 epochs of a cosine, stochastic depth."""
    cfg = Config.fromfile(CONFIGS / 'vqa_v2_from_blip.py')
    encoder, optimizer, (schedule,) = cfg.model.trunk.visual_encoder, cfg.optim_wrapper.optimizer, cfg.param_scheduler
    assert (encoder.image_size, encoder.drop_path, optimizer.lr, optimizer.weight_decay) == (480, 0.1, 2e-5, 0.05)
    assert (cfg.train_cfg.max_epochs, schedule.T_max, schedule.eta_min) == (10, 10, 0.0)
    assert 16 * cfg.train_dataloader.image.batch_size == 256


def test_vqa_v2_on_a_split_with_answers(tmp_path):
    write_vqa_v2(tmp_path)
    metrics = run_small('vqa_v2.py', tmp_path, on_validation_split)
    kinds = ('accuracy', 'accuracy_number', 'accuracy_other', 'accuracy_yes_no')
    assert {f'image.qa.{kind}' for kind in kinds} <= metrics.keys()
    assert all(0 <= metrics[f'image.qa.{kind}'] <= 100 for kind in kinds)


@pytest.mark.parametrize(
    ('config', 'name', 'suffix'), [('msrvtt_qa.py', 'msrvtt', '.mp4'), ('msvd_qa.py', 'msvd', '.avi')]
)
def test_video_qa(tmp_path, config, name, suffix):
    """One of the four answers of the test is not in the list and can only be wrong: at most three are right."""
    write_video_qa(tmp_path, name, suffix)
    metrics = run_small(config, tmp_path)
    assert 0 <= metrics['video.qa.accuracy'] <= 75
