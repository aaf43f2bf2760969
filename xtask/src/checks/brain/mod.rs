//! Cases recorded from the original classes of brain encoders.

mod brainlm;
mod brainmt;
mod case;

use std::path::Path;

use super::Outcome;

/// Runs a case whose kind is known here; nothing where it is not.
pub(super) fn outcome(folder: &Path, name: &str, kind: &str) -> Option<Outcome> {
    let compared = match kind {
        kind if brainlm::KINDS.contains(&kind) => brainlm::run(folder, kind),
        kind if brainmt::KINDS.contains(&kind) => brainmt::run(folder, kind),
        _ => return None,
    };
    Some(match compared {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    })
}
