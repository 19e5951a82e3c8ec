"""DICOM files of grey pixels, with a patient whose name must appear nowhere else."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IDENTIFIERS = {
    "PatientName": "Quixote^Alonso",
    "PatientID": "MRN-4711-QX",
    "PatientBirthDate": "19170317",
    "AccessionNumber": "ACC-0815-QX",
    "ReferringPhysicianName": "Panza^Sancho",
    "InstitutionName": "La Mancha General",
}
"""Elements of every file here that identify the patient."""

SECRETS = ("Quixote", "Alonso", "MRN-4711", "19170317", "ACC-0815", "Panza", "La Mancha")

LOSSLESS = ("RLELossless", "JPEGLosslessProcess14", "JPEGLosslessProcess14_1")
LOSSLESS = (*LOSSLESS, "JPEGLSLossless", "JPEG2000Lossless")
"""GDCM's names of the lossless transfer syntaxes."""


def dicom(pixels: np.ndarray, bits: int | None = None, **elements: Any) -> bytes:
    """An uncompressed chest radiograph (DX) of 8 or 16 bits, signed or not."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    file.Modality, file.PhotometricInterpretation, file.SamplesPerPixel = "DX", "MONOCHROME2", 1
    file.Rows, file.Columns = pixels.shape
    file.BitsAllocated = 8 * pixels.itemsize
    file.BitsStored = bits or file.BitsAllocated
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(pixels.dtype.kind == "i")
    file.add_new("PixelData", "OW", pixels.tobytes() + bytes(pixels.nbytes % 2))
    for name, value in (IDENTIFIERS | elements).items():
        setattr(file, name, value)
    return saved(file)


def saved(file: Any) -> bytes:
    """A data set of pydicom as the bytes of a file."""
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def compressed(content: bytes, syntax: str) -> bytes:
    """The same file in a transfer syntax by GDCM's name."""
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        plain, target = Path(folder, "plain"), Path(folder, "target")
        plain.write_bytes(content)
        reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return target.read_bytes()


def with_frame(content: bytes, frame: bytes, syntax: str) -> bytes:
    """The file with compressed pixel data in a transfer syntax by its UID."""
    from pydicom import dcmread
    from pydicom.encaps import encapsulate

    file = dcmread(io.BytesIO(content))
    file.file_meta.TransferSyntaxUID = syntax
    file.PixelData = encapsulate([frame])
    file["PixelData"].is_undefined_length = True
    return saved(file)


def dicom_of_png(content: bytes, syntax: str = "", **elements: Any) -> bytes:
    """An 8-bit grey PNG as a DICOM, uncompressed or in a lossless transfer syntax."""
    with Image.open(io.BytesIO(content)) as image:
        plain = dicom(np.asarray(image.convert("L")), **elements)
    return compressed(plain, syntax) if syntax else plain
