"""Measure re-ranking beside a loop in BLIP's way over transformers' BLIP, with the same random weights.

BLIP's way: one query at a time over its first k items, texts padded to 35 word pieces, the keys and values of a visual
made anew for each of its pairs, and pairs that both directions need scored twice. Ours is what the retrieval evaluation
does. Visual tokens and first rankings are drawn at random: the work is the same, and neither encoder is needed.

Both take turns, round after round; of BLIP's loop a few queries each way per round. What counts is the ratio of the
pairs per second, from medians of the seconds. The logits of all pairs that both have scored are compared.

    python tools/benchmarks/retrieval.py
    python tools/benchmarks/retrieval.py --visuals 64 --texts 320 --k 16 --json retrieval.json
"""

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from beside_blip import CLS, FIRST_WORD, PAD, SEP, add_size_options, build_pair, take_turns
from figures import write_json
from torch import Tensor, nn
from transformers import BlipForImageTextRetrieval

from omnivl.evaluation.reranking import PairLogits, needed_pairs, score_pairs
from omnivl.evaluation.retrieval import RetrievalEvaluation
from omnivl.models.interfaces import Matches

TARGET = 3.0
PADDED = 35  # word pieces, in BLIP's evaluation
THEIRS, OURS = "BLIP's loop", 'omnivl'
Pairs = list[tuple[int, int]]


