//! A model package in words, for `model inspect`.
use std::fmt::Write as _;

use pipeline::PackageInfo;

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
    let encoder = match parameters.encoder {
        0 => String::new(),
        n => format!("encoder {n}, "),
    };
    line(
        "trainable",
        format!(
            "{} parameters: {encoder}resampler {}, gated blocks {}, embedding {} ({} of them moved)",
            parameters.trainable,
            parameters.resampler,
            parameters.gated_blocks,
            parameters.embedding,
            parameters.embedding_moved,
        ),
    );
    line("frozen", format!("{} parameters", parameters.frozen));
    for part in &manifest.parts {
        let (bytes, digest) = (part.bytes, &part.sha256[..16.min(part.sha256.len())]);
        let place =
            part.path.as_ref().map_or(String::new(), |path| format!(" at {}", path.display()));
        let file = format!("{}{place}", part.file);
        line("part", format!("{file}: {bytes} bytes, sha256 {digest}…, licence: {}", part.licence));
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
        let names = file.tensors.iter().map(|it| it.name.chars().count());
        let width = names.max().unwrap_or(0);
        for tensor in &file.tensors {
            let (name, shape, dtype) = (&tensor.name, &tensor.shape, &tensor.dtype);
            let _ = writeln!(out, "  {name:width$}  {dtype:5} {shape:?}");
        }
    }
    out.trim_end().to_owned()
}
