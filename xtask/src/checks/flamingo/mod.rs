//! Cases recorded from OpenFlamingo's own classes.

pub(super) mod case;
pub(super) mod compare;
mod forward;
mod generation;
mod likelihood;
mod names;
pub(super) mod training;

use std::path::Path;

use anyhow::Result;
use nn::Device;

use self::case::Case;
use super::{Outcome, Worst};

/// Runs everything that the case records.
pub(super) fn run(folder: &Path, device: &Device) -> Outcome {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match compared(folder, device) {
        Ok(worst) => Outcome::compared(&name, worst),
        Err(error) => Outcome::broken(&name, format!("{error:#}")),
    }
}

fn compared(folder: &Path, device: &Device) -> Result<Worst> {
    let case = Case::open(folder, device)?;
    let mut worst = Worst::new();
    forward::run(&case, &mut worst)?;
    training::run(&case, &mut worst)?;
    generation::run(&case, &mut worst)?;
    likelihood::run(&case, &mut worst)?;
    names::run(&case, &mut worst)?;
    Ok(worst)
}
