"""Export of a trained network to ONNX: one file with preprocessing, network and calibration.

The graph takes images as data/cache has them, so that a program without torch needs no code of
ours. Packages of the extra ``onnx`` are imported inside functions.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

import cxr14
from cxr14.datasets.records import PHANTOM_NOTE
from cxr14.errors import UserError
from cxr14.evaluation.predictions import read_decision
from cxr14.io import sha256
from cxr14.models.inference import prepare
from cxr14.models.network import Network
from cxr14.models.serialization import WEIGHTS, load_model
from cxr14.serving.origin import LICENCE, initial_weights

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

OPSET: Final = 20
"""Operator set that torch is to write; ``Resize`` has antialiasing from 18 on."""

TOLERANCE: Final = 1e-4
"""Maximum difference of a logit between the file and torch."""

LARGEST: Final = 2_000_000_000
"""Maximum bytes of weights: protobuf allows files below 2 GiB."""

INPUT: Final = "images"
LOGITS, PROBABILITIES, CALIBRATED = "logits", "probabilities", "calibrated"
USE: Final = (
    "Research and teaching. Not a medical device: no output may be used for the care of a patient."
)
MOST_COMPARED: Final = 2000
"""Maximum number of test images on which the file is compared with torch."""


class Trained(NamedTuple):
    """A trained network and what its file has to say.

    Attributes:
        network: in evaluation mode, fp32, on the CPU.
        description: content of model.json.
        decision: content of decision.json.
        decision_sha256: of that file.
    """

    network: Network
    description: Mapping[str, Any]
    decision: Mapping[str, Any]
    decision_sha256: str


@dataclass(frozen=True)
class Exported:
    """An ONNX file, not yet written.

    Attributes:
        content: of the file.
        difference: maximum |Δlogit| from torch over the compared images.
        compared: number of these images.
        opset: version of the operator set that the file imports.
    """

    content: bytes
    difference: float
    compared: int
    opset: int

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.content).hexdigest()


def check_installed() -> None:
    """Import the packages of the extra.

    Raises:
        UserError: one is not installed.
    """
    packages = ("onnx", "onnxscript", "onnxruntime")
    try:
        for package in packages:
            import_module(package)
    except ModuleNotFoundError as error:
        if error.name not in packages:
            raise
        raise UserError(
            f"the export needs {error.name}: `pip install {' '.join(packages)}`, the extra `onnx`"
        ) from None


def read_trained(model: str | Path, decision: str | Path) -> Trained:
    """Read a trained network with its thresholds and calibration.

    Args:
        model: folder models/B.
        decision: path of evaluation/B/decision.json.

    Raises:
        UserError: a file is missing or damaged, or the weights are too large for ONNX.
    """
    network, description = load_model(model)
    weights = Path(model) / WEIGHTS
    if weights.stat().st_size > LARGEST:
        raise UserError(
            f"{weights} has more than {LARGEST / 1e9:g} GB, the maximum of an ONNX file; choose a "
            "smaller backbone"
        )
    content = read_decision(decision, network.classes)
    return Trained(network, description, content, sha256(decision))


class Graph(nn.Module):
    """From cached images to logits and probabilities, as the pipeline computes them.

    Args:
        network: the trained network.
        input_size: pixels per side of its images.
        platt: slope and intercept by class, float (2, C), NaN for a class without; None leaves the
            output ``calibrated`` out.
    """

    platt: Tensor | None

    def __init__(self, network: Network, input_size: int, platt: Tensor | None) -> None:
        super().__init__()
        self.network = network
        self.input_size = input_size
        self.register_buffer("platt", platt)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits, probabilities and calibrated ones, float (B, C), of uint8 (B, S, S)."""
        logits = self.network(prepare(images, self.input_size))
        if self.platt is None:
            return logits, logits.sigmoid()
        slope, intercept = self.platt
        return logits, logits.sigmoid(), (slope * logits + intercept).sigmoid()


def graph_of(trained: Trained) -> Graph:
    """Return the graph to export.

    Calibration that was fitted with test-time augmentation is left out: the graph scores the image
    alone.
    """
    nothing = {"slope": float("nan"), "intercept": float("nan")}
    platt = None
    if not trained.decision.get("tta"):
        scalings = [trained.decision["platt"][name] or nothing for name in trained.network.classes]
        platt = torch.tensor([[s[key] for s in scalings] for key in ("slope", "intercept")])
    return Graph(trained.network, trained.description["input_size"], platt).eval()


def export(trained: Trained, images: npt.NDArray[np.uint8]) -> Exported:
    """Export a network, and compare the file with torch on some images.

    The bytes depend on the network, its decision, and the versions of the packages alone.

    Args:
        trained: of :func:`read_trained`.
        images: uint8 (M, S, S) of the cache, M at least 2; S becomes the size of the input.

    Raises:
        UserError: a package is missing, torch cannot export the network, or a logit differs by
            more than TOLERANCE.
    """
    check_installed()
    graph = graph_of(trained)
    model = _model(graph, images.shape[1], trained.network.backbone)
    _describe(model, facts(trained, images.shape[1]) | {"opset": str(opset_of(model))})
    content = model.SerializeToString(deterministic=True)
    difference = compare(session(content), graph, images)
    if not difference <= TOLERANCE:  # NaN too
        raise UserError(
            f"{trained.network.backbone}: a logit of the ONNX graph differs from torch's by "
            f"{difference:.2g} (allowed: {TOLERANCE:g}), so no file is written; other versions of "
            "torch and onnxruntime may agree"
        )
    return Exported(content, difference, len(images), opset_of(model))


