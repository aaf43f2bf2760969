//! A model package in words, for `model inspect`.
use std::fmt::Write as _;

use pipeline::{EncoderInfo, PackageInfo, Part, TargetModules, TensorInfo};

/// Parts, licences, parameters, gates and tensors.
pub(super) fn described(info: &PackageInfo) -> String {
    let (manifest, parameters) = (&info.manifest, &info.parameters);
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:11} {text}");
    };
    line("name", manifest.name.clone());
    line("written by", format!("{}, seed {}", manifest.created_by, manifest.seed));
    line("reads", manifest.input.to_string());
    if let Some(encoder) = &manifest.frozen_encoder {
        line("made by", format!("encoder {}, frozen", encoder.name()));
    }
    let encoder = match parameters.encoder {
        0 => String::new(),
        n => format!("encoder {n}, "),
    };
    let lora = match parameters.lora_of_lm {
        0 => String::new(),
        n => format!("language model's LoRA {n}, "),
    };
    line(
        "trainable",
        format!(
            "{} parameters: {encoder}resampler {}, gated blocks {}, {lora}embedding {} ({} of them moved)",
            parameters.trainable,
            parameters.resampler,
            parameters.gated_blocks,
            parameters.embedding,
            parameters.embedding_moved,
        ),
    );
    for (part, lora) in manifest.config.adapters() {
        let stable = if lora.use_rslora { ", rank-stabilised" } else { "" };
        let of = format!("rank {}, alpha {}{stable}", lora.rank, lora.alpha);
        let beside = match &lora.target_modules {
            Some(TargetModules::Ends(names)) => names.join(", "),
            Some(TargetModules::Pattern(pattern)) => pattern.clone(),
            None => "every linear layer".to_owned(),
        };
        line("lora", format!("{}: {of}, beside {beside}", part.name()));
    }
    line("frozen", format!("{} parameters", parameters.frozen));
    for part in &manifest.parts {
        line("part", part_described(part));
    }
    for gate in &info.gates {
        let (attention, feed_forward) = (gate.attention, gate.feed_forward);
        let text = format!("attention {attention:+.4}, feed-forward {feed_forward:+.4}");
        line("gate", format!("before block {}: {text}", gate.block));
    }
    for file in &info.weights {
        let moved = if file.trained { "trained" } else { "frozen" };
        let (n, parameters) = (file.tensors.len(), file.n_parameters);
        let _ = writeln!(out, "\n{}: {n} tensors, {parameters} parameters, {moved}", file.file);
        list(&mut out, &file.tensors);
    }
    out.trim_end().to_owned()
}

/// The encoder, its licence, its parts and its tensors.
pub(super) fn encoder_described(info: &EncoderInfo) -> String {
    let EncoderInfo { manifest, n_parameters, tensors } = info;
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:11} {text}");
    };
    line("name", manifest.name.clone());
    line("written by", manifest.created_by.clone());
    line("encoder", format!("{} ({})", manifest.what, manifest.encoder_id));
    let warning = manifest.licence.warning();
    line("licence", warning.unwrap_or_else(|| manifest.licence.name.clone()));
    line("imported", manifest.imported_from.clone());
    for part in &manifest.parts {
        line("part", part_described(part));
    }
    let _ = writeln!(out, "\n{} tensors, {n_parameters} parameters", tensors.len());
    list(&mut out, tensors);
    out.trim_end().to_owned()
}

fn part_described(part: &Part) -> String {
    let (bytes, digest) = (part.bytes, &part.sha256[..16.min(part.sha256.len())]);
    let place = part.path.as_ref().map_or(String::new(), |path| format!(" at {}", path.display()));
    let (file, licence) = (&part.file, &part.licence);
    format!("{file}{place}: {bytes} bytes, sha256 {digest}…, licence: {licence}")
}

/// Tensors, one a line.
fn list(out: &mut String, tensors: &[TensorInfo]) {
    let width = tensors.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
    for tensor in tensors {
        let (name, shape, dtype) = (&tensor.name, &tensor.shape, &tensor.dtype);
        let _ = writeln!(out, "  {name:width$}  {dtype:5} {shape:?}");
    }
}
