"""A MONAI bundle: a folder of programs, a configuration and metadata; MONAI itself is not needed.

MONAI's slice inferer runs the first pass; the whole recursion lies beside it and is run by the
configuration's `refined`. There is no evaluator: that would need ignite as well. Axes "SPL" are
the house's own: slices towards the head, rows towards the back, columns towards the left.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from crisp_core.errors import UsageError
from crisp_core.files.atomic import write_text
from crisp_core.files.export.programs import Programs
from crisp_core.schema.exported import RecursionInputs
from crisp_core.schema.released import ReleasedModel
from crisp_core.schema.study import ImagesConfig

Json = dict[str, Any]
AXES = "SPL"
IMAGE, PREDICTION = "image", "pred"
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
TESTED_MONAI = "1.6.1"


def write_bundle(folder: Path, programs: Programs, model: ReleasedModel) -> None:
    """Write models, configs/metadata.json, configs/inference.json and docs/README.md.

    Raises:
        UsageError: If the study stacks neighbouring slices: MONAI's slice inferer gives one alone.
    """
    if model.study.model.slices_in != 1:
        raise UsageError(
            expected="a model of single slices (model.slices_in = 1)",
            got=f"slices_in = {model.study.model.slices_in}",
            where="--format monai",
            fix="Take --format onnx or torch-export",
        )
    (folder / "models").mkdir(parents=True)
    torch.export.save(programs.traced_pass, folder / "models" / "pass.pt2")
    torch.export.save(programs.traced_recursion, folder / "models" / "recursion.pt2")
    configs = folder / "configs"
    write_text(configs / "metadata.json", _json(metadata(model, programs.inputs)))
    write_text(configs / "inference.json", _json(inference(model.study.images, programs.inputs)))
    write_text(folder / "docs" / "README.md", _readme(model))


def metadata(model: ReleasedModel, inputs: RecursionInputs) -> Json:
    """Return what `metadata.json` says."""
    channels = {str(number): {"name": IMAGE} for number in range(inputs.channels)}
    names = ("background", *model.study.classes)
    height, width = inputs.size
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported from model {model.model_hash[:12]}"},
        "monai_version": _version("monai", TESTED_MONAI),
        "pytorch_version": _version("torch", "").partition("+")[0],
        "numpy_version": _version("numpy", ""),
        "required_packages_version": {"nibabel": _version("nibabel", "")},
        "name": model.study.name,
        "task": f"Segmentation of {', '.join(model.study.classes)}",
        "description": "Trained across hospitals without moving an image; see MODEL_CARD.md",
        "authors": "The sites of the study",
        "copyright": "The sites of the study",
        "data_type": "nibabel",
        "intended_use": "Research; not for diagnosis",
        "study_hash": model.study_hash,
        "model_hash": model.model_hash,
        "network_data_format": {
            "inputs": {
                IMAGE: {
                    "type": "image",
                    "format": "magnitude",
                    "num_channels": inputs.channels,
                    "spatial_shape": [height, width],
                    "dtype": "float32",
                    "value_range": [-1, 1],
                    "is_patch_data": True,
                    "channel_def": {number: one["name"] for number, one in channels.items()},
                }
            },
            "outputs": {
                PREDICTION: {
                    "type": "probabilities",
                    "format": "segmentation",
                    "num_channels": inputs.classes,
                    "spatial_shape": [height, width],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": {str(number): name for number, name in enumerate(names)},
                }
            },
        },
    }


def inference(images: ImagesConfig, inputs: RecursionInputs) -> Json:
    """Return what `inference.json` says."""
    height, width = inputs.size
    noise = [inputs.passes, inputs.perturbations]
    return {
        "imports": ["$import glob", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/labels'",
        "device": "$torch.device('cpu')",
        "network_def": _program("pass.pt2"),
        "recursion": _program("recursion.pt2"),
        "preprocessing": {"_target_": "Compose", "transforms": _transforms(images)},
        "dataset": {
            "_target_": "Dataset",
            "data": f"$[{{'{IMAGE}': p}} for p in sorted(glob.glob(@dataset_dir + '/*.nii*'))]",
            "transform": "@preprocessing",
        },
        "inferer": {
            "_target_": "SliceInferer",
            "roi_size": [height, width],
            "spatial_dim": 0,
            "sw_batch_size": 8,
        },
        "postprocessing": {"_target_": "Compose", "transforms": _back()},
        "answer": (
            f"$lambda x: {{**x, '{PREDICTION}': @inferer(x['{IMAGE}'][None], @network_def)[0]}}"
        ),
        "slices": f"$@dataset[0]['{IMAGE}'].as_tensor().swapaxes(0, 1)",
        "noise": (
            f"$torch.randn({noise[0]}, {noise[1]}, len(@slices), {inputs.noise_length}, "
            "generator=torch.Generator().manual_seed(0))"
        ),
        "refined": "$@recursion(@slices, @noise, torch.ones(len(@slices)))",
        "initialize": [],
        "run": ["$[@postprocessing(@answer(one)) for one in @dataset]"],
    }


def _program(name: str) -> str:
    """Read a program; wrapped anew, for a module as torch reads it refuses `eval`."""
    read = f"torch.export.load(@bundle_root + '/models/{name}').module()"
    return f"$(lambda m: torch.fx.GraphModule(m, m.graph))({read})"


def _transforms(images: ImagesConfig) -> list[Json]:
    low, high = images.percentiles
    scale = {
        "_target_": "ScaleIntensityRangePercentilesd",
        "keys": IMAGE,
        "lower": low,
        "upper": high,
        "b_min": -1.0,
        "b_max": 1.0,
        "clip": True,
        "channel_wise": True,
    }
    return [
        {"_target_": "LoadImaged", "keys": IMAGE},
        {"_target_": "EnsureChannelFirstd", "keys": IMAGE},
        {"_target_": "Orientationd", "keys": IMAGE, "axcodes": AXES},
        scale,
        *_onto_grid(images),
        {"_target_": "EnsureTyped", "keys": IMAGE, "dtype": "$torch.float32"},
    ]


def _onto_grid(images: ImagesConfig) -> list[Json]:
    size = [-1, *images.size]
    if images.fit == "resize":
        return [
            {
                "_target_": "Resized",
                "keys": IMAGE,
                "spatial_size": size,
                "mode": "trilinear",
                "anti_aliasing": True,
            }
        ]
    crop = {
        "_target_": "ResizeWithPadOrCropd",
        "keys": IMAGE,
        "spatial_size": size,
        "constant_values": -1.0,
    }
    if images.spacing_mm is None:
        return [crop]
    pixdim = [-1.0, images.spacing_mm, images.spacing_mm]
    return [{"_target_": "Spacingd", "keys": IMAGE, "pixdim": pixdim}, crop]


def _back() -> list[Json]:
    return [
        {
            "_target_": "Invertd",
            "keys": PREDICTION,
            "transform": "@preprocessing",
            "orig_keys": IMAGE,
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": PREDICTION, "argmax": True},
        {
            "_target_": "SaveImaged",
            "keys": PREDICTION,
            "output_dir": "@output_dir",
            "output_postfix": "labels",
            "output_dtype": "$torch.uint8",
            "separate_folder": False,
            "print_log": False,
        },
    ]


def _readme(model: ReleasedModel) -> str:
    return f"""# {model.study.name}

Segments {", ".join(model.study.classes)} on magnitude images. Research only, not for diagnosis.

    python -m monai.bundle run --config_file configs/inference.json --bundle_root . \\
        --dataset_dir FOLDER_OF_NIFTI

runs the first pass slice by slice and writes labels on each image's own grid. The key `refined` of
the configuration runs all passes with the guard on the first image of the folder.

MONAI's resampling is not that of the model's own preparation: compare with `crisp-client predict`
before relying on either. What the model was trained and measured on: `MODEL_CARD.md`, where the
run had one, and `model.json`.
"""


def _json(value: Json) -> str:
    return json.dumps(value, indent=4) + "\n"


def _version(package: str, otherwise: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return otherwise
