"""The official networks' work for one frame, in each way that a user may run it.

"eager" is the official code as published. All others save the work that the project saves: they
encode the source once, warp nothing twice, and run `PerFrame`, compiled by PyTorch or exported for
ONNX Runtime and OpenVINO.
"""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
import torch

Networks = tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]
# A function from driving pictures to results, [B, H, W, 3] float32 in [0, 1]; and how, in words.
Variant = tuple[Callable[[np.ndarray], np.ndarray], str]

INVERSE_STEPS = 30  # 20 reach float32's rounding for the splines of spread keypoints
OPSET = 20


class PerFrame(torch.nn.Module):
    """The networks' work that depends on the driving picture; the source's features come in."""

    def __init__(self, networks: Networks):
        super().__init__()
        self.detector, self.dense_motion, self.inpainting = networks

    def forward(
        self,
        driving: torch.Tensor,
        source: torch.Tensor,
        kp_source: torch.Tensor,
        *features: torch.Tensor,
    ) -> torch.Tensor:
        """Returns the predictions; `features` come from `encode`, fine to coarse."""
        count = len(driving)
        source, kp_source, *features = (
            x.expand(count, *x.shape[1:]) for x in (source, kp_source, *features)
        )
        motion = self.dense_motion(
            source_image=source,
            kp_driving=self.detector(driving),
            kp_source={"fg_kp": kp_source},
            bg_param=None,
            dropout_flag=False,
        )
        flow, masks = motion["deformation"], motion["occlusion_map"]
        network = self.inpainting
        warped = [
            network.occlude_input(network.deform_input(each, flow), mask)
            for each, mask in zip(reversed(features), masks, strict=True)
        ]
        out = warped[0]
        for level, up in enumerate(network.up_blocks):
            for block in network.resblock[2 * level : 2 * level + 2]:
                out = block(out)
            out = up(out)
            if level + 1 < len(network.up_blocks):
                out = torch.cat([out, warped[level + 1]], 1)
        painted = torch.sigmoid(network.final(out * (1 - masks[-1]) + warped[-1]))
        return painted * (1 - masks[-1]) + network.deform_input(source, flow) * masks[-1]

    def encode(self, source: torch.Tensor) -> list[torch.Tensor]:
        """Computes the source's keypoints and features, the inputs after `source`."""
        features = [self.inpainting.first(source)]
        for block in self.inpainting.down_blocks:
            features.append(block(features[-1]))
        return [self.detector(source)["fg_kp"], *features]


def eager(networks: Networks, source: np.ndarray) -> Variant:
    """The loop of the official demo in mode 'standard', its cheapest: frame by frame."""
    detector, dense_motion_network, inpainting = networks
    device = next(detector.parameters()).device
    source_image = as_tensor(source[None]).to(device)
    with torch.no_grad():
        kp_source = detector(source_image)

    @torch.no_grad()
    def animate(picture: np.ndarray) -> np.ndarray:
        driving = torch.tensor(picture[None]).permute(0, 3, 1, 2).to(device)
        dense_motion = dense_motion_network(
            source_image=source_image,
            kp_driving=detector(driving),
            kp_source=kp_source,
            bg_param=None,
            dropout_flag=False,
        )
        prediction = inpainting(source_image, dense_motion)["prediction"]
        return np.transpose(prediction.data.cpu().numpy(), [0, 2, 3, 1])[0]

    return one_by_one(animate), f"{torch_on(device)}, eager, as published"


