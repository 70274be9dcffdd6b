"""Broken files are counted over all ranks: each knows the same, also after a resume."""

from pathlib import Path

import pytest
import toys
from mmengine.dist import get_rank
from mmengine.structures import BaseDataElement
from runs import run_ranks, train

from omnivl.datasets import BrokenCounter, BrokenVisual
from omnivl.engine import OmniVLRunner
from omnivl.engine.loops import combine_ranks
from omnivl.registry import STREAMS
from omnivl.storage import load_checkpoint, save_checkpoint


def sample(source: str, *paths: str) -> BaseDataElement:
    broken = [BrokenVisual(source, path, 'cut off') for path in paths]
    return BaseDataElement(metainfo=dict(source=source, **(dict(broken=broken) if broken else {})))


def count(stream, samples: list[BaseDataElement]) -> list[tuple[int, str]]:
    """One step: what the ranks exchange, and what is then counted."""
    batches = [dict(data_samples=samples[:1]), dict(data_samples=samples[1:])]
    _, counts = combine_ranks([dict(loss=0.0)], stream.counts_of(batches))
    return [(rank, item.path) for rank, item in stream.count_broken(batches, counts)]


def make_stream(folder: Path, name: str):
    runner = OmniVLRunner.from_cfg(toys.toy_config(folder, name, launcher='pytorch'))
    stream = runner.train_loop.streams['image']
    stream.counter.max_shares['web'] = 0.01
    return stream


def two_ranks_count(root: Path) -> None:
    stream, rank = make_stream(root, 'counts'), get_rank()
    mine = [[sample('web'), sample('web')], [sample('web'), sample('foreign', 'x.jpg')]][rank]
    assert count(stream, mine) == [(1, 'x.jpg')]
    assert count(stream, [sample('foreign'), sample('other')] if rank else [sample('web', 'a.jpg')]) == [(0, 'a.jpg')]
    assert count(stream, [sample('other')]) == []
    assert stream.counter.seen == dict(web=4, foreign=2, other=3) and stream.broken == 2
    if rank == 0:
        save_checkpoint(stream.state_dict(), root / 'state.pth')
    count(stream, [])  # all ranks are here: the file is written
    resumed = make_stream(root, 'resumed')
    resumed.load_state_dict(load_checkpoint(root / 'state.pth'))
    assert count(resumed, [sample('web', 'b.jpg')] if rank else []) == [(1, 'b.jpg')]
    assert resumed.counter.seen == dict(web=5, foreign=2, other=3) and resumed.counter.broken == dict(web=2, foreign=1)


def test_both_ranks_know_the_same_and_go_on_with_it(tmp_path):
    run_ranks(two_ranks_count, tmp_path)


@STREAMS.register_module()
class BreakingStream(toys.ToyStream):
    """Every batch of the second rank has a broken file."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.counter = BrokenCounter(dict(web=0.02))

    def __next__(self) -> dict:
        number = self.given
        return super().__next__() | dict(
            data_samples=[sample('web', *([f'{number}.jpg'] if get_rank() else [])), *[sample('web')] * 3]
        )


def break_both(root: Path) -> None:
    stream = dict(train_dataloader=dict(image=dict(type='BreakingStream', batch_size=4)))
    loop = dict(train_cfg=dict(type='AlternatingTrainLoop', max_iters=9))
    model = dict(type='SampleModel')
    with pytest.raises(RuntimeError, match=r"'web': 3 broken or missing files among 24 samples.*2\.jpg \(cut off\)"):
        train(root, 'breaking', launcher='pytorch', model=model, param_scheduler=None, **stream, **loop)


@toys.MODELS.register_module()
class SampleModel(toys.ToyModel):
    """A toy that is given samples, too."""

    def forward(self, data_samples: list, **batch: object) -> dict:
        """Loss of a batch."""
        return super().forward(**batch)


def test_a_share_that_is_too_much_stops_both_ranks_at_the_same_step(tmp_path):
    run_ranks(break_both, tmp_path)
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'broken file of web (rank 1): 0.jpg (cut off)' in log and '(rank 1): 2.jpg (cut off)' in log
