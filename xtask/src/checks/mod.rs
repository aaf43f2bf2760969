//! Our numbers beside recorded ones, case by case.

mod brain;
mod cifti;
mod clip_images;
mod flamingo;
mod fmri_signals;
mod hdf5;
mod lora;
mod metrics;
mod nifti_read;
mod outcome;
mod recorded;
mod scans;
mod training;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nn::{Device, Ops};

pub(crate) use outcome::{Outcome, Worst};

/// Which recorded cases a folder holds.
#[derive(Clone, Copy)]
pub enum Family {
    /// `cargo xtask parity`: a folder with a `case.json` is a case.
    Parity,
    /// `cargo xtask oracles`: the folder's name tells the family.
    Oracles,
}

/// Runs every case below the folders, prints a line each and the sum; fails on any miss.
#[expect(clippy::print_stdout, reason = "the lines are what this chore is for")]
pub fn run(family: Family, folders: &[PathBuf], device: &Device) -> Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for folder in folders {
        let mut outcomes = Vec::new();
        walk(family, folder, device, &mut outcomes)?;
        if outcomes.is_empty() {
            outcomes.push(Outcome::broken(&folder.display().to_string(), "holds no case"));
        }
        for outcome in outcomes {
            println!("{outcome}");
            if outcome.passed() { passed += 1 } else { failed += 1 }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} recorded cases are missed")
    }
    Ok(())
}

fn walk(family: Family, folder: &Path, device: &Device, outcomes: &mut Vec<Outcome>) -> Result<()> {
    if let Some(found) = case(family, folder, device) {
        outcomes.extend(found);
        return Ok(());
    }
    let entries = std::fs::read_dir(folder)
        .map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))?;
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders.iter().try_for_each(|folder| walk(family, folder, device, outcomes))
}

/// The outcomes of the case that `folder` is; nothing where it is none.
fn case(family: Family, folder: &Path, device: &Device) -> Option<Vec<Outcome>> {
    let name = folder.file_name()?.to_str()?;
    match family {
        Family::Parity if folder.join("case.json").is_file() => {
            Some(vec![composed_alone(device, || parity(folder, name, device))])
        }
        Family::Oracles if clip_images::is_family(folder) => Some(clip_images::oracles(folder)),
        Family::Oracles if metrics::is_family(folder) => Some(metrics::outcomes(folder)),
        Family::Oracles if folder.join("expected.json").is_file() => Some(match name {
            "nifti_read" => nifti_read::outcomes(folder),
            "fmri_signals" => fmri_signals::outcomes(folder),
            "hdf5_cifti" => cifti::outcomes(folder),
            _ => vec![Outcome::broken(name, "a family of cases that nothing here knows")],
        }),
        Family::Parity | Family::Oracles => None,
    }
}

/// The outcome of a case, which is a miss where a device without our kernels used one.
fn composed_alone(device: &Device, run: impl FnOnce() -> Outcome) -> Outcome {
    let before = nn::kernel_calls();
    let outcome = run();
    let calls = nn::kernel_calls() - before;
    if device.ops() == Ops::Composed && calls > 0 {
        return Outcome::broken(&outcome.name, format!("our kernels were called {calls} times"));
    }
    outcome
}

/// A recorded case of a model, by the kind that its `case.json` names.
fn parity(folder: &Path, name: &str, device: &Device) -> Outcome {
    let text = std::fs::read_to_string(folder.join("case.json")).unwrap_or_default();
    let case: serde_json::Value = match serde_json::from_str(&text) {
        Ok(case) => case,
        Err(error) => return Outcome::broken(name, format!("case.json: {error}")),
    };
    match case["kind"].as_str() {
        None if case.get("spec").is_some() => flamingo::run(folder, device),
        None if case.get("transform").is_some() => clip_images::parity(folder, name),
        Some("lora") => lora::run(folder, name, &case, device),
        Some("training") => training::outcome(folder, name, &case, device),
        Some("label_masks") => training::labels(name, &case),
        Some(kind) if scans::KINDS.contains(&kind) => scans::outcome(folder, name, kind),
        kind => kind
            .and_then(|kind| brain::outcome(folder, name, kind, device))
            .unwrap_or_else(|| Outcome::broken(name, "a kind of case that nothing here knows")),
    }
}
