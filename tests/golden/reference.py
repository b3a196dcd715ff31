"""The official PyTorch networks, built from our configurations and filled with given weights.

Only tests/golden/make.py and tests/official/parity.py use this, and only when a checkout of the
official code and PyTorch are there; no test imports it. Arrays go in and come out as the library
has them: pictures [B, H, W, C], keypoints [B, N, 2].
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.helpers.procedural import procedural_tensor


def open_checkout(checkout: str | Path) -> None:
    """Makes the official `modules` package importable.

    Args:
      checkout: folder of GitHub yoyo-nb/Thin-Plate-Spline-Motion-Model at c616878.

    Raises:
      FileNotFoundError: where it is not such a folder.
    """
    checkout = Path(checkout)
    if not (checkout / "modules" / "dense_motion.py").is_file():
        raise FileNotFoundError(f"{checkout} is no checkout of the official code: no modules/")
    sys.path.insert(0, str(checkout))
    _define_missing_operators()


def _define_missing_operators() -> None:
    # torchvision without its compiled part lacks two operators that its import asks for.
    library = torch.library.Library("torchvision", "DEF")
    _kept.append(library)
    for operator in ("nms", "qnms"):
        try:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            return


_kept: list[Any] = []


def build_networks(model_params: Mapping[str, Any]) -> dict[str, torch.nn.Module]:
    """The official networks in evaluation mode, with their own initial weights.

    Args:
      model_params: the official YAML's `model_params`, and the ResNets' `blocks` if not 2.

    Returns:
      Checkpoint name -> network; `bg_predictor` only when `bg` is set.
    """
    common = model_params["common_params"]
    module = importlib.import_module
    with _resnets_of(model_params.get("kp_detector_params", {})):
        kp_detector = module("modules.keypoint_detector").KPDetector(**common)
    networks = {
        "kp_detector": kp_detector,
        "dense_motion_network": module("modules.dense_motion").DenseMotionNetwork(
            **common, **model_params["dense_motion_params"]
        ),
        "inpainting_network": module("modules.inpainting_network").InpaintingNetwork(
            **model_params["generator_params"], **common
        ),
        "avd_network": module("modules.avd_network").AVDNetwork(
            num_tps=common["num_tps"], **model_params["avd_network_params"]
        ),
    }
    if common["bg"]:
        with _resnets_of(model_params.get("bg_predictor_params", {})):
            networks["bg_predictor"] = module("modules.bg_motion_predictor").BGMotionPredictor()
    return {name: network.eval() for name, network in networks.items()}


def _resnets_of(params: Mapping[str, Any]) -> contextlib.AbstractContextManager[Any]:
    """Within, torchvision's resnet18 has `params["blocks"]` blocks in each layer; 2 if absent."""
    models = importlib.import_module("torchvision.models")
    layers = [params.get("blocks", 2)] * 4
    resnet = models.ResNet(models.resnet.BasicBlock, layers)
    return mock.patch.object(models, "resnet18", return_value=resnet)


def load_procedural(networks: Mapping[str, torch.nn.Module], seed: int) -> None:
    """Fills the networks with procedural weights; `strict`, so nothing keeps its initial value."""
    for name, network in networks.items():
        state = {
            key: torch.from_numpy(procedural_tensor(f"{name}.{key}", tuple(value.shape), seed))
            for key, value in network.state_dict().items()
        }
        network.load_state_dict(state, strict=True)


