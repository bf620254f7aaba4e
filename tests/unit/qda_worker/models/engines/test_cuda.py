"""What is decided about CUDA devices. No device is needed: the CPU takes the place of one, and computes for real."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
)

from model_cache.catalog.catalog import Precision, Task
from model_cache.prepared_form import Gate, GateFigure, PreparedForm
from qda_worker.models.engines.base import TOLERANCE, EngineName, EngineUnavailable
from qda_worker.models.engines.cuda import (
    CUDA_BATCH_TOKENS,
    TF32_TOLERANCE,
    Card,
    CudaUse,
    NoCard,
    allow_tf32,
    cuda_use,
    find_card,
    install_cuda,
    last_states,
    missing_features,
)
from qda_worker.models.engines.measurement import relative_difference
from qda_worker.models.engines.prepared import SAMPLE_NAME, WEIGHTS_NAME
from qda_worker.models.engines.torch_reduced import bf16_tensors
from qda_worker.serve_options import EngineSetting
from tests.support.prepared_forms import form_of
from tests.support.tiny_models import hub_model

BUILT_FOR: Final = ("sm_75", "sm_80", "sm_86", "sm_90a", "sm_120", "compute_120")
AMPERE: Final = Card("A30", (8, 0), BUILT_FOR)
SHAPE: Final[dict[str, Any]] = {
    "vocab_size": 60,
    "hidden_size": 48,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}


@pytest.fixture(autouse=True)
def _settings_as_before() -> Iterator[None]:
    enabled = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    yield
    allow_tf32(allowed=False)
    torch.backends.cuda.enable_cudnn_sdp(enabled)


def test_attention_has_no_kernels_that_are_compiled_for_each_shape() -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    install_cuda(network(), AMPERE, device="cpu")
    assert not torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def network(make: Callable[[], Any] = lambda: BertModel(BertConfig(**SHAPE))) -> Any:
    torch.manual_seed(3)
    return make().eval()


@pytest.mark.parametrize(
    ("device", "engine", "use"),
    [
        ("auto", "auto", CudaUse.IF_POSSIBLE),
        ("auto", "torch", CudaUse.NEVER),
        ("auto", "openvino", CudaUse.NEVER),
        ("auto", "cuda", CudaUse.ALWAYS),
        ("auto", "cuda-tf32", CudaUse.ALWAYS),
        ("cpu", "auto", CudaUse.NEVER),
        ("cuda", "auto", CudaUse.ALWAYS),
        ("cuda", "torch", CudaUse.ALWAYS),
    ],
)
def test_device_and_engine_decide_whether_cuda_computes(device: str, engine: str, use: CudaUse) -> None:
    assert cuda_use(device, engine) is use


@pytest.mark.parametrize(
    ("capability", "precision", "tf32", "missing"),
    [
        ((8, 0), Precision.FP32, False, ""),
        ((8, 9), Precision.FP32, True, ""),
        ((8, 0), Precision.BF16, False, ""),
        ((7, 5), Precision.FP32, False, ""),
        ((7, 5), Precision.FP32, True, "capability 7.5, and TF32 needs 8.0"),
        ((7, 5), Precision.BF16, False, "capability 7.5, and bf16 needs 8.0"),
        ((8, 0), Precision.INT8, False, "no int8"),
        ((6, 1), Precision.FP32, False, "6.1, and this torch has kernels for sm_75, sm_80"),
        ((9, 0), Precision.FP32, False, ""),
        ((9, 5), Precision.FP32, False, "9.5, and this torch has kernels for"),
        ((12, 1), Precision.BF16, True, ""),
        ((13, 0), Precision.FP32, False, ""),
    ],
)
def test_what_a_card_lacks(
    capability: tuple[int, int], precision: Precision, tf32: bool, missing: str
) -> None:
    found = missing_features(Card("card", capability, BUILT_FOR), precision, tf32=tf32)
    assert missing in found
    assert bool(found) is bool(missing)


def test_a_lacking_card_changes_neither_the_network_nor_the_process() -> None:
    old = Card("T4", (7, 5), BUILT_FOR)
    with pytest.raises(EngineUnavailable, match=r"the card T4 .* TF32 needs"):
        install_cuda(network(), old, tf32=True, device="meta")
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("tf32", "name"), [(False, "cuda"), (True, "cuda-tf32")])
def test_tf32_is_set_for_the_process_and_named(tf32: bool, name: str) -> None:
    allow_tf32(allowed=not tf32)  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE does in images of NVIDIA
    installed = install_cuda(network(), AMPERE, tf32=tf32, device="cpu")
    assert (installed.names, installed.batch_tokens) == ((name,), CUDA_BATCH_TOKENS)
    assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.backends.cudnn.allow_tf32 is tf32


def changed_by_moving(factor: float) -> Any:
    """Return a network whose first layer differs after it was moved, as on a device that computes something else."""
    changed = network()
    move = changed.to

    def to(device: str) -> Any:
        with torch.no_grad():
            changed.encoder.layer[0].output.dense.weight.mul_(factor)
        return move(device)

    changed.to = to
    return changed


@pytest.mark.parametrize(
    ("factor", "tf32", "accepted"),
    [
        (1.0, False, True),
        (1.001, False, False),
        (1.001, True, True),
        (3.0, True, False),
        (float("nan"), True, False),
    ],
)
def test_a_card_that_computes_other_numbers_is_not_used(factor: float, tf32: bool, accepted: bool) -> None:
    moved = changed_by_moving(factor)
    if accepted:
        install_cuda(moved, AMPERE, tf32=tf32, device="cpu")
        return
    with pytest.raises(EngineUnavailable, match="numbers of the card A30 differ from the CPU's by"):
        install_cuda(moved, AMPERE, tf32=tf32, device="cpu")


def test_a_device_that_fails_is_told_in_one_line_and_the_network_stays_on_the_cpu() -> None:
    """torch knows the name of the device, and this build has none."""
    kept = network()
    with pytest.raises(EngineUnavailable, match=r"^the card A30 failed: \w+: [^\n]+$"):
        install_cuda(kept, AMPERE, device="privateuseone")
    assert kept.device.type == "cpu"
    assert torch.isfinite(last_states(kept)).all()


def test_a_device_that_gives_nothing_back_leaves_the_network_on_the_cpu(tmp_path: Path) -> None:
    """Tensors on `meta` have no content: as with a device that has failed, they cannot be moved to the CPU."""
    kept = network()
    expected = last_states(kept)
    for form in (None, (tmp_path, bf16_form(tmp_path, kept))):
        with pytest.raises(EngineUnavailable, match=r"the card A30 failed|on the sample"):
            install_cuda(kept, AMPERE, form=form, device="meta")
        assert {tensor.device.type for tensor in (*kept.parameters(), *kept.buffers())} == {"cpu"}
        assert torch.equal(last_states(kept), expected)


def test_a_card_that_computes_only_long_texts_differently_is_not_used() -> None:
    moved = network()
    move = moved.to

    def to(device: str) -> Any:
        with torch.no_grad():
            moved.embeddings.position_embeddings.weight[40:].mul_(3.0)
        return move(device)

    moved.to = to
    with pytest.raises(EngineUnavailable, match="with 64 tokens"):
        install_cuda(moved, AMPERE, device="cpu")


@pytest.mark.parametrize(
    "make",
    [
        lambda: BertForSequenceClassification(BertConfig(**SHAPE)),
        lambda: DistilBertModel(DistilBertConfig(vocab_size=60, dim=48, n_heads=4, hidden_dim=80)),
    ],
)
def test_the_comparison_knows_encoders_of_any_kind(make: Callable[[], Any]) -> None:
    states = last_states(network(make))
    assert states.shape == (12 + 6, 48)
    assert states.isfinite().all()


def rounded_to_tf32(tensor: torch.Tensor) -> torch.Tensor:
    """Round to 10 bits of mantissa, half away from zero, as the units for TF32 do with their inputs."""
    bits = tensor.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def test_emulated_tf32_is_outside_the_tolerance_of_fp32_and_well_within_its_own() -> None:
    plain, emulated = network(), network()
    for module in emulated.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = rounded_to_tf32(module.weight.data)
            module.register_forward_pre_hook(lambda _module, inputs: (rounded_to_tf32(inputs[0]),))
    difference = relative_difference(last_states(emulated), last_states(plain))
    assert 4 * TOLERANCE < difference < TF32_TOLERANCE / 2


def bf16_form(folder: Path, served: Any, *, variant: str = "torch-bf16", error: float = 0.07) -> PreparedForm:
    """Write the form of a network as `qda-worker prepare` does, and return its record."""
    states = torch.randn(3, 9, 48, generator=torch.Generator().manual_seed(5))
    mask = torch.ones(3, 9, dtype=torch.uint8)
    with torch.inference_mode():
        after = served.encoder(states).last_hidden_state
    save_file(bf16_tensors(served.encoder), folder / WEIGHTS_NAME)
    save_file({"states": states, "mask": mask, "fp32": after}, folder / SAMPLE_NAME)
    gate = Gate(True, 200, {variant: {"cosine": GateFigure(0.999, 0.99, True)}})
    recipe = {"sample_errors": {variant: error}}
    return form_of(hub_model(Task.EMBEDDING), {}, {}, Precision.BF16, gate, recipe)


def test_a_form_in_bf16_computes_the_layers(tmp_path: Path) -> None:
    served = network()
    expected = last_states(served)
    form = bf16_form(tmp_path, served)
    installed = install_cuda(served, AMPERE, form=(tmp_path, form), device="cpu")
    assert (installed.names, installed.device) == (("cuda",), "cpu")
    assert TOLERANCE < relative_difference(last_states(served), expected) < 0.5


@pytest.mark.parametrize(
    ("variant", "error", "reason"),
    [
        ("torch-bf16", 1e-5, "error on the sample is .* here, and was 1e-05"),
        ("openvino-bf16", 0.07, "no variant torch-bf16, only openvino-bf16"),
    ],
)
def test_a_form_that_the_card_computes_worse_is_not_used(
    tmp_path: Path, variant: str, error: float, reason: str
) -> None:
    served = network()
    expected = last_states(served)
    form = bf16_form(tmp_path, served, variant=variant, error=error)
    with pytest.raises(EngineUnavailable, match=reason):
        install_cuda(served, AMPERE, form=(tmp_path, form), device="cpu")
    assert torch.equal(last_states(served), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_machine_without_a_card_is_told() -> None:
    with pytest.raises(NoCard, match="no CUDA device that torch can use"):
        find_card()


def test_names_of_engines_are_the_values_of_the_option() -> None:
    assert {*EngineName} == {*EngineSetting} - {"auto"}
