"""Groups of parameters and mixed precision."""

import pytest
import torch
from torch import nn

from omnivl.engine import DecayGroupsConstructor, PrecisionOptimWrapper
from omnivl.storage import load_checkpoint


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
        self.decoder = nn.Linear(3, 3)
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 3))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 3))
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.special = nn.Parameter(torch.zeros(2, 2))
        self.tied = self.decoder
        self.frozen = nn.Linear(3, 3).requires_grad_(False)


def constructor(**paramwise):
    optimizer = dict(type='AdamW', lr=0.1, weight_decay=0.05, fused=True)
    return DecayGroupsConstructor(dict(optimizer=optimizer), paramwise)


def names_of(model, group):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return sorted(names[id(parameter)] for parameter in group['params'])


def test_two_groups_by_default():
    model = Parts()
    decay, rest = constructor()(model).optimizer.param_groups
    assert names_of(model, decay) == ['decoder.weight', 'encoder.0.weight', 'special']
    assert names_of(model, rest) == sorted(
        [
            'cls_token',
            'decoder.bias',
            'encoder.0.bias',
            'encoder.1.bias',
            'encoder.1.weight',
            'pos_embed',
            'temperature',
        ]
    )
    assert (decay['weight_decay'], rest['weight_decay'], decay['lr'], rest['lr']) == (0.05, 0.0, 0.1, 0.1)


def test_factors_by_prefix_the_longest_counts():
    model = Parts()
    wrapper = constructor(lr_mult={'encoder': 0.1, 'encoder.1': 0.5}, no_decay=['special'])(model)
    found = {group['name']: (names_of(model, group), group['lr']) for group in wrapper.optimizer.param_groups}
    assert found['decay_x0.1'] == (['encoder.0.weight'], pytest.approx(0.01))
    assert found['no_decay_x0.5'] == (['encoder.1.bias', 'encoder.1.weight'], pytest.approx(0.05))
    assert 'special' in found['no_decay'][0] and found['decay'][0] == ['decoder.weight']
    trained = sum(len(names) for names, _ in found.values())
    assert trained == sum(parameter.requires_grad for parameter in model.parameters())


def test_slips_in_the_options():
    with pytest.raises(ValueError, match=r"no parameter begins with \['encodr'\]; the model has \['cls_token'"):
        constructor(lr_mult=dict(encodr=0.1))(Parts())
    with pytest.raises(ValueError, match=r"paramwise_cfg has \['norm_decay_mult'\]; allowed: no_decay, lr_mult"):
        constructor(norm_decay_mult=0)
    with pytest.raises(ValueError, match='nothing to train'):
        constructor()(nn.Linear(2, 2).requires_grad_(False))


def test_fused_adamw_is_adamw():
    results = []
    for fused in (True, False):
        torch.manual_seed(0)
        model = nn.Linear(3, 3)
        config = dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05, fused=fused))
        wrapper = DecayGroupsConstructor(config)(model)
        for _ in range(3):
            wrapper.update_params(model(torch.ones(2, 3)).square().sum())
        results.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*results)


def one_step(**options):
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    wrapper = PrecisionOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=1.0), **options)
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        output = model(torch.ones(2, 3))
    loss = output.float().square().sum()
    wrapper.update_params(loss)
    return output.dtype, model.weight.detach() - before, wrapper


def test_bf16_runs_on_a_cpu():
    kind, change, _ = one_step(precision='bf16')
    full, exact, _ = one_step()
    assert (kind, full) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(change, exact, rtol=0.05, atol=0.01)


def test_gradients_are_clipped_and_their_norm_is_logged_before():
    _, clipped, wrapper = one_step(clip_grad=dict(max_norm=0.5))
    _, free, _ = one_step()
    logged = wrapper.message_hub.get_scalar('train/grad_norm').current()
    weight_and_bias = torch.cat([free, free[:, :1]], dim=1)  # the inputs are ones: a bias moves as its weights
    assert logged == pytest.approx(float(weight_and_bias.norm()), rel=1e-5)
    torch.testing.assert_close(clipped, free * 0.5 / logged)


def test_unknown_precision_and_fp16_on_a_cpu():
    with pytest.raises(ValueError, match=r"precision is 'half'; allowed: fp32, bf16, fp16"):
        one_step(precision='half')
    with pytest.raises(ValueError, match=r'fp16, which trains on a GPU only, and the model is on cpu; use bf16'):
        one_step(precision='fp16')


@pytest.mark.gpu
def test_fp16_scales_the_loss_and_its_scale_is_resumed():
    model = nn.Linear(3, 3).cuda()
    make = lambda: PrecisionOptimWrapper(  # noqa: E731
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1), precision='fp16', loss_scale=dict(init_scale=64.0)
    )
    wrapper = make()
    with wrapper.optim_context(model):
        loss = model(torch.full((2, 3), torch.inf, device='cuda')).sum()
    before = model.weight.detach().clone()
    wrapper.update_params(loss)
    assert wrapper.scaler.get_scale() == 32.0 and torch.equal(model.weight, before)  # an overflow is no step
    other = make()
    other.load_state_dict(wrapper.state_dict())
    assert other.scaler.get_scale() == 32.0


def test_bf16_run_resumes(tmp_path):
    from runs import assert_same_run, train

    wrapper = dict(
        constructor='DecayGroupsConstructor',
        type='PrecisionOptimWrapper',
        precision='bf16',
        optimizer=dict(type='AdamW', lr=0.01),
    )
    train(tmp_path / 'whole', 'bf16-0', optim_wrapper=wrapper)
    train(tmp_path / 'parts', 'bf16-1', stop=dict(after=5), optim_wrapper=wrapper)
    train(tmp_path / 'parts', 'bf16-2', resume=True, optim_wrapper=wrapper)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', 10)
    assert load_checkpoint(tmp_path / 'parts/iter_10.pth')['state_dict']['head.weight'].dtype == torch.float32
