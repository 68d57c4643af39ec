"""DICOM files, those of pydicom's wheel and some of our own."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgenas.data.dicom import decode_dicom
from edgenas.data.folder import open_folder
from edgenas.data.preprocess import SHOWN, to_rgb
from edgenas.data.tones import decide, tones_of
from edgenas.errors import DataError, MissingBackendError

FOUND = find_spec("pydicom")  # not imported by workers that do not run this
if FOUND is None or FOUND.origin is None:
    pytest.skip("pydicom is not installed", allow_module_level=True)
FILES = Path(FOUND.origin).parent / "data" / "test_files"


def write(path: Path, values: np.ndarray, **more: object) -> Path:
    """A file of 12 bits in 16."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = SecondaryCaptureImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.Rows, header.Columns = values.shape
    header.SamplesPerPixel, header.BitsAllocated, header.BitsStored, header.HighBit = 1, 16, 12, 11
    header.PixelRepresentation, header.PhotometricInterpretation = 0, "MONOCHROME2"
    header.PixelData = values.astype("<u2").tobytes()
    for name, value in more.items():
        setattr(header, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


RAMP = np.linspace(0, 4095, 64).reshape(8, 8).round()


def test_slope_and_intercept_give_hounsfield_units() -> None:
    from pydicom import dcmread

    values = np.asarray(decode_dicom(FILES / "CT_small.dcm"))
    raw = dcmread(FILES / "CT_small.dcm").pixel_array
    assert np.array_equal(values, raw.astype(np.float32) - 1024)


def test_twelve_bits_are_shown_with_their_levels(tmp_path: Path) -> None:
    image = decode_dicom(write(tmp_path / "a.dcm", RAMP))
    assert decide({"a": tones_of(image)}).grey_range == (0, 4095)


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    usual = decode_dicom(write(tmp_path / "a.dcm", RAMP))
    turned = decode_dicom(write(tmp_path / "b.dcm", 4095 - RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(np.asarray(usual), np.asarray(turned))


@pytest.mark.parametrize(("kind", "darkest"), [("MONOCHROME2", 1200), ("MONOCHROME1", 4095 - 2800)])
def test_padding_is_as_dark_as_the_darkest_that_was_seen(tmp_path: Path, kind: str, darkest: int) -> None:
    stored = np.full((8, 8), 2000)
    stored[0, :2], stored[4, 4], stored[5, 5] = (0, 3), 1200, 2800
    named: dict[str, object] = {"PhotometricInterpretation": kind}
    plain = np.asarray(decode_dicom(write(tmp_path / "a.dcm", stored, **named)))
    named |= {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 5}
    values = np.asarray(decode_dicom(write(tmp_path / "b.dcm", stored, **named)))
    assert values[0, :2].tolist() == [darkest, darkest] == [values.min()] * 2
    assert np.array_equal(values[1:], plain[1:])
    empty = np.asarray(decode_dicom(write(tmp_path / "c.dcm", np.zeros((8, 8)), **named)))
    assert len(np.unique(empty)) == 1


def test_the_window_of_the_header_is_shown_unless_a_range_is_set(tmp_path: Path) -> None:
    image = decode_dicom(write(tmp_path / "a.dcm", RAMP, WindowCenter=1000, WindowWidth=200))
    seen = {"a": tones_of(image)}
    assert decide(seen).grey_range is None
    assert set(np.asarray(to_rgb(image))[RAMP > 1150].ravel().tolist()) == {255}
    assert set(np.asarray(to_rgb(image))[RAMP < 850].ravel().tolist()) == {0}
    assert np.asarray(to_rgb(image, (0, 4095)))[..., 0][7, 7] == 255
    other = tones_of(decode_dicom(write(tmp_path / "b.dcm", RAMP)))
    assert decide({**seen, "b": other}).grey_range == (0, 4095)


def test_empty_window_tags_are_no_window(tmp_path: Path) -> None:
    image = decode_dicom(write(tmp_path / "a.dcm", RAMP, BitsStored=16, HighBit=15, WindowCenter=None, WindowWidth=None))
    assert SHOWN not in image.info
    assert decide({"a": tones_of(image)}).grey_range == (0, 4095)


def test_windows_that_leave_images_nearly_black_are_not_used(tmp_path: Path) -> None:
    image = decode_dicom(write(tmp_path / "a.dcm", RAMP, WindowCenter=32767, WindowWidth=65535))
    result = decide({"a": tones_of(image)})
    assert result.grey_range == (0, 4095)
    assert "the windows in their headers are not used, as they leave 6.3 % of the levels to a typical image" in result.notes[0]


def test_single_images_that_their_window_hides_are_a_warning(tmp_path: Path) -> None:
    shown = decode_dicom(write(tmp_path / "a.dcm", RAMP, WindowCenter=2000, WindowWidth=4000))
    hidden = decode_dicom(write(tmp_path / "b.dcm", RAMP, WindowCenter=20000, WindowWidth=10))
    result = decide({"a": tones_of(shown), "b": tones_of(shown), "c": tones_of(hidden)})
    assert result.grey_range is None
    assert any("1 image(s) are one grey in the window of their header" in line for line in result.warnings)


def test_a_window_on_monochrome1_is_turned_round_after_it(tmp_path: Path) -> None:
    window = {"WindowCenter": 1000, "WindowWidth": 200}
    usual = decode_dicom(write(tmp_path / "a.dcm", RAMP, **window)).info[SHOWN]
    turned = decode_dicom(write(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1", **window)).info[SHOWN]
    assert np.array_equal(np.asarray(usual), 255 - np.asarray(turned))


@pytest.mark.parametrize("name", ["examples_palette", "examples_rgb_color", "examples_ybr_color", "SC_rgb_rle_16bit", "JPEG2000"])
def test_colours_palettes_and_compressed_files_are_read(name: str) -> None:
    assert len(np.unique(np.asarray(to_rgb(decode_dicom(FILES / f"{name}.dcm"))))) > 2


@pytest.mark.parametrize("name", ["rtdose_1frame", "liver_1frame"])
def test_files_of_32_and_1_bits_are_read(name: str) -> None:
    assert decode_dicom(FILES / f"{name}.dcm").mode == "F"


@pytest.mark.parametrize("name", ["MR_truncated", "badVR", "waveform_ecg"])
def test_damaged_files_and_those_without_pixels_are_named(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}.dcm is no DICOM file that can be decoded"):
        decode_dicom(FILES / f"{name}.dcm")


def folder(root: Path) -> str:
    for number, name in enumerate("abab"):
        who = {} if number == 3 else {"PatientID": f"P{number // 2}", "InstitutionName": "North"}
        write(root / name / f"{number}.dcm", RAMP + number, **who)
    return str(root)


def test_patients_and_sites_come_from_the_headers(tmp_path: Path) -> None:
    images = open_folder(folder(tmp_path))
    assert images.ids == ("a/0.dcm", "a/2.dcm", "b/1.dcm", "b/3.dcm")
    assert images.groups == ("P0", "P1", "P0", "b/3.dcm")
    assert images.sites == ("North", "North", "North", "unknown")
    assert images.notes[-1] == "4 DICOM file(s): 3 name their patient, 3 their site in the header"


def test_without_pydicom_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingBackendError) as caught:
        open_folder(root)
    assert caught.value.hint == "pip install 'edgenas[dicom]'"
