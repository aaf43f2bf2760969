//! Cases recorded from the original classes of brain encoders.

mod brain_jepa;
mod brain_semantoks;
mod brainlm;
mod brainmt;
mod case;
mod cortex_mae;
mod prepared;
mod swift;

use std::path::Path;

use nn::Device;

use super::Outcome;

/// Runs a case whose kind is known here; nothing where it is not.
pub(super) fn outcome(folder: &Path, name: &str, kind: &str, device: &Device) -> Option<Outcome> {
    let compared = match kind {
        kind if brainlm::KINDS.contains(&kind) => brainlm::run(folder, kind, device),
        kind if brainmt::KINDS.contains(&kind) => brainmt::run(folder, kind, device),
        kind if cortex_mae::KINDS.contains(&kind) => cortex_mae::run(folder, kind, device),
        brain_jepa::KIND => brain_jepa::run(folder, device),
        brain_semantoks::KIND => brain_semantoks::run(folder, device),
        swift::KIND => swift::run(folder, device),
        kind if prepared::KINDS.contains(&kind) => prepared::run(folder, kind),
        _ => return None,
    };
    Some(match compared {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    })
}
