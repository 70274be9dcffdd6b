"""Greedy decoding, beam search and nucleus sampling over a step function; no model inside.

The prompt is run once per sample: beam search spreads the cache over its beams afterwards. Rows stay grouped by sample
(B samples of G beams: N = B * G, row b * G + g), so what belongs to the sample, such as the keys and values of its
visual, needs no copy per beam.

Lengths count new tokens, the closing ``end_id`` included, the prompt not (``max_new_tokens`` and ``min_new_tokens`` of
transformers). Log-probabilities are those of the decoder after the repetition penalty, and without ``end_id`` before
``min_length``. The penalty multiplies the log-probability of a token that the prompt or the sequence already holds, as
the beam search of transformers does; on log-probabilities, unlike on raw logits, a constant added to all logits changes
nothing.

Two rules of beam search, whose ``lengths`` names them, divide the sum of a sequence's log-probabilities by its length:

- ``'new'``: of the new tokens with ``end_id``. A sample is done when its best running sequence is not above the worst
  finished one. So does transformers today.
- ``'blip'``: of prompt and words without ``end_id``. A sample is done by its likeliest candidate, ended or not, at the
  length before it, and at ``max_length`` all running sequences count as finished. So did transformers 4.15, with which
  BLIP's figures were made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError

LENGTHS = ('new', 'blip')


class Writing(NamedTuple):
    """A decoder with a key/value cache, about to write a text for each of B samples.

    Attributes:
        step: ``step(ids, cache) -> (logits, cache)``: the new tokens ``ids`` (int64 (N, L)) of N sequences, and the
            cache of what came before (None at the start), give the logits (float (N, V)) of the token that follows.
        reorder: ``reorder(cache, index) -> cache``: the cache of the sequences ``index`` (int64 (N',)); sequences may
            be left out or repeated.
        start_ids: First tokens of each sample, the prompt; int64 (B, L0), L0 at least 1.
        end_id: The token that closes a sequence.
        pad_id: The token fed to the decoder for sequences that are done.
    """

    step: Callable[[Tensor, Any], tuple[Tensor, Any]]
    reorder: Callable[[Any, Tensor], Any]
    start_ids: Tensor
    end_id: int
    pad_id: int


@dataclass(frozen=True)
class Limits:
    """What every search keeps to.

    Args:
        max_length: Most new tokens.
        min_length: New tokens before ``end_id`` is allowed.
        repetition_penalty: 1 is off, more than 1 makes repeated tokens less likely.
    """

    max_length: int
    min_length: int = 0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise OmniVLValueError(f'max_length must be at least 1 new token, got {self.max_length}')
        if not 0 <= self.min_length <= self.max_length:
            raise OmniVLValueError(
                f'min_length must be between 0 and max_length = {self.max_length}, got {self.min_length}'
            )
        if not self.repetition_penalty > 0:
            raise OmniVLValueError(f'repetition_penalty must be above 0 (1 is off), got {self.repetition_penalty}')

    def log_probs(self, logits: Tensor, history: Tensor, made: int, end_id: int) -> Tensor:
        """Return log-probabilities (N, V) of the next token, given the tokens (N, L) so far, ``made`` of them new."""
        log_probs = logits.float().log_softmax(dim=-1)
        if self.repetition_penalty != 1.0:
            log_probs = log_probs.scatter(1, history, log_probs.gather(1, history) * self.repetition_penalty)
        if made < self.min_length:
            log_probs[:, end_id] = -torch.inf
        return log_probs


class GenerationOutput(NamedTuple):
    """The best sequence of each sample.

    Attributes:
        ids: New tokens of each of the B samples, without prompt and without ``end_id``.
        scores: What sequences are ranked by, ``log_probs / length ** length_penalty``, see ``beam_search``; for greedy
            and nucleus the mean log-probability per token; float32 (B,), in nats.
        log_probs: Sum of the log-probabilities of the new tokens, ``end_id`` included; float32 (B,), in nats.
    """

    ids: list[list[int]]
    scores: Tensor
    log_probs: Tensor


@torch.no_grad()
def greedy(writing: Writing, max_length: int, min_length: int = 0, repetition_penalty: float = 1.0) -> GenerationOutput:
    """Take the likeliest token at each step; for the arguments see ``Writing`` and ``Limits``."""
    limits = Limits(max_length, min_length, repetition_penalty)
    return _single_path(writing, limits, lambda log_probs: log_probs.argmax(dim=1))


@torch.no_grad()
def nucleus(
    writing: Writing,
    max_length: int,
    min_length: int = 0,
    repetition_penalty: float = 1.0,
    *,
    top_p: float = 1.0,
    top_k: int | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> GenerationOutput:
    """Draw each token from the smallest set of likeliest tokens that holds ``top_p`` of the probability, or ``top_k``.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020. The scores are those of the full
    distribution, before temperature and truncation, so they compare with those of the other methods.

    ``top_p`` is in (0, 1], 1 draws from the whole softmax; ``top_k`` is the most tokens of the set, None = any number
    (with ``top_p`` 1 it is top-k sampling); ``temperature``, above 0, divides the logits before it;
    ``generator``, on the device of the logits, is the source of the draws (None = torch's own); with one for each
    sample what a sample gets does not depend on the others. See also ``Limits``.
    """
    if not 0 < top_p <= 1:
        raise OmniVLValueError(f'top_p must be in (0, 1] (1 draws from the whole softmax), got {top_p}')
    if top_k is not None and top_k < 1:
        raise OmniVLValueError(f'top_k must be at least 1, or None for no limit, got {top_k}')
    if not temperature > 0:
        raise OmniVLValueError(f'temperature must be above 0, got {temperature}; use greedy for the likeliest token')
    device = writing.start_ids.device
    sources: Sequence[torch.Generator | None] = generator if isinstance(generator, Sequence) else [generator]
    if len(sources) not in (1, len(writing.start_ids)):
        raise OmniVLValueError(f'{len(sources)} generators for {len(writing.start_ids)} samples; give one, or one each')
    for one in sources:
        if one is not None and one.device.type != device.type:
            raise OmniVLValueError(
                f'the generator is on {one.device}, the prompt on {device}; '
                f'make it with torch.Generator(device={device.type!r})'
            )

    def draw(log_probs: Tensor) -> Tensor:
        """Draw one token for each row from its nucleus."""
        probabilities = (log_probs / temperature).softmax(dim=1)
        ordered, order = probabilities.sort(dim=1, descending=True, stable=True)
        # A token stays if the tokens before it do not yet hold top_p, so the likeliest always stays.
        drop = ordered.cumsum(dim=1) - ordered >= top_p
        if top_k is not None:
            drop[:, top_k:] = True
        if top_p < 1 or top_k is not None:
            probabilities = probabilities.masked_fill(drop.scatter(1, order, drop), 0.0)
        parts = probabilities.split(len(probabilities) // len(sources))
        return torch.cat([torch.multinomial(part, 1, generator=one) for part, one in zip(parts, sources)]).squeeze(1)

    return _single_path(writing, Limits(max_length, min_length, repetition_penalty), draw)


@torch.no_grad()
def beam_search(
    writing: Writing,
    max_length: int,
    min_length: int = 0,
    repetition_penalty: float = 1.0,
    *,
    num_beams: int = 3,
    length_penalty: float = 1.0,
    lengths: str = 'new',
) -> GenerationOutput:
    """Keep the ``num_beams`` likeliest unfinished sequences of each sample; the best finished one is the result.

    The rules are those of transformers with ``early_stopping=False``: a sequence may finish only from among the best
    ``num_beams`` candidates of a step; a sample is done when ``num_beams`` sequences are finished and its best running
    one, scored at its present length, is not above the worst of them.

    Sequences are ranked by the sum of their log-probabilities over their length to the power of ``length_penalty``; 0
    ranks by the sum. ``lengths`` says which length, see above; for the other arguments see also ``Limits``.
    """
    if lengths not in LENGTHS:
        raise OmniVLValueError(f'lengths must be one of {LENGTHS}, got {lengths!r}')
    limits = Limits(max_length, min_length, repetition_penalty)
    if num_beams < 1:
        raise OmniVLValueError(f'num_beams must be at least 1, got {num_beams}')
    start, end_id = _checked_start(writing), writing.end_id
    batch, device = len(start), start.device
    tokens = start.new_full((batch, 1, max_length), writing.pad_id)  # running sequences; the prompt has one per sample
    sums = torch.zeros(batch, 1, device=device)
    finished = _Finished.empty(batch, num_beams, max_length, device)
    is_open = torch.ones(batch, dtype=torch.bool, device=device)
    as_blip, prompt = lengths == 'blip', start.shape[1]
    logits, cache = writing.step(start, None)
    for made in range(max_length):
        is_last = made + 1 == max_length
        history = _with_prompt(start, tokens[:, :, :made])
        log_probs = limits.log_probs(logits, history, made, end_id)
        log_probs = log_probs.view(batch, -1, log_probs.shape[-1]) + sums[:, :, None]  # (B, G, V)
        candidate_sums, parents, new_ids = _best_candidates(log_probs, 2 * num_beams)
        candidates = _take(tokens, parents)
        candidates[:, :, made] = new_ids
        ends = (new_ids == end_id) | (is_last and not as_blip)

        may_finish = (ends & is_open[:, None])[:, :num_beams]
        divisor = (prompt + made if as_blip else made + 1) ** length_penalty
        finished = finished.merge(
            candidates[:, :num_beams], candidate_sums[:, :num_beams], may_finish, made + 1, divisor
        )

        sums, kept = candidate_sums.masked_fill(ends, -torch.inf).topk(num_beams, dim=1)
        tokens = _take(candidates, kept)
        best = candidate_sums[:, 0] if as_blip else sums[:, 0]
        is_open &= best / divisor > finished.scores.min(dim=1).values
        if as_blip and is_last:
            left = is_open[:, None] & sums.isfinite()
            finished = finished.merge(tokens, sums, left, made + 1, (prompt + made + 1) ** length_penalty)
        if is_last or not is_open.any():
            break
        rows = parents.gather(1, kept) + torch.arange(batch, device=device)[:, None] * log_probs.shape[1]
        logits, cache = writing.step(tokens[:, :, made].reshape(-1, 1), writing.reorder(cache, rows.reshape(-1)))
    return finished.best(end_id)


@dataclass
class _Finished:
    """The best finished sequences so far, best first; a score of -inf says that there is none.

    Attributes:
        tokens: int64 (B, G, max_length).
        scores: What sequences are ranked by; float32 (B, G).
        sums: Sums of log-probabilities; float32 (B, G).
        lengths: New tokens, ``end_id`` included; int64 (B, G).
    """

    tokens: Tensor
    scores: Tensor
    sums: Tensor
    lengths: Tensor

    @classmethod
    def empty(cls, batch: int, num_beams: int, max_length: int, device: torch.device) -> '_Finished':
        tokens = torch.zeros(batch, num_beams, max_length, dtype=torch.int64, device=device)
        nothing = torch.full((batch, num_beams), -torch.inf, device=device)
        return cls(tokens, nothing, nothing.clone(), torch.zeros_like(tokens[:, :, 0]))

    def merge(self, tokens: Tensor, sums: Tensor, mask: Tensor, length: int, divisor: float) -> '_Finished':
        """Keep the best G of the old ones and the candidates (B, G) of ``length`` new tokens that ``mask`` marks."""
        scores = (sums / divisor).masked_fill(~mask, -torch.inf)
        scores, best = torch.cat([self.scores, scores], dim=1).topk(self.scores.shape[1], dim=1)
        return _Finished(
            _take(torch.cat([self.tokens, tokens], dim=1), best),
            scores,
            torch.cat([self.sums, sums], dim=1).gather(1, best),
            torch.cat([self.lengths, torch.full_like(self.lengths, length)], dim=1).gather(1, best),
        )

    def best(self, end_id: int) -> GenerationOutput:
        ids = _cut(self.tokens[:, 0], self.lengths[:, 0], end_id)
        return GenerationOutput(ids, self.scores[:, 0], self.sums[:, 0])


def _single_path(writing: Writing, limits: Limits, choose: Callable[[Tensor], Tensor]) -> GenerationOutput:
    """Write one sequence per sample; ``choose`` takes log-probabilities (B, V) and returns the next tokens (B,)."""
    start, end_id, pad_id = _checked_start(writing), writing.end_id, writing.pad_id
    batch = len(start)
    tokens = start.new_full((batch, limits.max_length), pad_id)
    sums = torch.zeros(batch, device=start.device)
    lengths = torch.zeros(batch, dtype=torch.int64, device=start.device)
    done = torch.zeros(batch, dtype=torch.bool, device=start.device)
    new_ids, cache = start, None
    for made in range(limits.max_length):
        logits, cache = writing.step(new_ids, cache)
        log_probs = limits.log_probs(logits, torch.cat([start, tokens[:, :made]], dim=1), made, end_id)
        chosen = choose(log_probs)
        sums += log_probs.gather(1, chosen[:, None]).squeeze(1).masked_fill(done, 0.0)
        tokens[:, made] = chosen.masked_fill(done, pad_id)
        lengths += ~done
        done |= chosen == end_id
        if done.all():
            break
        new_ids = tokens[:, made : made + 1]
    return GenerationOutput(_cut(tokens, lengths, end_id), sums / lengths, sums)


def _best_candidates(log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Find the best continuations over all beams of a sample: sums, parent beams and tokens, each (B, count).

    With fewer than ``count`` continuations (a tiny vocabulary), the rest are dead: their sum is -inf.
    """
    batch, _, vocabulary = log_probs.shape
    flat = log_probs.reshape(batch, -1)
    if flat.shape[1] < count:
        flat = torch.nn.functional.pad(flat, (0, count - flat.shape[1]), value=-torch.inf)
    sums, index = flat.topk(count, dim=1)
    index = index.masked_fill(sums.isneginf(), 0)  # dead ones must still name a row and a token that exist
    return sums, index // vocabulary, index % vocabulary


def _with_prompt(prompt_ids: Tensor, tokens: Tensor) -> Tensor:
    """Join prompt (B, L0) and new tokens (B, G, L) of every beam to (B * G, L0 + L)."""
    prompt = prompt_ids[:, None].expand(-1, tokens.shape[1], -1)
    return torch.cat([prompt, tokens], dim=2).flatten(0, 1)


def _take(sequences: Tensor, index: Tensor) -> Tensor:
    """Pick sequences (B, G, L) by index (B, K) into (B, K, L)."""
    return sequences.gather(1, index[:, :, None].expand(-1, -1, sequences.shape[2]))


def _cut(tokens: Tensor, lengths: Tensor, end_id: int) -> list[list[int]]:
    rows = [row[:length] for row, length in zip(tokens.tolist(), lengths.tolist())]
    return [row[:-1] if row and row[-1] == end_id else row for row in rows]


def _checked_start(writing: Writing) -> Tensor:
    shape = tuple(writing.start_ids.shape)
    if len(shape) != 2 or shape[1] < 1:
        raise OmniVLValueError(f'start_ids must be (B, L0) with L0 at least 1, got shape {shape}')
    return writing.start_ids
