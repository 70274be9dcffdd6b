"""Laws of the decoding functions, over a language model whose logits are a table looked up by a hash of the prefix."""

import itertools

import pytest
import torch
from torch import Tensor
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from omnivl.models.generation import Writing, beam_search, greedy, nucleus

END, PAD = 1, 0
ROWS = 9973


class HashedLM:
    """The next logits depend on every token so far; the cache is the hash, so a wrong reorder shows at once."""

    def __init__(self, vocabulary: int, seed: int = 0, end_bias: float = 0.0, scale: float = 2.0) -> None:
        self.table = torch.randn(ROWS, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale
        self.table[:, END] += end_bias
        self.calls = 0

    def step(self, ids: Tensor, cache: Tensor | None) -> tuple[Tensor, Tensor]:
        self.calls += 1
        state = torch.ones(len(ids), dtype=torch.int64) if cache is None else cache
        assert len(state) == len(ids)
        for column in ids.unbind(1):
            state = (state * 131 + column * 17 + 7) % ROWS
        return self.table[state], state

    @staticmethod
    def reorder(cache: Tensor, index: Tensor) -> Tensor:
        return cache[index]

    def log_prob(self, prompt: list[int], new: tuple[int, ...]) -> float:
        """Naive reference: the sum over the tokens of a whole sequence."""
        total = 0.0
        for position in range(len(new)):
            logits, _ = self.step(torch.tensor([[*prompt, *new[:position]]]), None)
            total += float(logits.log_softmax(-1)[0, new[position]])
        return total


class TransformersLM(PreTrainedModel, GenerationMixin):
    """The same model behind transformers' generate, without a cache."""

    config_class = PretrainedConfig

    def __init__(self, model: HashedLM) -> None:
        config = PretrainedConfig(
            vocab_size=model.table.shape[1], is_decoder=True, num_hidden_layers=1, hidden_size=1, num_attention_heads=1
        )
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.model = model

    def forward(self, input_ids: Tensor, **_: object) -> CausalLMOutput:
        logits, _state = self.model.step(input_ids, None)
        return CausalLMOutput(logits=logits[:, None])

    def prepare_inputs_for_generation(self, input_ids: Tensor, **_: object) -> dict[str, Tensor]:
        return {'input_ids': input_ids}


def prompts(batch: int, vocabulary: int, length: int = 2) -> Tensor:
    return torch.randint(2, vocabulary, (batch, length), generator=torch.Generator().manual_seed(3))


def run(method, model: HashedLM, prompt: Tensor, **options):
    return method(Writing(model.step, model.reorder, prompt, END, PAD), **options)


def without_end(row: list[int]) -> list[int]:
    return row[: row.index(END)] if END in row else row


@pytest.mark.parametrize('num_beams', [2, 3, 5])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'length_penalty': 0.6},
        {'length_penalty': 2.0},
        {'length_penalty': -1.0},
        {'length_penalty': 0.0, 'min_length': 4},
        {'repetition_penalty': 1.5},
        {'min_length': 12},
        {'min_length': 3, 'repetition_penalty': 1.2, 'length_penalty': 0.5},
    ],
)
@pytest.mark.parametrize('end_bias', [-1.0, 3.0])
def test_beam_search_equals_transformers(num_beams, options, end_bias):
    vocabulary, max_length = 13, 12
    for seed in range(3):
        model = HashedLM(vocabulary, seed, end_bias)
        prompt = prompts(6, vocabulary)
        ours = run(beam_search, model, prompt, max_length=max_length, num_beams=num_beams, **options)
        reference = TransformersLM(model).generate(
            prompt,
            num_beams=num_beams,
            do_sample=False,
            use_cache=False,
            early_stopping=False,
            max_new_tokens=max_length,
            min_new_tokens=options.get('min_length', 0),
            length_penalty=options.get('length_penalty', 1.0),
            repetition_penalty=options.get('repetition_penalty', 1.0),
            eos_token_id=END,
            pad_token_id=PAD,
            return_dict_in_generate=True,
            output_scores=True,
        )
        theirs = [without_end(row) for row in reference.sequences[:, prompt.shape[1] :].tolist()]
        # transformers pads what is shorter than the longest; our lists have no padding.
        assert [row[: len(mine)] for row, mine in zip(theirs, ours.ids)] == ours.ids
        assert all(set(row[len(mine) :]) <= {PAD} for row, mine in zip(theirs, ours.ids))
        torch.testing.assert_close(ours.scores, reference.sequences_scores, rtol=1e-5, atol=1e-5)


