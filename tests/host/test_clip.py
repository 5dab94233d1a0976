"""ComfyUI's own T5 in place of the folder's: a tiny one, in ComfyUI's Python, beside transformers'."""

from __future__ import annotations

import subprocess

import real_comfy as host

READ_BY_BOTH = """
import importlib.util, sys
from types import SimpleNamespace
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.sd
import torch
from comfy.text_encoders import cogvideo
from transformers import T5Config, T5EncoderModel

spec = importlib.util.spec_from_file_location("pack", {door!r}, submodule_search_locations=[{root!r}])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
from pack.nodes.host import text_encoder_of

small = dict(d_ff=96, d_kv=16, d_model=64, num_heads=4, num_layers=3)
kind = SimpleNamespace(params={{}}, clip=cogvideo.cogvideo_te(torch.float32), tokenizer=cogvideo.CogVideoXTokenizer)
clip = comfy.sd.CLIP(kind, model_options={{"t5xxl_model_config": small, "dtype": torch.float32}})
torch.manual_seed(0)
other = T5EncoderModel(T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", dropout_rate=0.0, **small)).eval()
for weight in other.parameters():
    torch.nn.init.normal_(weight, std=0.1)
missing, _ = clip.cond_stage_model.t5xxl.transformer.load_state_dict(other.state_dict(), strict=False)
assert not missing, missing
ids = torch.randint(1, 32000, (1, 226), generator=torch.Generator().manual_seed(0))
ids[0, 40:] = 0
with torch.no_grad():
    torch.testing.assert_close(text_encoder_of(clip)(ids), other(ids).last_hidden_state, rtol=1e-4, atol=1e-5)
"""


def test_comfyuis_t5_reads_a_prompt_padding_and_all_as_the_folders_own_would() -> None:
    code = READ_BY_BOTH.format(door=str(host.ROOT / "__init__.py"), root=str(host.ROOT))
    tried = subprocess.run([host.interpreter(), "-c", code], cwd=host.folder(), capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr[-3000:]
