"""DOCX files, made here of their XML."""

from __future__ import annotations

import io
import zipfile

import pytest

from mundap.library.chunking import cut
from mundap.library.parsing import UnreadablePage
from tests.library.parsing.pages import links, parsed

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" '
    'ContentType="application/xml"/><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
    f'Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
    "word/_rels/document.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="l1" Type="{OFFICE}/hyperlink" Target="https://example.com/tea" '
    'TargetMode="External"/>'
    f'<Relationship Id="l2" Type="{OFFICE}/hyperlink" Target="javascript:alert(1)" '
    f'TargetMode="External"/><Relationship Id="s" Type="{OFFICE}/styles" Target="styles.xml"/>'
    f'<Relationship Id="n" Type="{OFFICE}/numbering" Target="numbering.xml"/></Relationships>',
    "word/styles.xml": f'<w:styles xmlns:w="{W}">'
    + "".join(
        f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{name}"/></w:style>'
        for key, name in (("1", "heading 1"), ("2", "제목 2"), ("c", "Source Code"))
    )
    + "</w:styles>",
    "word/numbering.xml": f'<w:numbering xmlns:w="{W}"><w:abstractNum w:abstractNumId="0">'
    '<w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum><w:num w:numId="1">'
    '<w:abstractNumId w:val="0"/></w:num></w:numbering>',
}


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(content: str, style: str = "", *, is_item: bool = False) -> str:
    inner = content if content.startswith("<") else run(content)
    numbering = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>' if is_item else ""
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{named}{numbering}</w:pPr>{inner}</w:p>"


def cells(*texts: str) -> str:
    return "<w:tr>" + "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in texts) + "</w:tr>"


def made(*body: str, **parts: str) -> bytes:
    document = f'<w:document xmlns:w="{W}" xmlns:r="{OFFICE}"><w:body>{"".join(body)}</w:body></w:document>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (PARTS | {"word/document.xml": document} | parts).items():
            archive.writestr(name, content)
    return file.getvalue()


def test_headings_lists_tables_code_and_links():
    page = parsed(
        made(
            paragraph("Brewing", "1"),
            paragraph(
                run("See ") + f'<w:hyperlink r:id="l1">{run("our tea")}</w:hyperlink>' + run(".")
            ),
            paragraph("물 끓이기", "2"),
            paragraph("black", is_item=True),
            paragraph("green", is_item=True),
            f"<w:tbl>{cells('Tea', 'Minutes')}{cells('black', '4')}</w:tbl>",
            paragraph("def boil():", "c"),
            paragraph("    return steam", "c"),
            paragraph(f'<w:hyperlink r:id="l2">{run("trap")}</w:hyperlink>'),
        ),
        ".docx",
    )
    drafts = cut(page)
    assert [draft.headings for draft in drafts] == [("Brewing",), ("Brewing", "물 끓이기")]
    assert drafts[0].text == "See our tea."
    assert links(page) == {"our tea": "https://example.com/tea"}
    assert "- black\n- green" in drafts[1].text
    assert "| Tea | Minutes |" in drafts[1].text
    assert "| black | 4 |" in drafts[1].text
    assert "```\ndef boil():\n    return steam\n```" in drafts[1].text
    assert "trap" in drafts[1].text


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = made(paragraph("x"), **{"word/media/notes.xml": "0" * 40_000_000})
    assert len(bomb) < 100_000
    with pytest.raises(UnreadablePage, match="larger than 30 MB"):
        parsed(bomb, ".docx")


def test_one_that_defines_entities_is_refused():
    entities = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    with pytest.raises(UnreadablePage, match="not a DOCX"):
        parsed(made(**{"word/document.xml": entities}), ".docx")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"plain words", "not a DOCX"),
        (made(paragraph("x"))[:400], "damaged"),
        (made(paragraph("x" * 5000)).replace(b"PK\x05\x06", b"PK\x05\x07"), "not a DOCX"),
        (made(**{"word/document.xml": "<w:document"}), "could not be read|not a DOCX"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "password"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument".encode("utf-16-le"), "old Word"),
    ],
    ids=["text", "half", "without-contents", "bad-xml", "encrypted", "doc"],
)
def test_what_cannot_be_read_says_why(data, said):
    with pytest.raises(UnreadablePage, match=said):
        parsed(data, ".docx")
