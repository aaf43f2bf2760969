//! CLIP as an encoder whose weights others publish.

use std::path::Path;

use nn::weights::Frozen;

use super::config::NAME;
use super::names::{Role, role};
use super::weights::visual;
use super::{ClipConfig, ClipVision, VisionFeature};
use crate::pretrained::Pretrained;
use crate::trainable::Blocks;
use crate::weights::{published, strict};
use crate::{Error, Licence, Result, Trainable, WeightsSource};

/// The registry asks only where the settings say where the weights are.
const SAID: &str = "its weights are said";

impl Pretrained for ClipConfig {
    fn weights(&self) -> &WeightsSource {
        self.weights.as_ref().expect(SAID)
    }

    fn weights_mut(&mut self) -> &mut WeightsSource {
        self.weights.as_mut().expect(SAID)
    }

    fn trainable(&self) -> &Trainable {
        &self.trainable
    }

    fn trainable_mut(&mut self) -> &mut Trainable {
        &mut self.trainable
    }

    fn licence(&self) -> Licence {
        Pretrained::weights(self).licence(Licence::named("the weights' own"))
    }

    /// The projection says nothing about patch tokens, and the last norm only where it is asked for.
    fn blocks(&self) -> Result<Blocks> {
        let blocks = Blocks::of(NAME).stack("transformer.resblocks", self.layers);
        let blocks = blocks.then("ln_post").still("proj");
        Ok(match self.vision_feature {
            VisionFeature::PreLnPost => blocks.still("ln_post"),
            VisionFeature::PostLnPost => blocks,
        })
    }

    /// What Hugging Face's `CLIPModel` calls a linear layer of a block: there, queries, keys and values have
    /// layers of their own.
    fn published_name(&self, name: &str) -> String {
        let parts =
            name.strip_prefix("transformer.resblocks.").and_then(|rest| rest.split_once('.'));
        let Some((idx, part)) = parts else { return name.to_owned() };
        for (ours, theirs) in
            [("attn.", "self_attn."), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")]
        {
            if let Some(rest) = part.strip_prefix(ours) {
                return format!("vision_model.encoder.layers.{idx}.{theirs}{rest}");
            }
        }
        name.to_owned()
    }

    fn open_weights(&self, path: &Path) -> Result<Frozen> {
        let file = published(path, &["model_state_dict", "state_dict"])?;
        // the text tower is not read
        let tower = file.renamed(|name| (role(name) != Role::Text).then(|| name.to_owned()))?;
        let tensors = visual(&tower.tensors()?).map_err(Error::inside(NAME))?;
        let tower = Frozen::from_tensors(path, tensors);
        strict(&tower, |vb| ClipVision::new(self, vb))?;
        Ok(tower)
    }
}
