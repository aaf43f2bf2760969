//! A published weight file becomes an encoder's package.

use std::fs;
use std::path::Path;

use encoder::{EncoderConfig, Published, Unsaid, WeightsSource};
use nn::weights::save;
use serde::Serialize;

use super::{ENCODER_COMPONENT as COMPONENT, EncoderManifest, GRADIENTS};
use crate::manifest::{ENCODER, FORMAT, MANIFEST};
use crate::package::{all_finite, digest, in_place, io, part, reference, replaceable};
use crate::{Count, Error, Result};

/// What to import, and what the file does not say.
#[derive(Clone, Debug)]
pub struct EncoderImport<'a> {
    /// Name of the package.
    pub name: &'a str,
    /// The encoder's name in a pipeline file: one of [`encoder::PUBLISHED`].
    pub encoder: &'a str,
    /// The published file, or a folder of Hugging Face that holds it.
    pub weights: &'a Path,
    /// Its `config.json`; absent: the one beside it, if there is one.
    pub config_json: Option<&'a Path>,
    /// Heads of the attention, where neither shapes nor a `config.json` tell.
    pub n_heads: Option<usize>,
    /// Brain-JEPA's table of the parcels' places along the gradients.
    pub gradients: Option<&'a Path>,
    /// Whether the package names the file and its digest though a copy would be allowed.
    pub reference: bool,
    /// Licence of the weights; absent: that of the published ones.
    pub licence: Option<&'a str>,
}

/// What became of the file. No tensor is missing, unexpected or of another shape: that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedEncoder {
    /// What it is, in words.
    pub what: String,
    /// Name and version of the architecture.
    pub encoder_id: String,
    /// The network's tensors.
    pub loaded: Count,
    /// Of the network that the file lacks: none.
    pub missing: usize,
    /// Of the file that the network lacks: none.
    pub unexpected: usize,
    /// Of another shape: none.
    pub wrong_shape: usize,
    /// Whether the package names the file instead of holding its tensors.
    pub referenced: bool,
    /// Digest of the imported file.
    pub sha256: String,
    /// Digest of the table of gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradients_sha256: Option<String>,
    /// Licence of the weights.
    pub licence: String,
    /// What was taken to be as in the published networks, because nothing said it.
    pub assumed: Option<String>,
    /// What whoever uses them should know of the licence.
    pub warning: Option<String>,
}

/// Writes an encoder's package; `folder` is whole or absent.
///
/// # Errors
/// Names the file, and the other network, the tensor that is missing, unexpected, of another shape or
/// not finite.
pub fn import_encoder(folder: &Path, import: &EncoderImport) -> Result<ImportedEncoder> {
    replaceable(folder)?;
    let EncoderImport { config_json, n_heads, gradients, .. } = *import;
    let unsaid = Unsaid { config_json, n_heads, gradients };
    let mut published = Published::open(import.encoder, import.weights, unsaid)?;
    if let Some(licence) = import.licence {
        licence.clone_into(&mut published.licence.name);
    }
    let Some(WeightsSource::File(file)) = published.config.weights().cloned() else {
        unreachable!("it was opened from a file")
    };
    all_finite(&published.weights, &file)?;
    let referenced = import.reference || published.licence.no_derivatives;
    let sha256 = digest(&file)?;
    let warning = published.licence.warning();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let card = card(import.name, &published, &name, &sha256, referenced);
    let licence = published.licence.name.clone();
    let named = |part: &str, path: &Path| reference(part, path, folder, &licence);
    let weights = referenced.then(|| named(ENCODER, &file)).transpose()?;
    // it is a part of what was published: neither is copied without the other
    let gradients = gradients.map(|path| named(GRADIENTS, path)).transpose()?;
    let gradients_sha256 = gradients.as_ref().map(|part| part.sha256.clone());
    in_place(folder, |staged| {
        let mut config = published.config.clone();
        config.set_weights(WeightsSource::Package(".".into()));
        config.set_gradients(None);
        let mut parts: Vec<_> = gradients.into_iter().collect();
        if let Some(weights) = weights {
            parts.push(weights);
        } else {
            save(&staged.join(ENCODER), &published.weights.tensors()?)?;
            parts.push(part(staged, ENCODER, &licence)?);
        }
        let component = component(&config, &published.what)?;
        for (name, text) in [(COMPONENT, component), ("README.md", card)] {
            let path = staged.join(name);
            fs::write(&path, text).map_err(io(&path))?;
            parts.push(part(staged, name, "Apache-2.0")?);
        }
        let manifest = EncoderManifest {
            format: FORMAT,
            name: import.name.to_owned(),
            created_by: concat!("neuroflamingo ", env!("CARGO_PKG_VERSION")).to_owned(),
            what: published.what.clone(),
            encoder_id: published.id.clone(),
            encoder: config,
            licence: published.licence.clone(),
            imported_from: name,
            parts,
        };
        let path = staged.join(MANIFEST);
        fs::write(&path, yaml(&manifest)?).map_err(io(&path))
    })?;
    let infos = published.weights.list();
    Ok(ImportedEncoder {
        what: published.what,
        encoder_id: published.id,
        loaded: Count { tensors: infos.len(), parameters: published.weights.n_values() },
        missing: 0,
        unexpected: 0,
        wrong_shape: 0,
        referenced,
        sha256,
        gradients_sha256,
        licence,
        assumed: published.assumed.map(str::to_owned),
        warning,
    })
}

fn yaml(value: &impl Serialize) -> Result<String> {
    serde_yaml::to_string(value)
        .map_err(|error| Error::Manifest { path: MANIFEST.into(), reason: error.to_string() })
}

fn component(config: &EncoderConfig, what: &str) -> Result<String> {
    let config = yaml(config)?;
    Ok(format!(
        "# {what}. In a pipeline file, relative to it:\n#   model:\n#     encoder: {{ file: \
         PATH/{COMPONENT} }}\n{config}"
    ))
}

fn card(name: &str, published: &Published, file: &str, sha256: &str, referenced: bool) -> String {
    let Published { what, id, licence, weights, assumed, .. } = published;
    let assumed = assumed.map_or(String::new(), |it| format!(" Of its sizes: {it}."));
    let warning = licence.warning().map_or(String::new(), |it| format!("\n\n**Licence: {it}.**"));
    let place = if referenced {
        "The weights are not in this folder: `model.yaml` says where they lie and their digest."
    } else {
        "`encoder.safetensors` holds the tensors of that file which are the network's."
    };
    format!(
        "# {name}\n\n{what}; `{id}`, {} parameters, imported from `{file}` (SHA-256 {sha256}). \
         {place}{assumed}{warning}\n\n**Research output, not for diagnosis; not a medical device.**\n\nLicence \
         of the weights: {}. In a pipeline file: `encoder: {{ file: PATH/{COMPONENT} }}`.\n",
        weights.n_values(),
        licence.name,
    )
}
