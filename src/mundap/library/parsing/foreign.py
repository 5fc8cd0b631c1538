"""What a file is that no format reads, by its first bytes, so that a message can say so."""

from __future__ import annotations

# Signatures: https://www.garykessler.net/library/file_sigs.html and the formats' own specifications.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"BM", "a picture (BMP)"),
    (b"II*\0", "a picture (TIFF)"),
    (b"MM\0*", "a picture (TIFF)"),
    (b"\0\0\1\0", "an icon"),
    (b"ID3", "a sound (MP3)"),
    (b"OggS", "a sound or film (Ogg)"),
    (b"fLaC", "a sound (FLAC)"),
    (b"\x1aE\xdf\xa3", "a film (Matroska or WebM)"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"BZh", "a compressed file (bzip2)"),
    (b"\xfd7zXZ\0", "a compressed file (xz)"),
    (b"(\xb5/\xfd", "a compressed file (zstd)"),
    (b"7z\xbc\xaf'\x1c", "an archive (7z)"),
    (b"Rar!\x1a\x07", "an archive (RAR)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\0asm", "a program (WebAssembly)"),
    (b"SQLite format 3\0", "a database (SQLite)"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"%!PS-Adobe", "a PostScript file"),
    (b"{\\rtf", "a Rich Text file (save it as DOCX)"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Two letters begin many a text; these signatures count only where zeros follow.
_SHORT = 2
_IN_ZIP = (
    (b"xl/", "an Excel workbook"),
    (b"ppt/", "a PowerPoint file"),
    (b"mimetypeapplication/vnd.oasis.opendocument", "an OpenDocument file (save it as DOCX)"),
    (b"mimetypeapplication/epub", "an electronic book (EPUB)"),
    (b"mimetypeapplication/hwp+zip", "a Hangul document (save it as DOCX or PDF)"),
)


def foreign_kind(data: bytes) -> str:
    """Return what these bytes are if they are clearly something that is no text, else nothing."""
    head = data[:4096]
    if head.startswith(_OLE):
        return _ole_kind(data)
    if head.startswith(b"PK\x03\x04"):
        return next(
            (name for mark, name in _IN_ZIP if mark in data[:100_000]),
            "a zip archive or a damaged document",
        )
    if head[4:8] == b"ftyp":
        return "a film (MP4) or picture"
    if head.startswith(b"RIFF") and head[8:12] in {b"WEBP", b"WAVE", b"AVI "}:
        return "a picture, sound or film"
    for mark, name in _SIGNATURES:
        if head.startswith(mark) and (len(mark) > _SHORT or b"\0" in head):
            return name
    return ""


def _ole_kind(data: bytes) -> str:
    """Return what a container of the old Microsoft kind holds; encrypted new files are in one, too."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        return "an Office file encrypted with a password (save it without one)"
    if b"HWP Document File" in data:
        return "a Hangul document (save it as DOCX or PDF)"
    if "WordDocument".encode("utf-16-le") in data:
        return "an old Word file (save it as DOCX)"
    return "an old Office file"
