"""Slips in configs: each is found, with its place and what was meant."""

import sys

import pytest
import toys
from mmengine.config import Config

from omnivl.engine import ConfigError, apply_options, check_config, check_schedule, read_config
from omnivl.engine.config import known_keys


def config(**changes):
    return Config(toys.toy_config('somewhere', 'config', **changes))


def test_a_good_config_passes():
    own_names = dict(data_root='data', image_size=224, train_dataset=dict(type='ToyDataset', modality='image'), _base=1)
    check_config(config(compile=True, find_unused_parameters=True, custom_hooks=[], **own_names))


@pytest.mark.parametrize(
    ('slip', 'meant'),
    [
        ('train_dataloder', 'train_dataloader'),
        ('randomnes', 'randomness'),
        ('optim_warpper', 'optim_wrapper'),
        ('defualt_hooks', 'default_hooks'),
        ('param_schedulers', 'param_scheduler'),
        ('load_form', 'load_from'),
    ],
)
def test_slips_at_the_top(slip, meant):
    with pytest.raises(ConfigError, match=f'{slip}: no such key, did you mean {meant!r}'):
        check_config(config(**{slip: 1}))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(train_cfg=dict(type='AlternatingTrainLoop', max_iter=3)),
            r"train_cfg\.max_iter: AlternatingTrainLoop has no 'max_iter', did you mean 'max_iters'\?",
        ),
        (
            dict(model=dict(type='ToyModel', spoilt_at=3)),
            r"model\.spoilt_at: ToyModel has no 'spoilt_at', did you mean 'spoil_at'\?",
        ),
        (
            dict(train_dataloader=dict(image=dict(toys.loader('image'), num_worker=2))),
            r"train_dataloader\.image\.num_worker: a loader has no 'num_worker', did you mean 'num_workers'\?",
        ),
        (
            dict(custom_hooks=[dict(type='StopHook', aftr=3)]),
            r"custom_hooks\.0\.aftr: StopHook has no 'aftr', did you mean 'after'\?",
        ),
        (
            dict(optim_wrapper=dict(type='PrecisionOptimWrapper', precison='bf16', optimizer=dict(type='AdamW', lr=1))),
            r"optim_wrapper\.precison: PrecisionOptimWrapper has no 'precison', did you mean 'precision'\?",
        ),
        (
            dict(optim_wrapper=dict(optimizer=dict(type='AdamW', weight_decy=1))),
            r"optim_wrapper\.optimizer\.weight_decy: AdamW has no 'weight_decy', did you mean 'weight_decay'\?",
        ),
    ],
)
def test_slips_inside(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_config(config(**changes))


def test_all_slips_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        check_config(config(randomnes=1, model=dict(type='ToyModel', spoilt_at=3)))
    assert str(caught.value).count('did you mean') == 2


def test_hooks_take_the_arguments_of_their_base():
    check_config(config(custom_hooks=[dict(type='WholeCheckpointHook', interval=1, filename_tmpl='a', priority=3)]))


def test_the_whole_path_of_a_class_is_no_way_round_the_check():
    with pytest.raises(ConfigError, match=r"toys\.ToyModel has no 'spoilt_at', did you mean 'spoil_at'\?"):
        check_config(config(model=dict(type='toys.ToyModel', spoilt_at=3)))


def test_options_find_names_with_dots():
    loaders = {name: dict(batch_size=4, dataset={}) for name in ('image.retrieval', 'image.retrieval_other')}
    cfg = config(test_dataloader=loaders)
    apply_options(
        cfg, {'test_dataloader.image.retrieval.batch_size': 2, 'test_dataloader.image.retrieval_other.num_workers': 1}
    )
    assert cfg.test_dataloader == {
        'image.retrieval': dict(batch_size=2, dataset={}),
        'image.retrieval_other': dict(batch_size=4, dataset={}, num_workers=1),
    }
    with pytest.raises(ConfigError, match=r"test_dataloader has no 'image', there are image\.retrieval, image\.ret"):
        apply_options(cfg, {'test_dataloader.image.retrievl.batch_size': 2})


def test_options_change_what_is_there():
    cfg = config()
    apply_options(
        cfg,
        {
            'train_cfg.max_iters': 3,
            'train_dataloader.image.batch_size': 2,
            'train_dataloader.image.pin_memory': True,  # not in the config, but an argument of a loader
            'param_scheduler.0.end': 7,
            'randomness.deterministic': True,
            'resume': True,
        },
    )
    assert cfg.train_cfg.max_iters == 3 and cfg.train_dataloader.image.pin_memory and cfg.resume
    assert cfg.param_scheduler[0].end == 7 and cfg.param_scheduler[1].gamma == 0.85 and cfg.randomness.seed == 7


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('train_cgf.max_iters', r"train_cgf\.max_iters: the config has no 'train_cgf', did you mean 'train_cfg'\?"),
        ('train_cfg.max_iter', r"train_cfg has no 'max_iter', did you mean 'max_iters'\?"),
        ('resum', r"the config has no 'resum', did you mean 'resume'\?"),
        ('train_dataloader.image.batchsize', r"did you mean 'batch_size'\?"),
        ('train_dataloader.images.batch_size', r"train_dataloader has no 'images', did you mean 'image'\?"),
        ('param_scheduler.5.end', r"param_scheduler is a list of 2, '5' is no place in it"),
        ('param_scheduler.0', r'replacing an item of a list is not possible; set param_scheduler as a whole'),
        ('train_cfg.max_iters.foo', r'train_cfg\.max_iters.* is the value 10, nothing can be set inside it'),
    ],
)
def test_options_that_lead_nowhere(path, message):
    with pytest.raises(ConfigError, match=message):
        apply_options(config(), {path: 1})


