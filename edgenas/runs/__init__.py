"""Run folders: files that survive anything, journals of long work, and the records that every recipe yields."""

from edgenas.runs.files import (
    append_jsonl,
    atomic_path,
    cannot_write,
    dump_json,
    jsonable,
    read_json,
    read_sealed,
    sha256_file,
    sha256_json,
    sync_folder,
    write_json,
    write_sealed,
    write_text,
)
from edgenas.runs.folder import RunFolder, locked, scratch
from edgenas.runs.journal import Journal
from edgenas.runs.records import Epoch, Found, Front, Note, Outcome, Picture, Progress, Record, quietly

__all__ = [
    "Epoch",
    "Found",
    "Front",
    "Journal",
    "Note",
    "Outcome",
    "Picture",
    "Progress",
    "Record",
    "RunFolder",
    "append_jsonl",
    "atomic_path",
    "cannot_write",
    "dump_json",
    "jsonable",
    "locked",
    "quietly",
    "read_json",
    "read_sealed",
    "scratch",
    "sha256_file",
    "sha256_json",
    "sync_folder",
    "write_json",
    "write_sealed",
    "write_text",
]
