"""Texts that come to a hospital from elsewhere, whole: to be damaged, and how each is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prediction_samples import ordinary_lines
from report_samples import run_summary

from crisp_client.monitoring import log
from crisp_client.pacs.places import place_named
from crisp_client.prediction.folder import read_record
from crisp_client.prediction.onnx_predictor import OnnxPredictor
from crisp_core.files.case_table import read_case_table
from crisp_core.files.checkpoint import content_hash, read_parameters, write_parameters
from crisp_core.files.layouts.msd import read_msd
from crisp_core.files.layouts.nnunet import read_nnunet
from crisp_core.files.released import read_released, released_of, write_released
from crisp_core.schema.answer import AnswerRecord
from crisp_core.schema.study import Study
from crisp_core.trust.keys import public_pem
from crisp_core.trust.ledger import Ledger
from crisp_core.trust.signed_study import opened_study, read_signed, sign_study
from crisp_core.trust.tokens import JoinToken, read_token
from crisp_server.settings import load_study

Read = Callable[[Path], object]
WHOLE = "f" * 64
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def texts(folder: Path) -> dict[str, tuple[Path, Read]]:
    """Write one whole file of each kind into a folder; return it and how it is read."""
    ledger = Ledger(folder / "ledger.jsonl")
    for number in range(3):
        ledger.append("departure", number=number, words=["a", "b"])
    (folder / "cases.csv").write_text("case,patient,split,spacing_mm\nc0,p0,train,8 1.5 1.5\n")
    lines = "".join(line.text() + "\n" for line in ordinary_lines(4))
    (folder / "predictions.jsonl").write_text(lines)
    return {
        "ledger": (folder / "ledger.jsonl", lambda path: Ledger(path).entries()),
        "table": (folder / "cases.csv", read_case_table),
        "prediction log": (folder / "predictions.jsonl", log.read),
        **_models(folder),
        **_descriptions(folder),
        **_orders(folder),
    }


def _models(folder: Path) -> dict[str, tuple[Path, Read]]:
    """A released model's card and weights, an exported one's, and an answer."""
    weights = {"a": np.float32([1, 2]), "b": np.arange(3)}
    summary = run_summary().model_copy(update={"model_hash": content_hash(weights)})
    for name in ("model", "export"):
        write_released(folder / name, released_of(summary))
        write_parameters(folder / name / "model.safetensors", weights, {})
    exported = {
        "format": "onnx", "model_hash": summary.model_hash, "study_hash": summary.study_hash,
        "inputs": {"channels": 1, "size": [16, 16], "passes": 1, "perturbations": 1,
                   "noise_length": 1, "classes": 3},
        "parity": {"runtime": "onnxruntime", "slices": 1, "max_difference": 0.0,
                   "labels_equal": 1.0},
        "files": {"recursion.onnx": WHOLE}, "versions": {},
    }  # fmt: skip
    (folder / "export.json").write_text(json.dumps(exported))
    answer = AnswerRecord(
        case="a", input_hash=WHOLE, study_hash=WHOLE, model_hash=WHOLE, structures={},
        spacing_mm=(8.0, 1.5, 1.5), windows=1, recursions=1, chosen=1, entropy=0.0, uncertain=0.0,
        formats=("nifti",), versions={}, created=NOW.isoformat(), seconds=1.0,
    )  # fmt: skip
    (folder / "prediction.json").write_text(answer.model_dump_json(indent=1))
    model = folder / "model"
    return {
        "card": (model / "model.json", within(folder / "card", read_released, model)),
        "weights": (model / "model.safetensors", read_parameters),
        "export": (
            folder / "export.json",
            within(folder / "exported", OnnxPredictor.of, folder / "export"),
        ),
        "answer": (folder / "prediction.json", within(folder / "answer", read_record)),
    }


def _descriptions(folder: Path) -> dict[str, tuple[Path, Read]]:
    """The descriptions of two published layouts, beside an image and its mask."""
    image = nib.Nifti1Image(np.ones((4, 4, 2), np.uint8), np.eye(4)).to_bytes()
    for name in ("imagesTr/a_0000.nii", "labelsTr/a.nii", "imagesTr/b.nii", "labelsTr/b.nii"):
        path = folder / "published" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    nnunet = {
        "channel_names": {"0": "T2"}, "labels": {"background": 0, "LV": 1, "heart": [1, 2]},
        "regions_class_order": [1, 2], "numTraining": 1, "file_ending": ".nii",
    }  # fmt: skip
    msd = {
        "name": "Heart", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "LV"},
        "numTraining": 1, "numTest": 0, "test": [],
        "training": [{"image": "./imagesTr/b.nii", "label": "./labelsTr/b.nii"}],
    }  # fmt: skip
    made = {}
    for name, value, read in (("nnunet", nnunet, read_nnunet), ("msd", msd, read_msd)):
        source = folder / name / "dataset.json"
        source.parent.mkdir()
        source.write_text(json.dumps(value, indent=1))
        made[name] = (source, within(folder / f"{name}-site", read, folder / "published"))
    return made


def _orders(folder: Path) -> dict[str, tuple[Path, Read]]:
    """What a coordinator or a colleague hands over: a signed study, a study, a token, places."""
    study = Study.model_validate_json(run_summary().study.canonical())
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    pem = public_pem(key)
    (folder / "signed.json").write_text(sign_study(key, study).model_dump_json(indent=1))
    token = JoinToken("east", "example.org:443", WHOLE, "0" * 32, NOW + timedelta(days=1))
    (folder / "token.txt").write_text(token.text())
    (folder / "study.toml").write_text(
        'name = "s"\nclasses = ["LV"]\n[sites.a]\nrole = "source"\n[training]\nsteps = 60\n'
    )
    (folder / "pacs.toml").write_text(
        '[a]\nkind = "dimse"\nhost = "h"\nport = 104\nae_title = "A"\ntimeout_s = 5.0\n'
    )
    return {
        "signed study": (folder / "signed.json", lambda path: opened_study(read_signed(path), pem)),
        "token": (
            folder / "token.txt",
            lambda path: read_token(path.read_text(errors="replace"), NOW),
        ),
        "study": (folder / "study.toml", load_study),
        "places": (folder / "pacs.toml", lambda path: place_named(path, "a")),
    }


def within(folder: Path, read: Read, beside: Path | None = None) -> Read:
    """Read a file where it belongs: in a folder, under its own name, with what lies beside it."""
    folder.mkdir()
    for path in beside.rglob("*") if beside else ():
        if path.is_file():
            target = folder / path.relative_to(beside)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    names = {"card": "model.json", "exported": "export.json", "answer": "prediction.json"}
    name = names.get(folder.name, "dataset.json")

    def placed(path: Path) -> object:
        (folder / name).write_bytes(path.read_bytes())
        return read(folder)

    return placed