def compiled(networks: Networks, source: np.ndarray, *, bfloat16: bool = False) -> Variant:
    """torch.compile, channels_last, inference_mode; bfloat16 by autocast if asked for."""
    device = next(networks[0].parameters()).device
    torch.backends.cudnn.benchmark = True
    model = PerFrame(networks).to(memory_format=torch.channels_last)
    fast = torch.compile(model)

    def place(x: torch.Tensor) -> torch.Tensor:
        return x.to(device=device, memory_format=torch.channels_last) if x.ndim == 4 else x

    def modes() -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=bfloat16))
        return stack

    with modes():
        image = place(as_tensor(source[None]))
        encoded = [place(x) for x in model.encode(image)]

    def animate(pictures: np.ndarray) -> np.ndarray:
        with modes():
            prediction = fast(place(as_tensor(pictures)), image, *encoded)
            return prediction.float().permute(0, 2, 3, 1).cpu().numpy()

    how = "torch.compile, channels_last, inference_mode" + ", bfloat16 autocast" * bfloat16
    return animate, f"{torch_on(device)}, {how}"


def onnxruntime(networks: Networks, source: np.ndarray) -> Variant:
    """ONNX Runtime on the CPU with its default options."""
    import onnxruntime as ort

    with exported(networks, source) as (path, constants):
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])

    def animate(picture: np.ndarray) -> np.ndarray:
        driving = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
        (prediction,) = session.run(None, {"driving": driving, **constants})
        return prediction[0].transpose(1, 2, 0)

    return one_by_one(animate), f"ONNX Runtime {ort.__version__} on the CPU, opset {OPSET}"


def openvino(networks: Networks, source: np.ndarray, *, bfloat16: bool = False) -> Variant:
    """OpenVINO on the CPU, frame after frame; by default it would use bfloat16 where it can."""
    import openvino as ov

    precision = "bf16" if bfloat16 else "f32"
    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    with exported(networks, source) as (path, constants):
        request = ov.Core().compile_model(path, "CPU", options).create_infer_request()

    def animate(picture: np.ndarray) -> np.ndarray:
        driving = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
        results = request.infer({"driving": driving, **constants}, share_inputs=True)
        return np.array(results[0][0]).transpose(1, 2, 0)

    return one_by_one(animate), f"OpenVINO {ov.__version__.split('-')[0]} on the CPU, {precision}"


VARIANTS: dict[str, Callable[[Networks, np.ndarray], Variant]] = {
    "eager": eager,
    "compiled": compiled,
    "compiled bfloat16": functools.partial(compiled, bfloat16=True),
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "openvino bfloat16": functools.partial(openvino, bfloat16=True),
}


def one_by_one(animate: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Makes a function of one picture a function of several."""
    return lambda pictures: np.stack([animate(picture) for picture in pictures])


def as_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Makes pictures [B, H, W, 3] a tensor [B, 3, H, W]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def torch_on(device: torch.device) -> str:
    """The version, the device, and how it computes."""
    tf32 = ", TF32" if device.type == "cuda" and torch.backends.cudnn.allow_tf32 else ""
    return f"torch {torch.__version__} on {device}, {torch.get_num_threads()} threads{tf32}"


@contextlib.contextmanager
def exported(networks: Networks, source: np.ndarray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Exports `PerFrame` to an ONNX file; yields it with the inputs that stay the same."""
    model, image = PerFrame(networks), as_tensor(source[None]).contiguous()
    with torch.no_grad():
        constants = [image, *model.encode(image)]
    names = ["source", "kp_source", *(f"features_{i}" for i in range(len(constants) - 2))]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/per_frame.onnx"
        with mock.patch.object(torch, "inverse", inverse):
            torch.onnx.export(
                model,
                (torch.zeros_like(image), *constants),
                path,
                input_names=["driving", *names],
                opset_version=OPSET,
                dynamo=True,
                optimize=False,  # its optimizer takes the 1e-9 in a spline's log for 0
                verbose=False,
            )
        yield path, dict(zip(names, (x.numpy() for x in constants), strict=True))


def inverse(matrices: torch.Tensor) -> torch.Tensor:
    """Replaces torch.inverse, which ONNX lacks, by Newton's iteration with matrix products."""
    size = matrices.abs()
    largest = size.sum(-1).amax(-1) * size.sum(-2).amax(-1)
    result = matrices.transpose(-1, -2) / largest[..., None, None]
    for _ in range(INVERSE_STEPS):
        result = 2 * result - result @ matrices @ result
    return result
