//! `model import`.
use anyhow::Result;

use super::{Done, inspect::facts};
use crate::{
    args::{EncoderName, Feature, ImportArgs},
    print,
};

pub(super) fn import(args: &ImportArgs) -> Result<Done> {
    if let Some(name) = args.encoder {
        return encoder(args, name);
    }
    let name = args.to.file_name().unwrap_or_default().to_string_lossy();
    let asked = "clap asks for it";
    let import = pipeline::Import {
        name: &name,
        checkpoint: args.checkpoint.as_deref().expect(asked),
        lm: args.lm.as_deref().expect(asked),
        vision: args.vision.as_deref().expect(asked),
        reference_vision: args.reference_vision,
        trained_lm: args.trained_lm,
        licence: args.licence.as_deref().unwrap_or("as the imported checkpoint"),
        vision_feature: match args.vision_feature {
            Feature::PreLnPost => pipeline::VisionFeature::PreLnPost,
            Feature::PostLnPost => pipeline::VisionFeature::PostLnPost,
        },
        head_dim: args.head_dim,
        clip_head_dim: args.clip_head_dim,
        activation: args.exact_gelu.then_some(pipeline::ClipActivation::Gelu),
        seed: 0,
    };
    let imported = pipeline::import_model(&args.to, &import).map_err(pipeline::Error::from)?;
    imported.notes.iter().for_each(|note| print::note(note));
    facts(args.json, &imported)
}

/// A brain encoder's weights; what their licence asks for is said beside the data.
fn encoder(args: &ImportArgs, encoder: EncoderName) -> Result<Done> {
    let name = args.to.file_name().unwrap_or_default().to_string_lossy();
    let import = pipeline::EncoderImport {
        name: &name,
        encoder: encoder.as_str(),
        weights: args.weights.as_deref().expect("clap asks for it"),
        config_json: args.config.as_deref(),
        n_heads: args.n_heads,
        gradients: args.gradients.as_deref(),
        reference: args.reference,
        licence: args.licence.as_deref(),
    };
    let imported = pipeline::import_encoder(&args.to, &import).map_err(pipeline::Error::from)?;
    if let Some(warning) = &imported.warning {
        print::note(&format!("warning: {warning}"));
    }
    if let Some(assumed) = &imported.assumed {
        print::note(assumed);
    }
    facts(args.json, &imported)
}
