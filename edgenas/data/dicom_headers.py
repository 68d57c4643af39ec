"""Patients and sites that the headers of DICOM files name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgenas.data.dicom import import_pydicom
from edgenas.data.files import DICOM_EXTENSIONS, FileImages, is_plain
from edgenas.data.quiet import quietly

_PATIENT, _SITES = "PatientID", ("InstitutionName", "StationName")


def with_headers(images: FileImages) -> FileImages:
    """The same images with the patients and sites that DICOM headers name, where the source itself names none.

    Only headers are read. A file without a patient, or of another kind, is a patient of its own; without a site it is at "unknown".

    Raises:
        MissingBackendError: without pydicom, if there is a DICOM file.
    """
    places = [position for position, path in enumerate(images.paths) if path.suffix.lower() in DICOM_EXTENSIONS]
    if not places:
        return images
    pydicom = import_pydicom()
    patients, sites = list(images.ids), ["unknown"] * len(images.ids)
    num_patients = num_sites = 0
    for position in places:
        patient, site = _header_of(pydicom, images.paths[position])
        if patient:
            patients[position], num_patients = patient, num_patients + 1
        if site:
            sites[position], num_sites = site, num_sites + 1
    notes = [f"{len(places):,} DICOM file(s): {num_patients:,} name their patient, {num_sites:,} their site in the header"]
    return replace(
        images,
        groups=tuple(patients) if images.groups is None and num_patients else images.groups,
        sites=tuple(sites) if images.sites is None and num_sites else images.sites,
        notes=(*images.notes, *notes),
    )


def _header_of(pydicom: Any, path: Path) -> tuple[str, str]:
    """Patient and site; empty where the header names none, or cannot be read: decoding the file will tell."""
    try:
        with quietly():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[_PATIENT, *_SITES])
            return _text(header, [_PATIENT]), _text(header, _SITES)
    except Exception:  # noqa: BLE001 - of pydicom, which has no base of its own errors
        return "", ""


def _text(header: Any, names: Sequence[str]) -> str:
    """The first of these that the header has, on one line."""
    for name in names:
        text = " ".join(str(header.get(name) or "").split())
        if text and is_plain(text):
            return text
    return ""
