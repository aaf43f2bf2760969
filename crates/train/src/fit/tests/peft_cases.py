"""Compares PEFT's outputs with those of adapters that were trained and exported here; see by_hand.rs.

pip install peft transformers torch; python peft_cases.py DIR --clip (before the test of CLIP); python peft_cases.py DIR
"""

import json
import pathlib
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, CLIPConfig, CLIPModel


def clip():
    vision = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=8,
                  patch_size=4, projection_dim=6)
    text = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=20,
                max_position_embeddings=8, projection_dim=6)
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=6))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def tidy(value):
    """transformers 5 takes neither 4.0 for a whole number nor null for an absent one."""
    if isinstance(value, dict):
        return {name: tidy(it) for name, it in value.items() if it is not None}
    return int(value) if isinstance(value, float) and value.is_integer() else value


folder = pathlib.Path(sys.argv[1])
if "--clip" in sys.argv:
    clip().save_pretrained(folder / "clip" / "base")
    sys.exit()
for case in sorted(path.parent for path in folder.glob("*/io.safetensors")):
    io = load_file(case / "io.safetensors")
    kind = CLIPModel if case.name == "clip" else AutoModelForCausalLM
    config = case / "base" / "config.json"
    if case.name == "mpt":
        config.write_text(json.dumps(tidy(json.loads(config.read_text()))))
    base = kind.from_pretrained(case / "base", dtype=torch.float32).eval()

    def output(model):
        with torch.no_grad():
            if case.name == "clip":
                vision = model.base_model.model.vision_model if isinstance(model, PeftModel) else model.vision_model
                return vision(pixel_values=io["pixel_values"]).last_hidden_state
            return model(input_ids=io["input_ids"]).logits

    plain = output(base)
    model = PeftModel.from_pretrained(base, case / "adapter").eval()
    gap = lambda a, b: (a - b).abs().max().item()
    found = output(model)
    print(f"{case.name}: PEFT against ours {gap(found, io['output']):.1e}, against no adapter {gap(found, plain):.1e}, "
          f"std {io['output'].std().item():.2f}")
