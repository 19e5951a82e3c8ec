"""DICOM radiographs: their pixels, what is refused, and what is not told of the patient."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_voi_lut
from pydicom.sequence import Sequence

from cxr14.preprocessing.complete import MAX_PIXELS, ImageError
from cxr14.preprocessing.decode import decode, shrink
from tests.datasets.dicoms import (
    LOSSLESS,
    SECRETS,
    compressed,
    dicom,
    dicom_of_png,
    saved,
    with_frame,
)
from tests.datasets.pictures import encode, noise
from tests.loaded import loaded

SIDES = (40, 50)
RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)
RAMP_12 = np.arange(4096, dtype=np.uint16).reshape(64, 64)
BASELINE = "1.2.840.10008.1.2.4.50"


def smooth(bits: int) -> np.ndarray:
    """A gradient over all values of the bits, uint8 or uint16."""
    values = np.linspace(0, 2**bits - 1, SIDES[0] * SIDES[1]).reshape(SIDES)
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def levels(content: bytes) -> np.ndarray:
    return decode(content, "a.dcm").pixels


def lookup(first: int, values: list[int], bits: int, vr: str = "US") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values) % 65536, first, bits])
    packed = np.array(values, "<u2").tobytes()
    item.add_new("LUTData", vr, values if vr == "US" else packed)
    return item


# Pixels.


@pytest.mark.parametrize("syntax", ["", *LOSSLESS])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_the_upper_eight_of_the_stored_bits_are_kept_in_every_lossless_syntax(syntax, bits):
    plain = dicom(smooth(bits), bits)
    content = compressed(plain, syntax) if syntax else plain
    decoded = decode(content, "a.dcm")
    assert (decoded.pixels == smooth(bits) >> (bits - 8)).all()
    assert (decoded.format, decoded.remarks) == ("DICOM", {"dicom"})
    assert decoded.mode == ("L" if bits == 8 else "I;16")


@pytest.mark.parametrize("syntax", ["", *LOSSLESS])
def test_a_png_and_its_lossless_dicom_give_the_same_cached_bytes(syntax):
    png = encode(noise(1, 90, 70))
    first, second = shrink(png, 32, "a.png"), shrink(dicom_of_png(png, syntax), 32, "a.dcm")
    assert (first.pixels == second.pixels).all()
    assert second.remarks == ("dicom", *first.remarks)


@pytest.mark.parametrize("syntax", ["", *LOSSLESS])
def test_real_pngs_and_their_lossless_dicoms_give_the_same_cached_bytes(nih, syntax):
    path = sorted((nih / "images").glob("*.png"))[LOSSLESS.index(syntax) if syntax else -1]
    png = path.read_bytes()
    content = dicom_of_png(png, syntax)
    assert (shrink(png, 224, "a.png").pixels == shrink(content, 224, "a.dcm").pixels).all()


def test_a_png_of_16_bits_and_its_dicom_give_the_same_pixels():
    png = encode(Image.fromarray(smooth(16)))
    assert (levels(dicom(smooth(16))) == decode(png, "a.png").pixels).all()


def test_a_jpeg_and_the_dicom_around_it_give_the_same_pixels():
    buffer = io.BytesIO()
    Image.fromarray(smooth(8)).save(buffer, "JPEG", quality=80)
    jpeg = buffer.getvalue()
    content = with_frame(dicom(smooth(8)), jpeg, BASELINE)
    assert (levels(content) == decode(jpeg, "a.jpg").pixels).all()


def test_a_lossy_jpeg_of_12_bits_has_the_pixels_that_dcmtk_decodes():
    """pydicom's own tests compare this pixel with the output of dcmdjpeg."""
    file = dcmread(get_testdata_file("JPGExtended.dcm"))
    file.Modality, file.VOILUTFunction = "DX", "LINEAR_EXACT"
    file.WindowCenter, file.WindowWidth = 128, 256
    assert levels(saved(file))[420, 140] == 244


