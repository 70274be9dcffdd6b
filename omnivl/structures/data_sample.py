"""The one sample type, from the dataset to the metric."""

from mmengine.structures import BaseDataElement


class VLDataSample(BaseDataElement):
    """What is known of one visual and its text, beside the pixels.

    Everything here is a plain Python or numpy value: samples cross process borders thousands of times a second, and a
    tensor would take one shared-memory file each. The data preprocessor makes the tensors.

    Data fields (all optional, those that a dataset does not have are absent):

    - ``text_ids``: word-piece ids, [CLS] first and [SEP] last; numpy int64 (L_i,), unpadded.
    - ``caption_ids``: the same for every caption of the visual (retrieval), list of numpy int64 (L_ij,).
    - ``answer_ids``: word-piece ids of the distinct answers to the question, list of numpy int64 (L_ij,).
    - ``answer_weights``: what each of these counts in the loss, list of float.
    - ``target_id``: samples with the same id are positives of each other in UniVLC; int in [0, 2**63).
    - ``label``: index of the class among the classes of its source; int. Of a source whose samples have any number of
      classes 1 for each that is there and 0 for the others; tuple of int.

    Meta fields:

    - ``sample_id``: unique within its source; str.
    - ``source``: name of the dataset; str.
    - ``visual``: path of the image or video; str.
    - ``modality``: what ``visual`` is, a name of ``structures/modality.py``; str.
    - ``clip``: the part of the video that is meant, absent = all of it; start and end in seconds.
    - ``text``: the cleaned caption or the filled prompt that ``text_ids`` encodes; str.
    - ``question``: the cleaned question, which ``text_ids`` then encodes; str.
    - ``answers``: every answer that was given to it, repeated ones too, as published; list of str.
    - ``question_id``, ``question_type``, ``answer_type``: as published; int or str, str, str.
    - ``captions``: every true caption of the visual, or in multiple choice the texts to choose from; list of str.
    - ``references``: the true captions as they were published, empty where they were not; list of str.
    - ``domain``: NoCaps' domain of the image, ``'in'``, ``'near'`` or ``'out'``; str.
    - ``answer_index``: the place of the true one among these; int.
    - ``num_views``: how many clips of equal length lie one after the other in the frames; int, absent = 1.
    - ``unknown_words``: words of its texts that have become [UNK], absent = none; list of str.

    Example:
        >>> sample = VLDataSample(metainfo=dict(sample_id='7', modality='image', text='a red circle'))
        >>> sample.target_id = 3
        >>> sample.modality, sample.target_id
        ('image', 3)
    """
