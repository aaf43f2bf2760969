//! The name of a model package.
use flamingo::Manifest;

/// Names a package by what is in it.
pub(crate) fn model_id(manifest: &Manifest) -> String {
    let parts: String = manifest.parts.iter().map(|part| part.sha256.as_str()).collect();
    format!("{}-{}", manifest.name, &files::sha256_bytes(parts.as_bytes())[..12])
}