def to_torch(array: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor; pictures and maps [.., H, W, C] must be made channels-first by `channels_first`."""
    return torch.from_numpy(np.array(array)).to(dtype)


def channels_first(array: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """[B, H, W, C] array -> [B, C, H, W] tensor."""
    return to_torch(np.moveaxis(array, -1, 1), dtype).contiguous()


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    """[.., C, H, W] tensor -> [.., H, W, C] array."""
    return np.moveaxis(tensor.detach().numpy(), -3, -1)


class Reference:
    """The official networks with procedural or given weights, arrays in and arrays out.

    Attributes:
      networks: checkpoint name -> torch module.
      dtype: to compute in; float64 gives the truth that rounding is measured against.
    """

    def __init__(
        self,
        model_params: Mapping[str, Any],
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> None:
        self.networks = build_networks(model_params)
        self.dtype = dtype
        if checkpoint is None:
            load_procedural(self.networks, seed)
        else:
            for name in [name for name in self.networks if name not in checkpoint]:
                del self.networks[name]
            for name, network in self.networks.items():
                network.load_state_dict(checkpoint[name], strict=True)
        for network in self.networks.values():
            network.to(dtype)

    def keypoints(self, image: np.ndarray) -> np.ndarray:
        """[B, H, W, 3] -> [B, N, 2]."""
        with torch.no_grad():
            return self.networks["kp_detector"](channels_first(image, self.dtype))["fg_kp"].numpy()

    def background(self, source: np.ndarray, driving: np.ndarray) -> np.ndarray:
        """Two [B, H, W, 3] -> [B, 3, 3]."""
        pair = [channels_first(image, self.dtype) for image in (source, driving)]
        with torch.no_grad():
            return self.networks["bg_predictor"](*pair).numpy()

    def avd(self, kp_source: np.ndarray, kp_driving: np.ndarray) -> np.ndarray:
        """Two [B, N, 2] -> [B, N, 2]."""
        with torch.no_grad():
            sets = [{"fg_kp": to_torch(kp, self.dtype)} for kp in (kp_source, kp_driving)]
            return self.networks["avd_network"](*sets)["fg_kp"].numpy()

    def dense_motion(
        self,
        source_image: np.ndarray,
        kp_driving: np.ndarray,
        kp_source: np.ndarray,
        bg_param: np.ndarray | None = None,
        kept_tps: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """The dense motion network's outputs, channels last; `kept_tps` [B, K] fixes dropout."""
        options: dict[str, Any] = {}
        if kept_tps is not None:
            options = {"dropout_flag": True, "dropout_p": 0.5}
        with torch.no_grad(), _fixed_dropout(kept_tps):
            out = self.networks["dense_motion_network"](
                channels_first(source_image, self.dtype),
                {"fg_kp": to_torch(kp_driving, self.dtype)},
                {"fg_kp": to_torch(kp_source, self.dtype)},
                None if bg_param is None else to_torch(bg_param, self.dtype),
                **options,
            )
        return {
            "deformed_source": channels_last(out["deformed_source"]),
            "contribution_maps": channels_last(out["contribution_maps"]),
            "deformation": out["deformation"].numpy(),
            "occlusion_map": tuple(channels_last(mask) for mask in out["occlusion_map"]),
        }

    def inpaint(self, source: np.ndarray, dense_motion: Mapping[str, Any]) -> dict[str, Any]:
        """The inpainting network's own outputs, channels last."""
        motion = {
            "deformation": to_torch(dense_motion["deformation"], self.dtype),
            "occlusion_map": [channels_first(m, self.dtype) for m in dense_motion["occlusion_map"]],
            "contribution_maps": None,
            "deformed_source": None,
        }
        with torch.no_grad():
            out = self.networks["inpainting_network"](channels_first(source, self.dtype), motion)
        return {
            "deformed": channels_last(out["deformed"]),
            "warped_encoder_maps": tuple(channels_last(m) for m in out["warped_encoder_maps"]),
            "prediction": channels_last(out["prediction"]),
        }

    def encode_driving(self, driving: np.ndarray, occlusion_map: Any) -> tuple[np.ndarray, ...]:
        """The masked driving features of the warp loss, fine to coarse, channels last."""
        masks = [channels_first(mask, self.dtype) for mask in occlusion_map]
        network = self.networks["inpainting_network"]
        with torch.no_grad():
            maps = network.get_encode(channels_first(driving, self.dtype), masks)
        return tuple(channels_last(features) for features in maps)

    def chain(
        self,
        source: np.ndarray,
        driving: np.ndarray,
        *,
        background: bool = True,
        kp_driving: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Everything from two pictures to the prediction; `kp_driving` overrides the detector's."""
        kp_source = self.keypoints(source)
        if kp_driving is None:
            kp_driving = self.keypoints(driving)
        background = background and "bg_predictor" in self.networks
        bg_param = self.background(source, driving) if background else None
        motion = self.dense_motion(source, kp_driving, kp_source, bg_param)
        keypoints = {"kp_source": kp_source, "kp_driving": kp_driving, "bg_param": bg_param}
        return {**keypoints, **motion, **self.inpaint(source, motion)}

    def animate(self, source: np.ndarray, frames: np.ndarray, mode: str) -> dict[str, np.ndarray]:
        """The official demo over frames: keypoints [T, N, 2], predictions [T, H, W, 3].

        Args:
          source: [H, W, 3].
          frames: [T, H, W, 3].
          mode: "standard", "relative" or "avd".
        """
        relative_kp = importlib.import_module("demo").relative_kp
        kp_source = self.keypoints(source[None])
        first = self.keypoints(frames[:1])
        keypoints, predictions = [], []
        for i in range(len(frames)):
            kp = self.keypoints(frames[i : i + 1])
            if mode == "relative":
                sets = [{"fg_kp": torch.from_numpy(np.array(k))} for k in (kp_source, kp, first)]
                kp = relative_kp(*sets)["fg_kp"].numpy()
            elif mode == "avd":
                kp = self.avd(kp_source, kp)
            out = self.inpaint(source[None], self.dense_motion(source[None], kp, kp_source))
            keypoints.append(kp[0])
            predictions.append(out["prediction"][0])
        return {"keypoints": np.stack(keypoints), "prediction": np.stack(predictions)}


@contextlib.contextmanager
def _fixed_dropout(kept_tps: np.ndarray | None) -> Iterator[None]:
    """Makes the one `torch.rand` of the dropout say what `kept_tps` says."""
    if kept_tps is None:
        yield
        return
    drawn = np.where(np.pad(kept_tps, ((0, 0), (1, 0)), constant_values=True), 0.0, 0.999)
    original = torch.rand
    torch.rand = lambda *shape: torch.from_numpy(drawn).reshape(shape)
    try:
        yield
    finally:
        torch.rand = original


def build_vgg19(seed: int, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The official `Vgg19` with procedural weights in place of the downloaded ones."""
    model = importlib.import_module("modules.model")
    original = model.models.vgg19
    features = original(weights=None).features
    for i, layer in enumerate(features):
        for kind, value in layer.named_parameters():
            tensor = procedural_tensor(f"vgg19.features.{i}.{kind}", tuple(value.shape), seed)
            value.data = torch.from_numpy(tensor)
    model.models.vgg19 = lambda **_: types.SimpleNamespace(features=features)
    try:
        return model.Vgg19().to(dtype).eval()
    finally:
        model.models.vgg19 = original