def blip_caption(model: HashedLM, prompt: list[int], most: int, fewest: int, beams: int, penalty: float):
    """The search of BLIP's time, with lists: lengths are of the whole sequence, before it is closed."""
    running, ended = [(0.0, list(prompt))], []
    for made in range(most):
        nexts = []
        for total, ids in running:
            log_probs = model.step(torch.tensor([ids]), None)[0].log_softmax(-1)[0]
            if made < fewest:
                log_probs[END] = -torch.inf
            nexts += [(total + float(value), ids, token) for token, value in enumerate(log_probs)]
        nexts = sorted(nexts, key=lambda one: -one[0])[: 2 * beams]
        for total, ids, token in nexts[:beams]:
            if token == END and total > -torch.inf:
                ended.append((total / len(ids) ** penalty, ids))
        ended = sorted(ended, key=lambda one: -one[0])[:beams]
        length = len(running[0][1])
        running = [(total, [*ids, token]) for total, ids, token in nexts if token != END][:beams]
        if len(ended) == beams and ended[-1][0] >= nexts[0][0] / length**penalty:
            break
    else:
        ended += [(total / len(ids) ** penalty, ids) for total, ids in running]
    score, ids = max(ended, key=lambda one: one[0])
    return ids[len(prompt) :], score


@pytest.mark.parametrize('penalty', [1.0, 0.0, 1.7])
@pytest.mark.parametrize('fewest', [1, 3])
def test_lengths_of_blip(penalty, fewest):
    """Prompt and words count, and the token that closes them does not: as a naive search has it, and other captions."""
    differ = 0
    for seed, end_bias in itertools.product(range(3), (0.0, 2.0)):
        model = HashedLM(12, seed, end_bias)
        prompt = prompts(5, 12, length=4)
        options = dict(max_length=9, min_length=fewest, num_beams=3, length_penalty=penalty)
        found = run(beam_search, model, prompt, lengths='blip', **options)
        expected = [blip_caption(model, row, 9, fewest, 3, penalty) for row in prompt.tolist()]
        assert found.ids == [ids for ids, _ in expected]
        assert found.scores.tolist() == pytest.approx([score for _, score in expected], abs=1e-4)
        differ += sum(one != other for one, other in zip(found.ids, run(beam_search, model, prompt, **options).ids))
    assert differ or penalty == 0.0


def test_other_lengths_have_their_message():
    with pytest.raises(ValueError, match=r"lengths must be one of \('new', 'blip'\), got 'old'"):
        run(beam_search, HashedLM(5), prompts(1, 5), max_length=3, lengths='old')


