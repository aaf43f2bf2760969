//! Tensor names of CLIP checkpoints, and what each tensor is to the visual tower.

/// What a tensor of a CLIP checkpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A tensor of the visual tower, under open_clip's name without prefix.
    Ours(String),
    /// One third of a packed projection: its name, and 0, 1, 2 for query, key, value.
    Third(String, usize),
    /// Stored `(out, in)` where open_clip stores `(in, out)`.
    Transposed(String),
    /// The text tower and what belongs to it.
    Text,
    /// Nothing that a CLIP checkpoint has.
    Unknown,
}

/// The role of tensor `name` in a checkpoint of open_clip, OpenAI, OpenFlamingo or Hugging Face,
/// whatever wrapped the model when it was saved.
pub fn role(name: &str) -> Role {
    let name = &*formats::unwrapped(name);
    if let Some(rest) = name.strip_prefix("vision_model.") {
        return hugging_face(rest);
    }
    // a vision model that transformers saved alone, since version 5
    match hugging_face(name) {
        Role::Unknown => {}
        role => return role,
    }
    if name == "visual_projection.weight" {
        return Role::Transposed("proj".to_owned());
    }
    for prefix in ["visual.", "vision_encoder.visual.", "vision_encoder."] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return open_clip(rest);
        }
    }
    let text = [
        "text_model.",
        "text_projection",
        "transformer.",
        "token_embedding.",
        "ln_final.",
        "positional_embedding",
        "logit_scale",
        "logit_bias",
        "attn_mask",
        "input_resolution",
        "context_length",
        "vocab_size",
    ];
    // without a prefix, `transformer.resblocks` may be either tower: a visual one stands alone
    match open_clip(name) {
        Role::Ours(ours) if !text.iter().any(|start| name.starts_with(start)) => Role::Ours(ours),
        _ if text.iter().any(|start| name.starts_with(start)) => Role::Text,
        _ => Role::Unknown,
    }
}

fn open_clip(name: &str) -> Role {
    let parts = ["class_embedding", "positional_embedding", "conv1.weight", "proj"];
    let known = parts.contains(&name)
        || ["ln_pre.", "ln_post.", "transformer.resblocks."].iter().any(|p| name.starts_with(p));
    if known { Role::Ours(name.to_owned()) } else { Role::Unknown }
}

fn hugging_face(name: &str) -> Role {
    let ours = |name: &str| Role::Ours(name.to_owned());
    match name {
        "embeddings.class_embedding" => return ours("class_embedding"),
        "embeddings.patch_embedding.weight" => return ours("conv1.weight"),
        "embeddings.position_embedding.weight" => return ours("positional_embedding"),
        "embeddings.position_ids" => return Role::Text,
        _ => {}
    }
    // Hugging Face's own spelling
    for (theirs, norm) in [
        ("pre_layrnorm.", "ln_pre."),
        ("pre_layernorm.", "ln_pre."),
        ("post_layernorm.", "ln_post."),
    ] {
        if let Some(rest) = name.strip_prefix(theirs) {
            return Role::Ours(format!("{norm}{rest}"));
        }
    }
    let layer = name.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.'));
    let Some((idx, tensor)) = layer else { return Role::Unknown };
    let block = format!("transformer.resblocks.{idx}");
    for (third, letter) in ["q", "k", "v"].iter().enumerate() {
        for end in ["weight", "bias"] {
            if tensor == format!("self_attn.{letter}_proj.{end}") {
                return Role::Third(format!("{block}.attn.in_proj_{end}"), third);
            }
        }
    }
    for (theirs, part) in [
        ("self_attn.out_proj.", "attn.out_proj."),
        ("layer_norm1.", "ln_1."),
        ("layer_norm2.", "ln_2."),
        ("mlp.fc1.", "mlp.c_fc."),
        ("mlp.fc2.", "mlp.c_proj."),
    ] {
        if let Some(rest) = tensor.strip_prefix(theirs) {
            return Role::Ours(format!("{block}.{part}{rest}"));
        }
    }
    Role::Unknown
}