class Task:
    """Visuals, texts and the first k items of each query, all drawn at random.

    Args:
        args: From the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        random = np.random.default_rng(args.seed)
        places = 1 + (args.size // 16) ** 2
        self.tokens = torch.randn(args.visuals, places, args.width)
        self.texts = [
            np.array([CLS, *random.integers(FIRST_WORD, args.vocab - 2, words), SEP])
            for words in random.integers(args.words[0], args.words[1] + 1, args.texts)
        ]
        similarity = random.standard_normal((args.visuals, args.texts))
        self.visual_to_text = np.argsort(-similarity, axis=1)[:, : args.k]
        self.text_to_visual = np.argsort(-similarity.T, axis=1)[:, : args.k]

    def queries(self) -> Iterator[Pairs]:
        """Yield the pairs (visual, text) of one query after the other, both directions in turn, without end."""
        one_way = [[(visual, int(text)) for text in top] for visual, top in enumerate(self.visual_to_text)]
        other_way = [[(int(visual), text) for visual in top] for text, top in enumerate(self.text_to_visual)]
        turns = zip(itertools.cycle(one_way), itertools.cycle(other_way))
        return itertools.chain.from_iterable(turns)


class BlipLoop:
    """Re-ranking as in BLIP's evaluation.

    Args:
        model: BLIP of transformers.
        task: What there is to rank.
        queries: Queries of a call, half of them each way.
    """

    def __init__(self, model: nn.Module, task: Task, queries: int) -> None:
        self.model, self.task, self.count = model, task, queries
        self.queries = task.queries()
        self.ids = torch.full((len(task.texts), PADDED), PAD)
        for row, text in zip(self.ids, task.texts):
            row[: len(text)] = torch.from_numpy(text)
        self.logits: dict[tuple[int, int], np.ndarray] = {}
        self.pairs: list[int] = []  # of each call

    def __call__(self) -> None:
        """Score the next queries."""
        self.pairs.append(0)
        for pairs in itertools.islice(self.queries, self.count):
            visuals, texts = map(list, zip(*pairs))
            self.logits.update(zip(pairs, self.score(self.task.tokens[visuals], self.ids[texts]).numpy()))
            self.pairs[-1] += len(pairs)

    def score(self, tokens: Tensor, ids: Tensor) -> Tensor:
        """Match logits (k, 2) of pairs: visual tokens (k, S, D) and texts (k, 35)."""
        states = self.model.text_encoder(
            input_ids=ids,
            attention_mask=(ids != PAD).long(),
            encoder_hidden_states=tokens,
            encoder_attention_mask=torch.ones(tokens.shape[:2], dtype=torch.long),
        ).last_hidden_state
        return self.model.itm_head(states[:, 0])


class OurReranking:
    """Re-ranking as in ``RetrievalEvaluation``, with its defaults.

    Args:
        model: One that scores pairs.
        task: What there is to rank.
    """

    def __init__(self, model: Matches, task: Task) -> None:
        self.model, self.task = model, task
        self.pairs = needed_pairs(task.visual_to_text, task.text_to_visual)
        self.defaults = RetrievalEvaluation()
        self.logits: PairLogits | None = None

    def __call__(self) -> None:
        """Score all pairs, each once."""
        tokens = dict(enumerate(self.task.tokens))
        sizes = self.defaults.visual_batch, self.defaults.pair_batch
        self.logits = score_pairs(self.model, tokens, self.task.texts, self.pairs, *sizes, 'benchmark')


def compare(theirs: BlipLoop, ours: OurReranking) -> tuple[float, bool]:
    """Greatest difference of the logits of pairs that both scored, and whether it is that of float32."""
    visuals, texts = (np.array(column) for column in zip(*theirs.logits))
    expected = np.stack(list(theirs.logits.values()))
    found = ours.logits.get(visuals, texts)
    return float(np.abs(found - expected).max()), bool(np.allclose(found, expected, rtol=1e-4, atol=1e-4))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--visuals', type=int, default=24, help='visuals (default: 24)')
    parser.add_argument('--texts', type=int, default=48, help='texts (default: 48)')
    parser.add_argument('--k', type=int, default=8, help='first items to re-rank for a query (default: 8)')
    parser.add_argument(
        '--words', type=int, nargs=2, default=(8, 16), help='least and most word pieces of a text (default: 8 16)'
    )
    parser.add_argument('--queries', type=int, default=4, help="queries of BLIP's loop in a round (default: 4)")
    add_size_options(parser)
    args = parser.parse_args()
    if args.words[1] + 2 > PADDED:
        parser.error(f'--words must be at most {PADDED - 2}: with [CLS] and [SEP] a text of BLIP has {PADDED}')
    if args.queries < 2 or args.queries % 2:
        parser.error(f'--queries must be an even number, half of them each way, got {args.queries}')
    return args


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    theirs, ours = build_pair(BlipForImageTextRetrieval, args)
    task = Task(args)
    functions = {THEIRS: BlipLoop(theirs, task, args.queries), OURS: OurReranking(ours.trunk, task)}
    for function in functions.values():
        function()  # warms up
    median, fastest = take_turns(functions, args.rounds)
    pairs = {THEIRS: functions[THEIRS].pairs[0], OURS: len(functions[OURS].pairs)}
    rate = {name: pairs[name] / median[name] for name in functions}
    difference, equal = compare(functions[THEIRS], functions[OURS])
    needed = task.visual_to_text.size + task.text_to_visual.size
    figures = dict(
        seconds=median,
        pairs=pairs,
        pairs_per_second=rate,
        ratio=rate[OURS] / rate[THEIRS],
        ratio_of_fastest=pairs[OURS] / fastest[OURS] * fastest[THEIRS] / pairs[THEIRS],
        pairs_both_ways=needed,
        pairs_compared=len(functions[THEIRS].logits),
        greatest_difference=difference,
        scores_equal=equal,
    )
    print(f'\n{"":20} {"pairs":>7} {"seconds":>9} {"pairs/s":>9}')
    for name in functions:
        print(f'{name:20} {pairs[name]:7} {median[name]:9.3f} {rate[name]:9.1f}')
    print(f'\n{needed} pairs are needed by both directions together, {pairs[OURS]} of them different')
    print(f'logits of {figures["pairs_compared"]} pairs differ by at most {difference:.1e}: equal in float32: {equal}')
    print(f"omnivl / BLIP's loop, pairs per second: {figures['ratio']:.2f} (target: at least {TARGET})")
    print(f'from the fastest rounds:                {figures["ratio_of_fastest"]:.2f}')
    write_json(args.json, figures)


if __name__ == '__main__':
    main()
