"""What a plan holds, and what a sentence says, read by rules that know nothing of the templates."""

import re

from projects.demo.corpus.tasks.sentences import TURNED
from projects.demo.corpus.world import COLOURS, SHAPES, ClipScene, PictureScene, Thing

THING = f'({"|".join(COLOURS)}) ({"|".join(SHAPES)})'
ACTION = r'\b(dis|)(appear|grow|shrink|mov)\w*( left| right| up| down|)'


def of(plan, kind, split):
    return [item for item in plan if (item.kind, item.split) == (kind, split)]


def picture_of(sentence):
    (first, second), (relation,) = re.findall(THING, sentence), re.findall('above|below|left of|right of', sentence)
    one, other = Thing(*first), Thing(*second)
    sizes = re.split(THING, sentence)
    big, small = ('large', 'larger', 'big'), ('small', 'smaller', 'little')
    said = [next((word for word in sizes[place].split() if word in big + small), None) for place in (0, 3)]
    assert any(said), sentence
    first_is_large = said[0] in big if said[0] else said[1] in small
    assert said[1] is None or (said[1] in small) == first_is_large
    # 'one with another above it': the relation is that of the one named last.
    first_is_subject = not sentence.endswith(' it')
    if first_is_large:
        return PictureScene(one, other, relation if first_is_subject else TURNED[relation])
    return PictureScene(other, one, TURNED[relation] if first_is_subject else relation)


def clip_of(sentence):
    one, other = (Thing(*found) for found in re.findall(THING, sentence))
    word = re.search(ACTION, sentence).group(0)
    verb, _, where = word.partition(' ')
    stem = re.sub('(e|es|ing|s)$', '', verb)
    action = f'{stem}ing {where}'.strip()
    # The thing that is 'near' comes before the one that acts only where the sentence begins with either.
    turned = sentence.startswith('near ') or sentence.startswith('the shape ')
    return ClipScene(other, one, action) if turned else ClipScene(one, other, action)
