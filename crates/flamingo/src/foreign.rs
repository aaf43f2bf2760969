//! The tensor names of foreign checkpoints, and what each tensor is to us.
//!
//! OpenFlamingo's state dict names a gated block up to three times; its trainer keeps two of these
//! names. Training and compilation wrap names, in `module.` and `_orig_mod.`; Otter and its kin rename the feed-forwards. Everything
//! that no rule knows is an error, so that a typo or another model cannot pass silently.

/// What a tensor of a checkpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Resampler or gated block, under OpenFlamingo's name in the package.
    Adapter(String),
    /// A tensor of the language model itself, under its own Hugging Face name.
    Lm(String),
    /// A tensor of the vision encoder, under open_clip's name.
    Vision(String),
    /// Numbers that are computed, not learned.
    Buffer,
    /// Nothing that belongs to a Flamingo.
    Unknown,
}

/// The role of tensor `name`, in a checkpoint around a language model whose blocks stand at
/// `blocks`, such as `model.layers`.
pub fn role(name: &str, blocks: &str) -> Role {
    let name = &*formats::unwrapped(name);
    if name.starts_with("perceiver.") {
        return Role::Adapter(perceiver(name));
    }
    if let Some(rest) = name.strip_prefix("vision_encoder.") {
        return Role::Vision(rest.strip_prefix("visual.").unwrap_or(rest).to_owned());
    }
    let Some(rest) = name.strip_prefix("lang_encoder.") else { return Role::Unknown };
    if let Some((idx, tensor)) = numbered(rest, "gated_cross_attn_layers") {
        return gated(blocks, idx, tensor);
    }
    if let Some((idx, tensor)) = numbered(rest, "old_decoder_blocks") {
        return block(blocks, idx, tensor);
    }
    match numbered(rest, blocks) {
        Some((idx, tensor)) => match tensor.split_once('.') {
            Some(("gated_cross_attn_layer", tensor)) => gated(blocks, idx, tensor),
            Some(("decoder_layer", tensor)) => block(blocks, idx, tensor),
            _ => block(blocks, idx, tensor),
        },
        None => Role::Lm(rest.to_owned()),
    }
}

/// `list.7.rest` as `(7, rest)`.
fn numbered<'a>(name: &'a str, list: &str) -> Option<(usize, &'a str)> {
    let (idx, rest) = name.strip_prefix(list)?.strip_prefix('.')?.split_once('.')?;
    Some((idx.parse().ok()?, rest))
}

fn gated(blocks: &str, idx: usize, tensor: &str) -> Role {
    let tensor = match tensor.strip_prefix("feed_forward.") {
        Some(rest) => format!("ff.{rest}"),
        None => tensor.to_owned(),
    };
    Role::Adapter(format!("lang_encoder.{blocks}.{idx}.gated_cross_attn_layer.{tensor}"))
}

fn block(blocks: &str, idx: usize, tensor: &str) -> Role {
    let computed = ["rotary_emb.inv_freq", "attention.bias", "attention.masked_bias", "attn.bias"];
    if computed.iter().any(|end| tensor.ends_with(end)) {
        return Role::Buffer;
    }
    Role::Lm(format!("{blocks}.{idx}.{tensor}"))
}

/// OpenFlamingo keeps attention and feed-forward of a layer as items 0 and 1 of a list; Otter keeps
/// the attention's tensors in the layer itself, and the feed-forward beside them.
fn perceiver(name: &str) -> String {
    let Some((layer, tensor)) = numbered(name, "perceiver.layers") else { return name.to_owned() };
    if let Some(rest) = tensor.strip_prefix("feed_forward.") {
        return format!("perceiver.layers.{layer}.1.{rest}");
    }
    let first = tensor.split('.').next().unwrap_or_default();
    match first.parse::<usize>() {
        Ok(_) => name.to_owned(),
        Err(_) => format!("perceiver.layers.{layer}.0.{tensor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: &str = "model.layers";

    fn adapter(name: &str) -> Role {
        Role::Adapter(name.to_owned())
    }

    #[test]
    fn every_alias_of_a_gated_block_is_one_tensor() {
        let ours = "lang_encoder.model.layers.3.gated_cross_attn_layer.ff.1.weight";
        for alias in [
            ours,
            "module.lang_encoder.model.layers.3.gated_cross_attn_layer.ff.1.weight",
            "module._orig_mod.lang_encoder.model.layers.3.gated_cross_attn_layer.ff.1.weight",
            "_orig_mod.module.lang_encoder.gated_cross_attn_layers.3._orig_mod.ff.1.weight",
            "lang_encoder._orig_mod.model.layers.3.gated_cross_attn_layer.ff.1.weight",
            "lang_encoder.gated_cross_attn_layers.3.ff.1.weight",
            "lang_encoder.model.layers.3.gated_cross_attn_layer.feed_forward.1.weight",
        ] {
            assert_eq!(role(alias, BLOCKS), adapter(ours), "{alias}");
        }
        let gate = "lang_encoder.model.layers.3.gated_cross_attn_layer.ff_gate";
        assert_eq!(role(gate, BLOCKS), adapter(gate));
    }

    #[test]
    fn otters_resampler_becomes_openflamingos() {
        for (theirs, ours) in [
            ("perceiver.layers.2.norm_media.weight", "perceiver.layers.2.0.norm_media.weight"),
            ("perceiver.layers.2.to_kv.weight", "perceiver.layers.2.0.to_kv.weight"),
            ("perceiver.layers.2.feed_forward.3.weight", "perceiver.layers.2.1.3.weight"),
            ("perceiver.layers.2.0.to_q.weight", "perceiver.layers.2.0.to_q.weight"),
            ("perceiver.latents", "perceiver.latents"),
        ] {
            assert_eq!(role(theirs, BLOCKS), adapter(ours));
        }
    }

    #[test]
    fn weights_of_the_language_model_and_buffers_are_told_apart() {
        let lm = |name: &str| Role::Lm(name.to_owned());
        assert_eq!(
            role("lang_encoder.model.embed_tokens.weight", BLOCKS),
            lm("model.embed_tokens.weight")
        );
        for alias in ["old_decoder_blocks.0", "model.layers.0.decoder_layer"] {
            let name = format!("lang_encoder.{alias}.mlp.up_proj.weight");
            assert_eq!(role(&name, BLOCKS), lm("model.layers.0.mlp.up_proj.weight"));
        }
        let buffer = "lang_encoder.model.layers.0.decoder_layer.self_attn.rotary_emb.inv_freq";
        assert_eq!(role(buffer, BLOCKS), Role::Buffer);
        assert_eq!(role("head.weight", BLOCKS), Role::Unknown);
        assert_eq!(
            role("vision_encoder.conv1.weight", BLOCKS),
            Role::Vision("conv1.weight".to_owned())
        );
    }
}