def test_jpeg_2000_has_the_pixels_of_another_decoder():
    file = dcmread(get_testdata_file("JPEG2000.dcm"))
    file.Modality, file.WindowCenter, file.WindowWidth = "DX", 500, 1000
    content = saved(file)
    file.pixel_array_options(decoding_plugin="pillow")
    fractions = np.clip((file.pixel_array - 499.5) / 999 + 0.5, 0, 1)
    assert (levels(content) == np.clip(256 * fractions, 0, 255).astype(np.uint8)).all()


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm"])
def test_lossy_jpeg_ls_without_a_modality_is_read(name):
    file = dcmread(get_testdata_file(name))
    file.pixel_array_options(decoding_plugin="gdcm")
    assert (levels(saved(file)) == file.pixel_array >> (file.BitsStored - 8)).all()


@pytest.mark.parametrize(
    "kind", ["bigendian", "implicit", "RLE", "jp2klossless", "jpeg_ls_lossless"]
)
def test_one_image_in_several_transfer_syntaxes_has_the_same_pixels(kind):
    first = levels(foreign("MR_small.dcm", Modality="DX"))
    assert (levels(foreign(f"MR_small_{kind}.dcm", Modality="DX")) == first).all()
    assert np.ptp(first) > 200


def test_signed_pixels_and_bits_above_the_stored_ones_are_read_as_dicom_says():
    signed = (smooth(12).astype(np.int16) - 2048).astype(np.int16)
    assert (levels(dicom(signed, 12)) == smooth(12) >> 4).all()
    marked = smooth(12) | np.uint16(0x5000)  # an overlay, in old files
    assert (levels(dicom(marked, 12)) == smooth(12) >> 4).all()


# Intensities.


def test_by_hand_a_linear_window_is_black_below_and_white_above_it():
    content = dicom(RAMP, WindowCenter=100, WindowWidth=11)  # from 94.5 to 104.5 (C.11.2.1.2.1)
    expected = {94: 0, 95: 12, 99: 115, 100: 140, 104: 243, 105: 255}
    assert {n: int(levels(content).flat[n]) for n in expected} == expected
    narrow = levels(dicom(RAMP, WindowCenter=100, WindowWidth=1)).ravel()
    assert narrow.tolist() == [0] * 100 + [255] * 156


@pytest.mark.filterwarnings("ignore:overflow")  # of pydicom's sigmoid, far below the window
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@settings(max_examples=20)
@given(center=st.integers(-500, 5000), width=st.integers(2, 6000), slope=st.sampled_from([1, 2]))
def test_windows_are_those_of_pydicom(function, center, width, slope):
    elements = {"WindowCenter": [center, 1], "WindowWidth": [width, 2]}
    elements |= {"VOILUTFunction": function, "RescaleSlope": slope, "RescaleIntercept": -10}
    content = dicom(RAMP_12, 12, **elements)
    values = apply_voi_lut(RAMP_12 * float(slope) - 10, dcmread(io.BytesIO(content)))
    expected = np.clip(256 * (values + 10) / (4095 * slope), 0, 255).astype(int)
    assert np.abs(levels(content) - expected).max() <= 1  # their range is scaled with rounding


@settings(max_examples=20)
@given(center=st.integers(0, 4095), width=st.integers(2, 6000))
def test_inverted_pixels_in_monochrome1_give_the_pixels_of_monochrome2(center, width):
    inverted = np.uint16(4095) - RAMP_12
    plain = dicom(inverted, 12, PhotometricInterpretation="MONOCHROME1")
    assert (levels(plain) == RAMP_12 >> 4).all()
    normal = dicom(RAMP_12, 12, WindowCenter=center, WindowWidth=width)
    mirror = {"WindowCenter": 4096 - center, "WindowWidth": width}
    windowed = dicom(inverted, 12, PhotometricInterpretation="MONOCHROME1", **mirror)
    difference = levels(windowed).astype(int) - levels(normal)
    assert np.abs(difference).max() <= 1
    assert (difference == 0).mean() > 0.9


