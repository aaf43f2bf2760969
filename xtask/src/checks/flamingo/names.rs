//! Every tensor name of OpenFlamingo's state dict, and which of ours it is.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use flamingo::foreign::{Role, role};

use super::case::Case;
use crate::checks::Worst;

/// Compares the roles of all names, and the set of adapter tensors in a released checkpoint.
pub(super) fn run(case: &Case, worst: &mut Worst) -> Result<()> {
    let (flamingo, variables) = case.build()?;
    let keys = case.json("state_dict_keys.json")?;
    let blocks = flamingo.lm().shape().blocks_name;
    let state_dict = keys["state_dict"].as_object().context("no `state_dict`")?;
    for (name, place) in state_dict {
        let file = place[1].as_str();
        let recorded = file.zip(place[2].as_str());
        let found = role(name, blocks);
        let right = match (&found, recorded) {
            (Role::Adapter(ours), Some(("flamingo.safetensors", key))) => ours == key,
            (Role::Lm(ours), Some(("lm.safetensors", key))) => {
                // a tied head is stored once, under the embedding's name
                ours == key || keys["lm_tied"].get(ours).is_some_and(|tied| tied == key)
            }
            (Role::Vision(ours), Some(("vision.safetensors", key))) => {
                key.strip_prefix("visual.").unwrap_or(key) == ours
            }
            // buffers hold nothing, and a stub in the encoder's place has no weights
            (Role::Buffer, _) | (Role::Vision(_), None) => true,
            _ => false,
        };
        worst.add(&format!("role of {name} ({found:?})"), f64::from(u8::from(!right)), 0.);
    }
    let released = keys["released_checkpoint_keys"].as_array().context("no released keys")?;
    let adapter: BTreeSet<String> = released
        .iter()
        .filter_map(|name| match role(name.as_str()?, blocks) {
            Role::Adapter(ours) => Some(ours),
            _ => None,
        })
        .collect();
    let ours = variables.all().into_iter().map(|(name, _)| name);
    let is_adapter =
        |name: &String| name.starts_with("perceiver.") || name.starts_with("lang_encoder.");
    worst.equal("adapter tensors", &adapter, &ours.filter(is_adapter).collect());
    Ok(())
}