def _model(graph: Graph, size: int, backbone: str) -> "ModelProto":
    """Trace the graph with a free batch size, and remove what torch notes on its tracing."""
    outputs = [LOGITS, PROBABILITIES, *([] if graph.platt is None else [CALIBRATED])]
    try:
        program = torch.onnx.export(
            graph,
            (torch.zeros(2, size, size, dtype=torch.uint8),),
            input_names=[INPUT],
            output_names=outputs,
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"torch cannot export {backbone} to ONNX ({reason}); choose another backbone"
        ) from None
    assert program is not None
    model: ModelProto = program.model_proto
    _strip(model)
    return model


def opset_of(model: "ModelProto") -> int:
    """Return the version of ONNX's own operator set that a file imports."""
    return int(next(entry.version for entry in model.opset_import if not entry.domain))


def _strip(model: "ModelProto") -> None:
    """Remove stack traces, paths and tracing facts, so that equal networks give equal bytes."""
    graph = model.graph
    graph.name = "cxr14"
    described = (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output)
    for part in (*described, *graph.value_info, *model.functions):
        part.doc_string = ""
        del part.metadata_props[:]
    model.producer_name, model.producer_version = "cxr14", cxr14.__version__


def facts(trained: Trained, cached_size: int) -> dict[str, str]:
    """Return the metadata of the file but its opset; values that are no plain text are JSON."""
    description, decision = trained.description, trained.decision
    tta = bool(decision.get("tta"))
    known = {
        "backbone": description["backbone"],
        "classes": list(trained.network.classes),
        "cxr14_version": cxr14.__version__,
        "input": _input_text(cached_size),
        "cached_size": cached_size,
        "input_size": description["input_size"],
        "normalisation": description["normalisation"],
        "preprocessing": "in the graph: resizing to input_size (bilinear, antialiased), /255, "
        "normalisation",
        "outputs": "logits; probabilities = sigmoid(logits)"
        + ("" if tta else "; calibrated = sigmoid(slope · logits + intercept) by class (Platt)"),
        "thresholds": None if tta else decision["thresholds"],
        "thresholds_from": _thresholds_text(tta),
        "calibration": None if tta else decision["platt"],
        "source": description["source"],
        "phantom": bool(description["phantom"]),
        "note": PHANTOM_NOTE if description["phantom"] else "",
        "initial_weights": initial_weights(description),
        "weights_sha256": description["weights_sha256"],
        "decision_sha256": trained.decision_sha256,
        "intended_use": USE,
        "licence": LICENCE,
    }
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in known.items()}


def _input_text(size: int) -> str:
    return (
        f"uint8 (batch, {size}, {size}): grey frontal radiographs, bright bones, padded to a "
        f"square and shrunk to {size} pixels per side as in data/cache"
    )


def _thresholds_text(tta: bool) -> str:
    if tta:
        return "none: they were chosen with test-time augmentation, which the graph does not hold"
    return "of `probabilities`, highest F1 on validation; null: too few labels"


def _describe(model: "ModelProto", known: Mapping[str, str]) -> None:
    from onnx.helper import set_model_props

    set_model_props(model, dict(known))
    model.doc_string = " ".join(filter(None, (known["note"].capitalize(), known["intended_use"])))


def session(model: bytes | str | Path, threads: int = 0) -> "InferenceSession":
    """Open an ONNX file, or its content, with onnxruntime on the CPU.

    Args:
        model: path or content.
        threads: of one operator; 0 lets onnxruntime choose.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@torch.inference_mode()
def compare(
    opened: "InferenceSession", graph: Graph, images: npt.NDArray[np.uint8], batch: int = 32
) -> float:
    """Return the maximum |Δlogit| between a session and torch.

    Args:
        opened: session of the exported graph.
        graph: the same in torch.
        images: uint8 (M, S, S). The first is scored alone, so that two batch sizes are compared.
        batch: images per pass.
    """
    starts: Sequence[int] = [0, *range(1, len(images), batch)]
    differences = []
    for start, end in zip(starts, [*starts[1:], len(images)], strict=True):
        part = np.array(images[start:end])
        (logits,) = opened.run([LOGITS], {INPUT: part})
        differences.append(np.abs(logits - graph(torch.from_numpy(part))[0].numpy()).max())
    return float(np.max(differences))


def rows_of_test(index: pd.DataFrame, split: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the rows in the cache of all test images; of MOST_COMPARED of more, evenly spaced.

    Args:
        index: of the cache, with image and row.
        split: image and split.
    """
    test = split.loc[split["split"] == "test", "image"]
    rows = np.sort(index.loc[index["image"].isin(test), "row"].to_numpy(np.int64))
    if len(rows) <= MOST_COMPARED:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, MOST_COMPARED).round().astype(np.int64)])
