"""Hold our CoCa beside open_clip's: equal numbers on shared random weights, and the cost of a training step.

    pip install open_clip_torch 'transformers<4.57'
    python -m projects.coca.tools.compare
    python -m projects.coca.tools.compare --cost --sizes base --batch 8

The weights go through a folder as open_clip pushes it to the hub, and our reader of it. open_clip's beam search adds up
raw logits and takes the start for a token when it divides by the length; ours is compared with what it finds with
log-probabilities, ranked by their sum. It writes nothing with transformers 4.57 and later, which do not give it the
search: captions are left out there. Exit status 1 if embeddings differ by more than 2e-5, logits or losses by more than
1e-4, or captions or tokens at all.
"""

import argparse
import json
import tempfile
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
import transformers
from open_clip import coca_model
from safetensors.torch import save_file
from torch import Tensor, distributed, multiprocessing, nn
from torch.optim import AdamW
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from omnivl.apis.export import load_exported
from omnivl.models.generation import beam_search, greedy
from omnivl.models.tokenizers import BytePairTokenizer
from omnivl.registry import MODELS
from omnivl.structures import VLBatch
from omnivl.weights import load_weights
from projects.coca.weights import CONFIG, OpenCLIPCoCaReader

SMALL = dict(
    embed_dim=96,
    vision_cfg=dict(
        image_size=64, layers=3, width=128, patch_size=16, attentional_pool=True, attn_pooler_heads=4,
        attn_pooler_queries=17, output_tokens=True,
    ),
    text_cfg=dict(context_length=20, vocab_size=49408, width=96, heads=3, layers=2, embed_cls=True, output_tokens=True),
    multimodal_cfg=dict(context_length=20, vocab_size=49408, width=96, heads=2, layers=3),
)  # fmt: skip
SIZES = {'small': SMALL, 'base': open_clip.get_model_config('coca_ViT-B-32')}
EMBEDDINGS, OTHERS = 2e-5, 1e-4
START, END = 49406, 49407
TEXTS = ('a photo of two dogs, running!', "the cat's 3 toys", 'ein Café', 'a' * 30)


def write_vocabulary(folder: Path) -> None:
    """Write the byte pairs that come with open_clip as transformers saves them."""
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    names = {'<start_of_text>': '<|startoftext|>', '<end_of_text>': '<|endoftext|>'}
    vocabulary = {names.get(token, token): index for token, index in tokenizer.encoder.items()}
    (folder / 'vocab.json').write_text(json.dumps(vocabulary), encoding='utf-8')
    merges = ''.join(f'{first} {second}\n' for first, second in tokenizer.bpe_ranks)
    (folder / 'merges.txt').write_text('#version: 0.2\n' + merges, encoding='utf-8')


def make_theirs(config: dict[str, Any], seed: int = 0) -> coca_model.CoCa:
    """Build their model with random weights; no bias is zero, so that all of it shows, and texts sometimes end."""
    torch.manual_seed(seed)
    model = coca_model.CoCa(**{name: value for name, value in config.items() if name != 'custom_text'})
    decoder = model.text_decoder
    with torch.no_grad():
        nn.init.normal_(decoder.text_projection, std=decoder.text_projection.shape[0] ** -0.5)  # it is left empty
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        bias = decoder.ln_final.bias
        decoder.text_projection[:, END] += 4 * bias / bias.square().sum()
    return model.eval()


def make_ours(theirs: coca_model.CoCa, config: dict[str, Any], folder: Path) -> nn.Module:
    """Write a folder as open_clip does, and read from it the model for training, with all of its keys used."""
    pixels = dict(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25], interpolation='bicubic', resize_mode='shortest')
    write_vocabulary(folder)
    (folder / CONFIG).write_text(json.dumps(dict(model_cfg=config, preprocess_cfg=pixels)))
    save_file(theirs.state_dict(), folder / 'open_clip_model.safetensors')
    _, cfg = load_exported(folder)
    model = MODELS.build(dict(type='CoCaPretrain', trunk=cfg.model.trunk))
    (report,) = load_weights(model, cfg.load_from, show=len)
    if report.left or report.unused or report.elsewhere:
        raise SystemExit(f'not all keys were used\n{report}')
    return model.eval()