def test_a_name_of_the_configs_own_cannot_be_set_from_outside():
    with pytest.raises(ConfigError, match=r"data_root is a name of the config's own, already used where it was read"):
        apply_options(config(data_root='data'), dict(data_root='elsewhere'))


def test_known_keys_are_those_of_the_runner():
    assert {'model', 'work_dir', 'train_dataloader', 'load_options', 'compile'} <= known_keys()


def test_a_missing_config_lists_what_is_there(tmp_path):
    (tmp_path / 'near.py').write_text('a = 1\n')
    with pytest.raises(ConfigError, match=r'there is no config .*far.py; .* holds near.py'):
        read_config(tmp_path / 'far.py')
    with pytest.raises(ConfigError, match=r'there is no folder .*none either'):
        read_config(tmp_path / 'none/far.py')


def test_a_config_of_a_project_finds_the_code_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    folder = tmp_path / 'projects/omnivl_test_project'
    (folder / 'configs').mkdir(parents=True)
    (folder / 'part.py').write_text('class Part:\n    pass\n')
    (folder / 'configs/run.py').write_text(
        'from projects.omnivl_test_project.part import Part\n\nmine = dict(kind=Part)\n'
    )
    for name in [name for name in sys.modules if name.split('.')[0] == 'projects']:
        monkeypatch.delitem(sys.modules, name)
    assert read_config(folder / 'configs/run.py').mine.kind.__name__ == 'Part'
    for name in [name for name in sys.modules if name.split('.')[0] == 'projects']:
        monkeypatch.delitem(sys.modules, name)


def test_a_schedule_after_the_end_of_the_run_is_told():
    schedules = [dict(type='LinearLR', by_epoch=False, end=4), dict(type='CosineAnnealingLR', by_epoch=False, begin=4)]
    check_schedule(Config(dict(train_cfg=dict(max_iters=5), param_scheduler=schedules)))
    check_schedule(Config(dict(train_cfg=dict(max_epochs=5), param_scheduler=schedules)))
    with pytest.raises(ConfigError, match=r'param_scheduler.1 begins at iteration 4, but train_cfg.max_iters is 4'):
        check_schedule(Config(dict(train_cfg=dict(max_iters=4), param_scheduler=schedules)))
