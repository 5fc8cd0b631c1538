"""What a summary may borrow from its content as it is: code and links. Whatever else looks like them goes."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict

from mundap.answers.markup import outside_code
from mundap.answers.sections import Content

_FENCED = re.compile(
    r"^[ \t]*(?P<mark>`{3,}+|~{3,}+)(?P<language>[^\n]*)\n(?P<body>.*?)(?:^[ \t]*(?P=mark)[ \t]*$\n?|\Z)",
    re.MULTILINE | re.DOTALL,
)
_ADDRESS = r"(?:[^()\s<>]|\([^()\s<>]*\))+"
_LINK = re.compile(
    rf"!?\[(?P<label>[^\[\]\n]*)\]\(\s*<?(?P<address>{_ADDRESS})?>?[^)\n]{{0,300}}\)"
    rf"|<?(?P<bare>https?://{_ADDRESS})>?",
    re.IGNORECASE,
)


def with_own_code(text: str, content: Content) -> str:
    """Return the text with the content's own lines in its code blocks; a block that is nowhere there is left out."""
    lines: list[str] = []
    for entry in content.entries:
        lines += [*entry.text.splitlines(), "\0"]  # no block goes on in another passage
    bare = [line.strip() for line in lines]
    places: dict[str, list[int]] = defaultdict(list)
    for place, line in enumerate(bare):
        places[line].append(place)

    def own(match: re.Match[str]) -> str:
        wanted = [line.strip() for line in match["body"].strip("\n").splitlines()]
        for place in places.get(wanted[0], ()) if any(wanted) else ():
            end = place + len(wanted)
            if bare[place:end] == wanted:
                body = textwrap.dedent("\n".join(lines[place:end]))
                return f"```{match['language'].strip()}\n{body}\n```\n"
        return ""

    return _FENCED.sub(own, text)


def with_own_links(text: str, content: Content) -> str:
    """Return the text with only links that the content has; of others their words stay, of bare addresses nothing."""
    known = {link.address for link in content.links}

    def own(match: re.Match[str]) -> str:
        if match["bare"]:
            address = match["bare"].rstrip(".,;:!?")
            is_said = address in known or any(address in entry.text for entry in content.entries)
            return match.group() if is_said else ""
        label = match["label"]
        if match["address"] in known:
            return f"[{label}]({match['address']})"
        return f"[{label}]" if label.isdigit() else label  # that was a marker

    return outside_code(text, lambda prose: _LINK.sub(own, prose))