def make_batch(config: dict[str, Any], size: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Draw images, float (B, 3, H, W), and texts of several lengths, int64 (B, L); one fills all positions."""
    generator = torch.Generator().manual_seed(seed)
    side, length = config['vision_cfg']['image_size'], config['text_cfg']['context_length']
    texts = torch.randint(300, 40000, (size, length), generator=generator)
    for row in range(size):
        end = length - 1 - row * (length // 2) // size  # the same lengths for every seed
        texts[row, 0], texts[row, end], texts[row, end + 1 :] = START, END, 0
    return torch.randn(size, 3, side, side, generator=generator), texts


def as_batch(images: Tensor, texts: Tensor) -> VLBatch:
    """Make our batch of it."""
    return VLBatch({'image': images[:, None]}, text_ids=texts, text_mask=texts != 0)


def their_losses(model: coca_model.CoCa, images: Tensor, texts: Tensor, **ranks: Any) -> Tensor:
    """Compute both losses, with the weights 1 and 2: float (2,)."""
    made = model(images, texts)
    return torch.stack(open_clip.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0, **ranks)(**made))


def our_losses(model: nn.Module, images: Tensor, texts: Tensor) -> Tensor:
    """Compute both losses, with the weights 1 and 2: float (2,)."""
    losses = model.loss(as_batch(images, texts))
    return torch.stack([losses['loss_contrast'], losses['loss_lm']])


def compare_gradients(theirs: coca_model.CoCa, ours: nn.Module) -> float:
    """Return the largest difference of a gradient, each relative to the largest value of its tensor."""
    found = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    scale = found.pop('logit_scale')
    expected = OpenCLIPCoCaReader('gradients').translate(found, ours)
    expected['text_encoder.cls_token'] /= 2  # the reader adds the gradients of [CLS] and of its position, which are one
    own = nn.ModuleDict(dict(ours.parts))
    expected['temperature.value'] = -scale / own['temperature']().detach()
    worst = [
        ((parameter.grad - expected[name]).abs().max() / expected[name].abs().max()).item()
        for name, parameter in own.named_parameters()
    ]
    return max(worst)


def compare_numbers(theirs: coca_model.CoCa, ours: nn.Module, config: dict[str, Any]) -> dict[str, float]:
    """Return the largest differences of embeddings, logits of real words, losses and gradients."""
    images, texts = make_batch(config, 6)
    real = texts[:, 1:] != 0
    with torch.no_grad():
        made = theirs(images, texts)
        trunk, batch = ours.trunk, as_batch(images, texts)
        visual = trunk.encode(batch)
        text = trunk.encode_text(texts, texts != 0)
        logits = trunk.predict_text(text.tokens, texts, texts != 0, trunk.writing_key_values(visual.tokens)).logits
        found = {
            'image embedding': (trunk.project_visual(visual.pooled) - made['image_features']).abs().max().item(),
            'text embedding': (trunk.project_text(text.pooled) - made['text_features']).abs().max().item(),
            'logits': (logits - made['logits'])[real].abs().max().item(),
        }
        short = texts[2:, : int((texts[2:] != 0).sum(1).max())]  # as our batches are: no longer than their longest text
        embedded = trunk.embed_text(short, short != 0) - made['text_features'][2:]
        found['text embedding'] = max(found['text embedding'], embedded.abs().max().item())
    one, other = their_losses(theirs, images, texts), our_losses(ours, images, texts)
    one.sum().backward()
    other.sum().backward()
    found['losses'] = (one - other).abs().max().item()
    found['gradients'] = compare_gradients(theirs, ours)
    return found


@torch.no_grad()
def compare_captions(theirs: coca_model.CoCa, ours: nn.Module, config: dict[str, Any]) -> dict[str, str]:
    """Write captions with both, greedily and by beam search; say how many are the same, and how long they are."""
    images, _ = make_batch(config, 4, seed=2)
    length = min(14, config['text_cfg']['context_length'])
    writing = ours.trunk.begin_writing(ours.trunk.encode(VLBatch({'image': images[:, None]})).tokens)
    # Theirs counts the start, and puts the end into the last place.
    ids = theirs.generate(images, seq_len=length, generation_type='top_k', top_k=1, min_seq_len=5)
    found = {'greedy captions': same(ids, greedy(writing, length - 2, 4).ids)}
    ids = their_beams(theirs, images, length)
    found['beam captions'] = same(ids, beam_search(writing, length - 1, 4, num_beams=6, length_penalty=0.0).ids)
    return found


def same(theirs: Tensor, ours: list[list[int]]) -> str:
    """Count equal captions."""
    rows = [row[1 : row.index(END)] if END in row else [token for token in row[1:] if token] for row in theirs.tolist()]
    equal = sum(one == other for one, other in zip(rows, ours, strict=True))
    return f'{equal} of {len(rows)} equal, of {min(map(len, rows))} to {max(map(len, rows))} tokens'


def their_beams(model: coca_model.CoCa, images: Tensor, length: int) -> Tensor:
    """Run their beam search with 6 beams on log-probabilities, ranked by their sum: ids, int64 (B, L)."""
    steps = [transformers.LogitNormalization(), transformers.MinLengthLogitsProcessor(5, END)]
    plain = coca_model.BeamSearchScorer
    coca_model.BeamSearchScorer = partial(plain, length_penalty=0.0)
    try:
        return model._generate_beamsearch(
            images,
            pad_token_id=0,
            eos_token_id=torch.tensor([END]),
            sot_token_id=torch.tensor([START]),
            num_beams=6,
            num_beam_groups=1,
            stopping_criteria=transformers.StoppingCriteriaList([transformers.MaxLengthCriteria(length)]),
            logit_processor=transformers.LogitsProcessorList(steps),
        )
    finally:
        coca_model.BeamSearchScorer = plain


def compare_tokens(folder: Path) -> str:
    """Count texts of which both tokenizers make the same ids."""
    own, theirs = BytePairTokenizer(folder), open_clip.get_tokenizer('coca_ViT-B-32')
    equal = [
        own.encode(text, 76).tolist() == [token for token in theirs([text])[0].tolist() if token] for text in TEXTS
    ]
    return f'{sum(equal)} of {len(TEXTS)} equal'


def run_rank(rank: int, folder: str, found: Any) -> None:
    """Compute losses and gradients of both on one of two ranks; rank 0 puts the largest differences into ``found``."""
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', f'file://{folder}/meeting', rank=rank, world_size=2)
    theirs = make_theirs(SMALL)
    ours = make_ours(theirs, SMALL, Path(tempfile.mkdtemp(dir=folder)))
    images, texts = make_batch(SMALL, 3, seed=rank)
    ranks = dict(local_loss=True, gather_with_grad=True, rank=rank, world_size=2)
    one, other = their_losses(theirs, images, texts, **ranks), our_losses(ours, images, texts)
    one.sum().backward()
    other.sum().backward()
    for model in (theirs, ours):
        for parameter in model.parameters():
            distributed.all_reduce(parameter.grad)
            parameter.grad /= 2  # as DDP does
    worst = torch.tensor([(one - other).detach().abs().max(), compare_gradients(theirs, ours)])
    distributed.all_reduce(worst, distributed.ReduceOp.MAX)
    if rank == 0:
        found.update(zip(('losses of two ranks', 'their gradients'), worst.tolist()))
    distributed.destroy_process_group()


def compare_ranks() -> dict[str, float]:
    """Return the largest differences of losses and gradients over two gloo ranks, at the small size."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Manager() as manager:
        found = manager.dict()
        multiprocessing.spawn(run_rank, (folder, found), nprocs=2)
        return dict(found)


def make_step(side: str, config: dict[str, Any], batch: int, device: str) -> Callable[[], None]:
    """Make a training step of one side: both losses, their gradients and AdamW."""
    theirs = make_theirs(config)
    with tempfile.TemporaryDirectory() as folder:
        model = (theirs if side == 'theirs' else make_ours(theirs, config, Path(folder))).to(device).train()
    images, texts = (values.to(device) for values in make_batch(config, batch))
    texts = texts[:, : int((texts != 0).sum(1).max())]
    optimizer = AdamW(model.parameters(), lr=1e-6, fused=True)
    losses = their_losses if side == 'theirs' else our_losses

    def step() -> None:
        optimizer.zero_grad()
        losses(model, images, texts).sum().backward()
        optimizer.step()

    return step


def clock(device: str) -> float:
    """Read seconds: of this process on the processor, whatever else the machine does; for a GPU, when it is done."""
    if device == 'cpu':
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that were made inside and are alive; ``peak`` is the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: set[int] = set()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operation and count what it makes; views of what was there before are nothing new."""
        self._note((args, kwargs), counts=False)
        out = func(*args, **(kwargs or {}))
        self._note(out, counts=True)
        return out

    def _note(self, values: Any, counts: bool) -> None:
        for value in tree_leaves(values):
            if isinstance(value, Tensor) and (key := value.untyped_storage()._cdata) not in self.alive:
                storage = value.untyped_storage()
                size = storage.nbytes() if counts else 0
                self.alive.add(key)
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.alive.discard(key)
        self.now -= size


def cost(config: dict[str, Any], batch: int, repeats: int, device: str) -> str:
    """Time training steps of both by turns, and count what each makes and holds at its peak, beside weights."""
    steps = {side: make_step(side, config, batch, device) for side in ('theirs', 'ours')}
    times: dict[str, list[float]] = {side: [] for side in steps}
    for turn in range(repeats + 1):
        for side, step in steps.items():
            start = clock(device)
            step()
            if turn:  # the first one warms up
                times[side].append(clock(device) - start)
    memory = {}
    for side, step in steps.items():
        with PeakBytes() as counted:
            step()
        memory[side] = counted.peak / 2**20
    best = {side: min(values) for side, values in times.items()}  # what other work on the machine disturbs least
    return (
        f'the fastest step of {batch}: theirs {best["theirs"]:.3f} s, ours {best["ours"]:.3f} s, ratio '
        f'{best["ours"] / best["theirs"]:.2f}; peak beside the weights {memory["theirs"]:.0f} and '
        f'{memory["ours"]:.0f} MiB, ratio {memory["ours"] / memory["theirs"]:.2f}'
    )


def check(name: str) -> bool:
    """Print all comparisons at one size, and say whether every one holds."""
    config, holds = SIZES[name], True
    theirs = make_theirs(config)
    with tempfile.TemporaryDirectory() as folder:
        ours = make_ours(theirs, config, Path(folder))
        counts = {'tokens': compare_tokens(Path(folder))}
        if coca_model.GENERATION_TYPES['top_k'] is None:  # so says open_clip that it cannot write
            print(f'{name}, captions: not compared, open_clip needs transformers<4.57, not {transformers.__version__}')
        else:
            counts |= compare_captions(theirs, ours, config)  # here, as the vocabulary is read at its first use
    numbers = compare_numbers(theirs, ours, config) | (compare_ranks() if name == 'small' else {})
    for what, text in counts.items():
        equal, _, total = text.split()[:3]
        holds &= equal == total
        print(f'{name}, {what}: {text}', flush=True)
    for what, difference in numbers.items():
        allowed = EMBEDDINGS if 'embedding' in what else 1e-2 if 'gradients' in what else OTHERS
        holds &= difference < allowed
        print(f'{name}, {what}: largest difference {difference:.1e}', flush=True)
    return holds


def main() -> None:
    """Compare, or time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', nargs='+', choices=list(SIZES), default=list(SIZES))
    parser.add_argument('--cost', action='store_true', help='time training steps instead')
    parser.add_argument('--device', default='cpu', help='of what is timed')
    parser.add_argument('--batch', type=int, default=8, help='pairs in a batch that is timed')
    parser.add_argument('--repeats', type=int, default=5, help='how often each is timed, by turns')
    arguments = parser.parse_args()
    if arguments.cost:
        for name in arguments.sizes:
            options = (arguments.batch, arguments.repeats, arguments.device)
            print(f'{name}, {cost(SIZES[name], *options)}', flush=True)
        return
    results = [check(name) for name in arguments.sizes]
    if not all(results):
        raise SystemExit('the models differ')


if __name__ == '__main__':
    main()
