"""A follow-up question made self-contained without a model, by a rule that adds and never replaces.

"And with Sentinel?" says too little to search with; the question before it says the rest. The question as typed stays
the first query; where it looks incomplete, it is searched once more together with the one before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mundap.retrieval.lexical import query_terms

FEW_TERMS = 6  # a question with more different terms usually stands by itself
_REFERS_BACK = re.compile(
    r"\b(it|its|that|this|those|these|they|them|there|then|instead|same|another|one|ones)\b"
    r"|^(and|but|or|so|also|what about|how about|what if|why)\b"
    r"|그럼|그러면|그런데|그건|그거|그걸|그게|그것|그때|그중|이건|이거|이걸|이것|이때|저건|거기|여기|방금|위에|아까|말고|대신|반대로|같은",
    re.IGNORECASE,
)


def with_history(question: str, said: Sequence[str]) -> list[str]:
    """Return the queries for `question` after the questions `said` before it, oldest first."""
    if not said or not (_REFERS_BACK.search(question) or len(query_terms(question)) <= FEW_TERMS):
        return [question]
    return [question, f"{said[-1]} {question}"]