@pytest.mark.parametrize('min_length', [0, 5])
def test_greedy_equals_transformers(min_length):
    model = HashedLM(11, end_bias=1.0)
    prompt = prompts(8, 11)
    ours = run(greedy, model, prompt, max_length=9, min_length=min_length)
    reference = TransformersLM(model).generate(
        prompt, do_sample=False, num_beams=1, use_cache=False,
        max_new_tokens=9, min_new_tokens=min_length, eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    theirs = reference[:, prompt.shape[1] :].tolist()
    assert [without_end(row)[: len(mine)] for row, mine in zip(theirs, ours.ids)] == ours.ids
    assert any(END in row for row in theirs)


@pytest.mark.parametrize('length_penalty', [0.0, 1.0, 1.7])
def test_wide_beam_equals_exhaustive_search(length_penalty):
    vocabulary, max_length = 4, 4
    words = [token for token in range(vocabulary) if token != END]
    for seed in range(4):
        model = HashedLM(vocabulary, seed)
        prompt = [2, 3]
        sequences = [(*body, END) for n in range(max_length) for body in itertools.product(words, repeat=n)]
        sequences += list(itertools.product(words, repeat=max_length))
        scores = [model.log_prob(prompt, new) / len(new) ** length_penalty for new in sequences]
        best = max(range(len(sequences)), key=scores.__getitem__)
        found = run(beam_search, model, torch.tensor([prompt]), max_length=max_length,
                    num_beams=vocabulary ** (max_length - 1), length_penalty=length_penalty)  # fmt: skip
        assert found.ids == [without_end(list(sequences[best]))]
        assert found.scores.item() == pytest.approx(scores[best], abs=1e-4)
        assert found.log_probs.item() == pytest.approx(model.log_prob(prompt, sequences[best]), abs=1e-4)


def test_one_beam_is_greedy():
    model = HashedLM(9, end_bias=-1.0)
    prompt = prompts(7, 9)
    options = {'max_length': 6, 'min_length': 6, 'repetition_penalty': 1.3}
    one, other = run(greedy, model, prompt, **options), run(beam_search, model, prompt, num_beams=1, **options)
    assert one.ids == other.ids
    torch.testing.assert_close(one.scores, other.scores)
    torch.testing.assert_close(one.log_probs, other.log_probs)


@pytest.mark.parametrize(
    ('method', 'options'), [(greedy, {}), (beam_search, {'num_beams': 4}), (nucleus, {'top_p': 0.001})]
)
class TestEveryMethod:
    def test_scores_are_the_log_probs_of_the_sequence(self, method, options):
        model = HashedLM(12, end_bias=1.5)
        prompt = prompts(5, 12)
        output = run(method, model, prompt, max_length=7, **options)
        for row, (ids, score, total) in enumerate(zip(output.ids, output.scores, output.log_probs)):
            new = (*ids, END) if len(ids) < 7 else tuple(ids)
            assert total.item() == pytest.approx(model.log_prob(prompt[row].tolist(), new), abs=1e-4)
            assert score.item() == pytest.approx(total.item() / len(new), abs=1e-5)

    def test_a_sample_does_not_depend_on_its_batch(self, method, options):
        model = HashedLM(12, end_bias=1.0)
        prompt = prompts(6, 12)
        together = run(method, model, prompt, max_length=8, **options)
        alone = [run(method, model, prompt[i : i + 1], max_length=8, **options).ids[0] for i in range(6)]
        assert together.ids == alone

    def test_lengths_stay_in_their_range(self, method, options):
        prompt = prompts(16, 10)
        eager, reluctant = HashedLM(10, end_bias=50.0), HashedLM(10, end_bias=-50.0)
        assert all(len(ids) == 0 for ids in run(method, eager, prompt, max_length=6, **options).ids)
        assert {len(ids) for ids in run(method, eager, prompt, max_length=6, min_length=3, **options).ids} == {3}
        assert {len(ids) for ids in run(method, reluctant, prompt, max_length=6, **options).ids} == {6}
        assert {len(ids) for ids in run(method, reluctant, prompt, max_length=1, **options).ids} == {1}

    def test_stops_when_every_sample_is_done(self, method, options):
        model = HashedLM(10, end_bias=30.0)
        run(method, model, prompts(4, 10), max_length=50, **options)
        assert model.calls <= 3

    def test_a_large_penalty_forbids_repetition(self, method, options):
        model = HashedLM(16, end_bias=-50.0, scale=0.1)
        prompt = prompts(4, 16, length=1)
        output = run(method, model, prompt, max_length=8, repetition_penalty=1e4, **options)
        for row, ids in enumerate(output.ids):
            assert len({*ids, prompt[row, 0].item()}) == 9

    @pytest.mark.parametrize(
        ('bad', 'message'),
        [
            ({'max_length': 0}, r'max_length must be at least 1 new token, got 0'),
            ({'min_length': 9}, r'min_length must be between 0 and max_length = 8, got 9'),
            ({'repetition_penalty': 0.0}, r'repetition_penalty must be above 0 \(1 is off\), got 0.0'),
        ],
    )
    def test_arguments_out_of_range(self, method, options, bad, message):
        with pytest.raises(ValueError, match=message):
            run(method, HashedLM(8), prompts(2, 8), **({'max_length': 8} | options | bad))

    def test_prompt_without_tokens(self, method, options):
        with pytest.raises(ValueError, match=r'start_ids must be \(B, L0\) with L0 at least 1, got shape \(2, 0\)'):
            run(method, HashedLM(8), torch.zeros(2, 0, dtype=torch.int64), max_length=4, **options)


def test_vocabulary_smaller_than_the_beams():
    model = HashedLM(3, end_bias=-1.0)
    output = run(beam_search, model, prompts(2, 3), max_length=3, num_beams=10)
    assert all(set(ids) <= {0, 2} for ids in output.ids)
    assert output.scores.isfinite().all()


def test_prompt_runs_once_per_sample_and_beams_stay_grouped():
    widths = []
    model = HashedLM(8, end_bias=-9.0)

    def step(ids, cache):
        widths.append(tuple(ids.shape))
        return model.step(ids, cache)

    beam_search(Writing(step, model.reorder, prompts(4, 8, length=5), END, PAD), max_length=3, num_beams=3)
    assert widths == [(4, 5), (12, 1), (12, 1)]


def test_nucleus_is_seeded():
    model, prompt = HashedLM(40), prompts(6, 40)
    draws = [
        run(nucleus, model, prompt, max_length=8, top_p=0.9, generator=torch.Generator().manual_seed(seed)).ids
        for seed in (5, 5, 6)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_a_sample_with_a_generator_of_its_own_does_not_depend_on_its_batch():
    model, prompt = HashedLM(40), prompts(6, 40)

    def drawn(rows):
        generators = [torch.Generator().manual_seed(row) for row in rows]
        return run(nucleus, model, prompt[rows], max_length=8, top_p=0.9, generator=generators).ids

    together = drawn(list(range(6)))
    assert [drawn([row])[0] for row in range(6)] == together
    with pytest.raises(ValueError, match='2 generators for 6 samples; give one, or one each'):
        run(nucleus, model, prompt, max_length=2, generator=[torch.Generator()] * 2)


def test_nucleus_of_everything_samples_from_the_softmax():
    model = HashedLM(6, scale=1.0)
    prompt = torch.full((40_000, 1), 2)
    for temperature in (1.0, 0.5):
        output = run(nucleus, model, prompt, max_length=1, top_p=1.0, temperature=temperature,
                     generator=torch.Generator().manual_seed(0))  # fmt: skip
        drawn = torch.tensor([ids[0] if ids else END for ids in output.ids])
        expected = (model.step(prompt[:1], None)[0][0] / temperature).softmax(0)
        torch.testing.assert_close(drawn.bincount(minlength=6) / len(drawn), expected, atol=0.01, rtol=0)


def test_nucleus_draws_only_from_the_smallest_set_that_holds_top_p_or_from_top_k():
    table = torch.tensor([0.05, 0.0, 0.5, 0.3, 0.15]).log()

    def step(ids, cache):
        return table.expand(len(ids), -1), None

    nuclei = [(0.4, {2}), (0.7, {2, 3}), (0.9, {2, 3, 4}), (0.99, {0, 2, 3, 4})]
    cases = [(dict(top_p=top_p), allowed) for top_p, allowed in nuclei]
    cases += [(dict(top_k=2), {2, 3}), (dict(top_k=9), {0, 2, 3, 4}), (dict(top_p=0.9, top_k=1), {2})]
    for options, allowed in cases:
        writing = Writing(step, HashedLM.reorder, torch.full((500, 1), 2), END, PAD)
        output = nucleus(writing, max_length=1, **options, generator=torch.Generator().manual_seed(0))
        assert {token for ids in output.ids for token in ids} == allowed


def test_nucleus_top_k_out_of_range():
    with pytest.raises(ValueError, match='top_k must be at least 1, or None for no limit, got 0'):
        run(nucleus, HashedLM(8), prompts(1, 8), max_length=3, top_k=0)


@pytest.mark.parametrize('top_p', [0.0, -0.1, 1.1])
def test_nucleus_top_p_out_of_range(top_p):
    with pytest.raises(ValueError, match=r'top_p must be in \(0, 1\]'):
        run(nucleus, HashedLM(8), prompts(1, 8), max_length=3, top_p=top_p)


def test_nucleus_temperature_out_of_range():
    with pytest.raises(ValueError, match=r'temperature must be above 0, got 0; use greedy'):
        run(nucleus, HashedLM(8), prompts(1, 8), max_length=3, top_p=0.9, temperature=0)


def test_nucleus_generator_on_another_device():
    class ElsewhereGenerator:
        device = torch.device('cuda', 0)

    with pytest.raises(ValueError, match=r'the generator is on cuda:0, the prompt on cpu'):
        run(nucleus, HashedLM(8), prompts(1, 8), max_length=3, top_p=0.9, generator=ElsewhereGenerator())


def test_no_beams():
    with pytest.raises(ValueError, match='num_beams must be at least 1, got 0'):
        run(beam_search, HashedLM(8), prompts(1, 8), max_length=3, num_beams=0)