def test_a_voi_lut_has_precedence_over_a_window_and_the_first_of_several_counts():
    square = [n * n // 256 for n in range(256)]
    items = Sequence([lookup(0, square, 8, "OW"), lookup(0, [0, 1], 8)])
    content = dicom(RAMP, WindowCenter=1, WindowWidth=1, VOILUTSequence=items)
    assert levels(content).ravel().tolist() == [min(255, n * 256 // 255) for n in square]


def test_a_voi_lut_of_8_bits_over_more_than_256_values_is_not_wrapped():
    table = [n * 255 // 999 for n in range(1000)]
    content = dicom(RAMP_12, 12, VOILUTSequence=Sequence([lookup(1000, table, 8)]))
    values = levels(content).ravel()
    assert (values[:1001] == 0).all()
    assert (values[1999:] == 255).all()
    assert (np.diff(values.astype(int)) >= 0).all()


def test_a_modality_lut_and_a_negative_slope_come_before_the_window():
    inverse = dicom(RAMP, RescaleSlope=-1, RescaleIntercept=255)
    assert (levels(inverse) == 255 - RAMP).all()
    item = lookup(0, list(range(255, -1, -1)), 8)
    item.ModalityLUTType = "US"
    assert (levels(dicom(RAMP, ModalityLUTSequence=Sequence([item]))) == 255 - RAMP).all()
    doubled = {"RescaleSlope": 2, "RescaleIntercept": 10, "WindowCenter": 138, "WindowWidth": 256}
    assert (levels(dicom(RAMP, **doubled)) == np.minimum(2 * RAMP.astype(int), 255)).all()


@pytest.mark.parametrize("window", [(128, 0), (128, -3), (None, 4), (3, None), (None, None)])
def test_a_window_without_a_center_or_a_width_that_dicom_allows_is_none(window):
    content = dicom(RAMP, WindowCenter=window[0], WindowWidth=window[1])
    assert (levels(content) == RAMP).all()


def test_unused_upper_bits_are_remarked_unless_there_is_a_window():
    values = smooth(12) // 8
    assert decode(dicom(values, 12), "a.dcm").remarks == {"dicom", "unused_bits"}
    inverse = dicom(values, 12, PhotometricInterpretation="MONOCHROME1")
    assert decode(inverse, "a.dcm").remarks == {"dicom", "unused_bits"}
    assert decode(dicom(values, 12, WindowCenter=2e4, WindowWidth=9), "a").remarks == {"dicom"}


def test_the_spacing_of_the_patient_has_precedence_over_that_of_the_detector():
    detector = {"ImagerPixelSpacing": [0.2, 0.1]}
    assert decode(dicom(RAMP, **detector), "a").spacing == (0.1, 0.2)
    both = detector | {"PixelSpacing": [0.15, 0.14]}
    shrunk = shrink(dicom(smooth(8), **both), 32, "a.dicom")
    assert (shrunk.pixel_spacing_x, shrunk.pixel_spacing_y) == (0.14, 0.15)
    assert decode(dicom(RAMP, PixelSpacing=[0, 0]), "a").spacing is None


# Refusals.


def foreign(name: str, **elements) -> bytes:
    """One of pydicom's files, whose elements were changed."""
    file = dcmread(get_testdata_file(name))
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    return saved(file)


REFUSED = {
    "CT": (lambda: foreign("CT_small.dcm"), r"of modality CT; allowed: CR, DX, RG, or none"),
    "MR": (lambda: foreign("MR_small_RLE.dcm"), "of modality MR;"),
    "colour": (
        lambda: foreign("SC_rgb_jpeg_dcmtk.dcm", Modality=""),
        r"in colour \(YBR_FULL\); allowed: MONOCHROME1 and MONOCHROME2",
    ),
    "palette": (lambda: foreign("examples_palette.dcm", Modality="CR"), r"\(PALETTE COLOR\)"),
    "frames": (lambda: dicom(RAMP, NumberOfFrames=3), "of 3 frames; allowed: one frame"),
    "report": (lambda: foreign("test-SR.dcm"), r"not a readable image \(the DICOM holds no pixel"),
    "32 bits": (lambda: foreign("rtdose_1frame.dcm", Modality=""), "of 32 stored bits up to bit"),
    "low bits": (lambda: dicom(RAMP_12, 12, HighBit=15), "of 12 stored bits up to bit 15 in 16"),
    "deflated": (
        lambda: foreign("image_dfl.dcm"),
        r"in transfer syntax 1\.2\.840\.10008\.1\.2\.1\.99; allowed: uncompressed, RLE, JPEG",
    ),
    "size": (lambda: dicom(RAMP, Rows=60_000, Columns=60_000), f"at most {MAX_PIXELS} are"),
    "short": (lambda: dicom(RAMP, Rows=9), r"\(32 of 288 bytes of the DICOM's pixel data are"),
    "empty window": (lambda: dicom(RAMP, RescaleSlope=0, RescaleIntercept=0), "are damaged"),
    "function": (
        lambda: dicom(RAMP, WindowCenter=9, WindowWidth=9, VOILUTFunction="Q"),
        "are damaged; ValueError",
    ),
    "precision": (
        lambda: with_frame(
            dicom(RAMP), frame_of(compressed(dicom(smooth(12), 12), LOSSLESS[1])), BASELINE
        ),
        r"is of 50×40 pixels, 1 samples and 16 bits; its header says 32×8, 1 and 8\)",
    ),
    "a name": (lambda: dicom(RAMP, Modality="Quixote"), r"of modality \?;"),
}


def frame_of(content: bytes) -> bytes:
    from pydicom.encaps import generate_frames

    return next(generate_frames(dcmread(io.BytesIO(content)).PixelData, number_of_frames=1))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_grey_radiograph_is_refused_in_one_sentence_with_its_name(kind, caplog):
    make, reason = REFUSED[kind]
    content = make()
    caplog.clear()
    with pytest.raises(ImageError, match=rf"^a/b\.dcm: .*{reason}") as raised:
        decode(content, "a/b.dcm")
    assert "\n" not in str(raised.value)
    assert not [secret for secret in SECRETS if secret in f"{raised.value} {caplog.text}"]


@pytest.mark.parametrize("syntax", ["", *LOSSLESS, "JPEGBaselineProcess1"])
def test_a_dicom_cut_anywhere_is_refused_without_a_word_of_the_patient(syntax):
    plain = dicom(smooth(8))
    content = compressed(plain, syntax) if syntax else plain
    for length in range(132, len(content) - 12, len(content) // 40):
        with pytest.raises(ImageError, match=r"^a\.dcm: ") as raised:
            decode(content[:length], "a.dcm")
        assert not [secret for secret in SECRETS if secret in str(raised.value)]


def test_a_lost_part_of_a_jpeg_in_a_dicom_is_noticed():
    content = compressed(dicom(smooth(8)), "JPEGBaselineProcess1")
    frame = frame_of(content)
    damaged = with_frame(content, frame[: len(frame) - 200] + b"\xff\xd9", BASELINE)
    with pytest.raises(ImageError, match="the JPEG's data is damaged or incomplete"):
        decode(damaged, "a.dcm")


@pytest.mark.parametrize("syntax", LOSSLESS[1:3])
def test_a_damaged_marker_of_a_lossless_jpeg_is_refused(syntax):
    """GDCM ended the process at it."""
    content = compressed(dicom(smooth(8)), syntax)
    assert content.count(b"\xff\xc4") == 1
    with pytest.raises(ImageError, match="no valid JPEG marker at byte"):
        decode(content.replace(b"\xff\xc4", b"\x6b\xc4"), "a.dcm")


@settings(max_examples=60, derandomize=True)
@given(data=st.data(), syntax=st.sampled_from(["", *LOSSLESS]))
def test_damage_anywhere_is_an_image_or_an_error_by_name(data, syntax):
    content = bytearray(FLIPPED[syntax])
    position = data.draw(st.integers(132, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    message = "a.dcm: "
    try:
        levels(bytes(content))
    except ImageError as error:
        message = str(error)
    assert message.startswith("a.dcm: ")
    assert not [secret for secret in SECRETS if secret in message]


FLIPPED = {"": dicom(smooth(12), 12)}
FLIPPED |= {syntax: compressed(FLIPPED[""], syntax) for syntax in LOSSLESS}


def test_only_a_dicom_loads_the_packages_that_read_it(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(noise(1)))
    (tmp_path / "a.dcm").write_bytes(dicom(RAMP))
    code = f"""
import sys
from pathlib import Path
from cxr14.preprocessing.decode import decode
folder = Path({str(tmp_path)!r})
decode((folder / "a.png").read_bytes(), "a.png")
assert "pydicom" not in sys.modules
decode((folder / "a.dcm").read_bytes(), "a.dcm")
"""
    assert loaded(["cxr14.preprocessing.fill"], {"pydicom"}, code) == {"pydicom"}
