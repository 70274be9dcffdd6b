"""A model compiled block by block: few graphs, and equal results."""

import pytest
import torch
from torch import nn

from omnivl.engine.compilation import compile_model


def test_equal_blocks_share_a_graph_and_give_equal_losses(tiny_model, random_batch):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    losses = []
    for compiled in (False, True):
        model = tiny_model(shake=True).train()
        keys = list(model.state_dict())
        if compiled:
            # Two layers each of visual encoder, text encoder, both decoders, and of two momentum encoders.
            assert compile_model(model, dict(scope='blocks', backend=backend)) == '12 layers'
            assert list(model.state_dict()) == keys
        torch.manual_seed(1)
        loss = model.loss(random_batch())
        sum(value for name, value in loss.items() if name.startswith('loss_')).backward()
        losses.append([*loss.values(), model.trunk.visual_encoder.pos_embed.grad])
    for plain, compiled in zip(*losses, strict=True):
        assert torch.allclose(plain, compiled, atol=1e-6)
    assert 0 < len(graphs) < 12
    torch.compiler.reset()


def test_what_cannot_be_compiled_has_its_message():
    with pytest.raises(ValueError, match=r"compile.scope must be one of \('model', 'blocks'\), got 'layers'"):
        compile_model(nn.Linear(1, 1), dict(scope='layers'))
    with pytest.raises(ValueError, match='the model has no lists of layers; take compile=True'):
        compile_model(nn.Linear(1, 1), dict(scope='blocks'))
