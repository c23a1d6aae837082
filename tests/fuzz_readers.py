"""Damages files by a seed and reads them, in a process of its own with 2 GB of memory.

    python tests/fuzz_readers.py FOLDER FIRST COUNT

Prints one JSON line a case: its number, its kind and what came of it. A case that ends in anything
but a value or a CrispError, that takes longer than `LONGEST_S`, or that leaves a file behind, is
"crash", "hang" or "left".
"""

from __future__ import annotations

import gzip
import json
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from dicom_samples import drawing, enhanced, outline, phantom, save, segmentation, series_of
from fuzz_texts import texts
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, RLELossless

from crisp_core.errors import CrispError
from crisp_core.files.dicom.deidentify import write_deidentified
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import read_phases, read_series
from crisp_core.files.volumes import read_image, read_labels

MEMORY = 2 << 30
LONGEST_S = 20
HEADER = 2000
DEEP = (b"[" * 100_000, b'{"a":' * 100_000, b"a = " + b"[" * 100_000)
WORDS = [b"", b"\0", b"nan", b"1_0", b"-1", b"99999999999", b"\\", b"\xff\xff\xff\xff", b"1e999"]


def seeds(folder: Path) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """Write one whole file of each kind; return it and how it is read."""
    array = phantom(3, 20, 24)
    images = save(folder / "images", series_of(array))
    made = {
        "single": (images / "001.dcm", lambda path: read_phases(replaced(images, path))),
        "enhanced": (save(folder / "enhanced", [enhanced(array)]) / "000.dcm", read_series),
    }
    for name, uid in (("rle", RLELossless), ("jpegls", JPEGLSLossless)):
        path = save(folder / name, [enhanced(array.astype(np.uint16))]) / "000.dcm"
        dataset = dcmread(path)
        dataset.compress(uid)
        dataset.save_as(path)
        made[name] = (path, read_series)
    made["jpeg2000"] = (jpeg_2000(folder, array), read_series)
    series = read_series(images)
    labels = np.random.default_rng(0).integers(0, 3, array.shape).astype(np.uint8)
    for kind in ("BINARY", "LABELMAP"):
        path = save(folder / kind, [segmentation(series, labels, kind)]) / "000.dcm"
        made[kind] = (path, lambda path: read_mask(path, series))
    ring = np.array([[2.0, 2], [20, 2], [20, 20], [2, 20]])
    rt = save(folder / "rt", [drawing({"a": [outline(ring, n) for n in range(3)]})]) / "000.dcm"
    made["rtstruct"] = (rt, lambda path: read_mask(path, series))
    made["copy"] = (
        images / "000.dcm",
        lambda path: write_deidentified(path, folder / "copies" / "a.dcm", "key"),
    )
    affine = np.diag([-1.5, -1.5, 8, 1])
    nifti = nib.Nifti1Image(array.transpose(2, 1, 0), affine).to_bytes()
    (folder / "a.nii").write_bytes(nifti)
    (folder / "a.nii.gz").write_bytes(gzip.compress(nifti))
    made["nifti"] = (folder / "a.nii", read_image)
    made["nifti.gz"] = (folder / "a.nii.gz", read_labels)
    made.update(texts(folder))
    return made


def jpeg_2000(folder: Path, array: np.ndarray) -> Path:
    import io

    from PIL import Image

    path = save(folder / "jpeg2000", [enhanced(array.astype(np.uint16))]) / "000.dcm"
    dataset, frames = dcmread(path), []
    for frame in array.astype(np.uint16):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG2000", irreversible=False, no_jp2=True)
        frames.append(file.getvalue())
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    dataset.save_as(path)
    return path


def replaced(images: Path, path: Path) -> tuple[Path, ...]:
    """Return the files of a series with the damaged one in place of its own."""
    return tuple(sorted(path if name == images / "001.dcm" else name for name in images.iterdir()))


def flip(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place] ^= 1 << int(rng.integers(0, 8))


def word(data: bytearray, place: int, rng: np.random.Generator) -> None:
    chosen = WORDS[int(rng.integers(0, len(WORDS)))]
    data[place : place + len(chosen)] = chosen


def remove(data: bytearray, place: int, rng: np.random.Generator) -> None:
    del data[place : place + int(rng.integers(1, 64))]


def repeat(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place:place] = data[place : place + int(rng.integers(1, 200))]


def noise(data: bytearray, place: int, rng: np.random.Generator) -> None:
    size = int(rng.integers(1, 5))
    data[place : place + size] = rng.bytes(size)


CHANGES = (flip, flip, word, word, remove, repeat, noise)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one to four places, near the beginning more often; sometimes cut the rest off.

    Sometimes there is nothing in it but brackets that open.
    """
    if rng.random() < 0.05:
        return DEEP[int(rng.integers(0, len(DEEP)))]
    changed = bytearray(data)
    for _ in range(int(rng.geometric(0.6))):
        if not changed:
            break
        size = len(changed) if rng.random() < 0.4 else min(len(changed), HEADER)
        CHANGES[int(rng.integers(0, len(CHANGES)))](changed, int(rng.integers(0, size)), rng)
    if rng.random() < 0.1:
        del changed[int(rng.integers(0, len(changed) + 1)) :]
    return bytes(changed)


def outcome(read: Callable[[Path], object], path: Path) -> str:
    signal.alarm(LONGEST_S)
    try:
        read(path)
    except CrispError:
        return "refused"
    except TimeoutError:
        return "hang"
    except BaseException as error:
        return f"crash: {type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
    return "read"


def main(folder: Path, first: int, count: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
    warnings.simplefilter("ignore")
    made = seeds(folder)
    kinds = sorted(made)
    for kind in set(kinds) - {"export"}:  # whose program is not there
        made[kind][1](made[kind][0])  # whole it is read
    for number in range(first, first + count):
        kind = kinds[number % len(kinds)]
        source, read = made[kind]
        path = folder / "damaged" / ("a" + "".join(source.suffixes[-2:]))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(damaged(source.read_bytes(), np.random.default_rng(number)))
        came = outcome(read, path)
        left = [str(p.name) for p in folder.rglob("*.crisp-tmp")]
        line = {"case": number, "kind": kind, "came": f"left {left}" if left else came}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
