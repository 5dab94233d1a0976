"""Finding, checking and loading a model's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mpvg_core.backbone.folder import find_model
from mpvg_core.backbone.load import load_backbone, model_limits
from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.errors import InputError, MPVGError


def edit(file: Path, **changes: object) -> None:
    """Change a configuration; a value of `...` removes the key."""
    config = json.loads(file.read_text("utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}), "utf-8")


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        find_model(str(folder)).limits()
    return str(caught.value)


def test_the_limits_are_told_of_a_control_model_too(copied):
    edit(copied / "transformer" / "config.json", in_channels=8)
    assert model_limits(str(copied)).max_frames == 17
    with pytest.raises(InputError):
        load_backbone(str(copied), device="cpu")


def test_the_limits_of_a_folder_are_those_of_its_configurations(folders):
    limits = model_limits(str(folders["5b"]))
    assert (limits.max_frames, limits.frame_step, limits.fps) == (17, 8, 8)
    assert (limits.width, limits.height, limits.size_step) == (32, 24, 8)
    assert (limits.max_tokens, limits.model) == (10, "Kino ä 5b")
    assert limits.count_tokens("A cat, 12!") == 7  # a cat , 1 2 ! </s>
    assert limits.unknown_words("A Zebra rides the cat, Zebra!") == ("Zebra", "the", "!")
    assert limits.known_words[:3] == ("a", "actor", "cat")


def test_limits_and_text_of_the_backbone_are_the_folders(folders):
    backbone = load_backbone(str(folders["2b"]), device="cpu")
    assert backbone.limits().max_frames == model_limits(str(folders["2b"])).max_frames
    text = "A cat rides, 1."
    found = backbone.encode_text([text])[0].ids
    assert int((found != 0).sum()) == backbone.limits().count_tokens(text)


def test_limits_are_known_without_any_heavy_library(folders):
    code = (
        "import sys; from mpvg_core.backbone.load import model_limits; "
        "limits = model_limits(sys.argv[1]); limits.count_tokens('a cat'); "
        "print([m for m in ('torch', 'numpy', 'diffusers', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, str(folders["2b"])], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_no_such_folder(tmp_path):
    assert "nowhere: no such model folder" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "file",
    ["transformer/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"],
)
def test_a_missing_or_broken_configuration_is_named(copied, file):
    (copied / file).write_text("{", "utf-8")
    assert f"{copied / file}: is no JSON" in refused(copied)
    (copied / file).write_text("[]", "utf-8")
    assert f"{copied / file}: holds list" in refused(copied)
    (copied / file).unlink()
    assert f"{copied / file}: is missing" in refused(copied)


def test_everything_missing_is_named_at_once(tmp_path):
    lines = refused(tmp_path).splitlines()
    assert len(lines) == 5
    assert [
        word in line for word, line in zip(("transformer", "vae", "text_encoder", "scheduler"), lines[:4], strict=True)
    ]
    assert "tokenizer: neither tokenizer.json nor spiece.model" in lines[4]


def test_pickled_weights_are_not_loaded(copied):
    (copied / "vae" / "diffusion_pytorch_model.safetensors").rename(copied / "vae" / "diffusion_pytorch_model.bin")
    assert f"{copied / 'vae'}: no weights; expected *.safetensors; MPVG loads no pickled weights" in refused(copied)


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("transformer", {"patch_size_t": 2}, "this is a CogVideoX 1.5"),
        ("transformer", {"in_channels": 8}, "8 input channels for 4 of a clip; expected a text-to-video model; a"),
        ("transformer", {"in_channels": 32, "out_channels": ...}, "32 input channels for 16"),
        ("transformer", {"in_channels": 9}, "9 input channels for 4 of a clip; expected a text-to-video model, not"),
        ("transformer", {"in_channels": 8, "use_learned_positional_embeddings": True}, "8 input channels for 4"),
        ("transformer", {"_class_name": "WanTransformer3DModel"}, "this is a WanTransformer3DModel"),
        ("transformer", {"sample_frames": ...}, "'sample_frames' is missing"),
        ("vae", {"_class_name": "AutoencoderKL"}, "this is a AutoencoderKL"),
        ("vae", {"temporal_compression_ratio": ...}, "'temporal_compression_ratio' is missing"),
    ],
)
def test_other_models_are_refused_by_name_of_the_file(copied, part, changes, says):
    file = copied / part / "config.json"
    edit(file, **changes)
    assert f"{file}: {says}" in refused(copied)


@pytest.mark.parametrize("changes", [{"in_channels": 9}, {"in_channels": 8, "use_learned_positional_embeddings": True}])
def test_where_a_control_model_may_be_inpainting_and_image_to_video_are_still_refused(copied, changes):
    edit(copied / "transformer" / "config.json", **changes)
    with pytest.raises(InputError, match="a text-to-video or control model, not image-to-video or inpainting"):
        find_model(str(copied), control=True)


def test_a_control_model_loads_where_it_may_be_one_and_says_what_it_takes(copied):
    backbone = load_backbone(str(copied), device="cpu", control=True)
    assert (backbone.control_channels, backbone.latent_channels) == (0, 4)
    file = weights_of(copied, "transformer")
    weights = load_file(file)
    name = "patch_embed.proj.weight"
    wide = torch.cat([weights[name], 0.5 * weights[name].flip(0)], dim=1)
    save_file(weights | {name: wide}, file, metadata={"format": "pt"})
    edit(copied / "transformer" / "config.json", in_channels=8, add_noise_in_inpaint_model=False)  # as Fun writes it
    control = load_backbone(str(copied), device="cpu", control=True)
    assert (control.control_channels, control.latent_channels) == (4, 4)
    x, c = torch.randn(2, 1, 3, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    at, embeds = torch.tensor([500]), control.encode_text(["a cat runs"])[0].embeds[None]
    with torch.no_grad():
        plain = backbone.denoise(x, at, embeds, branch="b")
        none = control.denoise(torch.cat([x, 0 * c], dim=2), at, embeds, branch="b")
        seen = control.denoise(torch.cat([x, c], dim=2), at, embeds, branch="b")
    assert none.shape == x.shape
    assert torch.allclose(none, plain, atol=1e-5)
    assert not torch.allclose(seen, plain, atol=1e-3)
    with pytest.raises(InputError, match="films after a control clip only; give the shot a control clip"):
        control.denoise(x, at, embeds, branch="b")


def test_a_broken_tokenizer_is_named(copied):
    file = copied / "tokenizer" / "tokenizer.json"
    for content in ("{", "{}", '{"model": {"type": "WordLevel"}}'):
        file.write_text(content, "utf-8")
        assert f"{file}: does not open" in refused(copied)
    file.unlink()
    (copied / "tokenizer" / "spiece.model").write_bytes(b"junk")
    assert "spiece.model: does not open" in refused(copied)


def weights_of(folder: Path, part: str) -> Path:
    return next((folder / part).glob("*.safetensors"))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
@pytest.mark.parametrize("fault", ["cut", "missing", "shape"])
def test_weights_that_are_not_whole_are_an_error_never_random_numbers(copied, part, fault):
    file = weights_of(copied, part)
    weights = load_file(file)
    name = sorted(weights)[-1]
    if fault == "cut":
        file.write_bytes(file.read_bytes()[:-64])
    elif fault == "missing":
        save_file({key: value for key, value in weights.items() if key != name}, file, metadata={"format": "pt"})
    else:
        save_file(weights | {name: torch.zeros(7)}, file, metadata={"format": "pt"})
    with pytest.raises(MPVGError, match="download them again") as caught:
        load_backbone(str(copied), device="cpu").encode_text(["a cat"])
    assert str(caught.value).startswith(str(copied / part))
    if fault == "missing":
        assert name in str(caught.value)


def test_the_fingerprint_follows_every_weight_configuration_and_the_tokenizer(copied):
    def printed() -> str:
        return find_model(str(copied)).fingerprint()

    seen = [printed()]
    assert printed() == seen[0]
    for part in ("transformer", "vae", "text_encoder"):
        file = weights_of(copied, part)
        weights = load_file(file)
        next(iter(weights.values())).view(-1)[0] += 1
        save_file(weights, file, metadata={"format": "pt"})
        seen.append(printed())
    edit(copied / "scheduler" / "scheduler_config.json", snr_shift_scale=2.0)
    seen.append(printed())
    edit(copied / "tokenizer" / "tokenizer.json", version="1.0.1")
    seen.append(printed())
    assert len(set(seen)) == len(seen)
    moved = copied.rename(copied.with_name("another name"))
    assert find_model(str(moved)).fingerprint() == seen[-1]


def test_the_fingerprint_of_large_files_sees_a_change_in_their_middle(copied, monkeypatch):
    monkeypatch.setattr("mpvg_core.backbone.folder._WHOLE_HASH", 1000)
    monkeypatch.setattr("mpvg_core.backbone.folder._SAMPLE", 64)
    file = weights_of(copied, "transformer")
    before = find_model(str(copied)).fingerprint()
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    for index in range(middle, middle + 2000):  # of about 80 kB: a sample of 64 bytes falls into each 160
        content[index] ^= 1
    file.write_bytes(content)
    assert find_model(str(copied)).fingerprint() != before
    after = find_model(str(copied)).fingerprint()
    content[-1] ^= 1
    file.write_bytes(content)
    assert find_model(str(copied)).fingerprint() != after


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "gpu"}, "--device: 'gpu' is unknown; expected auto, cpu, cuda, cuda:1 or mps"),
        ({"device": "meta"}, "--device: 'meta' is unknown"),
        ({"device": "cuda:77"}, "--device: 'cuda:77': this torch sees"),
        ({"device": "cpu", "dtype": "int8"}, "--dtype: 'int8' is unknown; expected auto, float32, bfloat16, float16"),
    ],
)
def test_devices_and_precisions_that_are_not_there_are_refused(folders, options, says):
    with pytest.raises(InputError) as caught:
        load_backbone(str(folders["2b"]), **options)
    assert says in str(caught.value)


def test_a_cpu_films_in_full_precision_unless_told_otherwise(folders):
    assert load_backbone(str(folders["2b"]), device="cpu").dtype == torch.float32
    half = load_backbone(str(folders["2b"]), device="cpu", dtype="float16")
    assert next(half.transformer.parameters()).dtype == torch.float16


def test_the_models_own_adapters_are_found(copied):
    assert find_model(str(copied)).adapter is None
    (copied / "history_adapter.safetensors").write_bytes(b"")
    assert find_model(str(copied)).adapter == copied / "history_adapter.safetensors"
    assert find_model(str(copied)).control_adapter is None
    (copied / "control_adapter.safetensors").write_bytes(b"")
    assert find_model(str(copied)).control_adapter == copied / "control_adapter.safetensors"


def test_the_models_own_defaults_are_read_or_refused(copied):
    assert find_model(str(copied)).defaults().steps == 50
    (copied / "mpvg.json").write_text('{"steps": 7, "text_scale": 2.0}', "utf-8")
    assert (find_model(str(copied)).defaults().steps, find_model(str(copied)).defaults().history_scale) == (7, 1.0)
    (copied / "mpvg.json").write_text('{"history_scale": 3.0, "history_interval": [0, 0.7]}', "utf-8")
    assert HistoryGuidance(
        **find_model(str(copied)).defaults().told(steps=None, text_scale=2.0).guidance()
    ) == HistoryGuidance(2.0, 3.0, interval=(0.0, 0.7))
    for wrong in ('{"speed": 7}', "[1]", "{", '{"history_interval": [0.7, 0.2]}', '{"history_interval": 1}'):
        (copied / "mpvg.json").write_text(wrong, "utf-8")
        with pytest.raises(InputError, match=r"mpvg\.json: does not fit"):
            find_model(str(copied)).defaults()
