//! The dataset of a call, and whose derivatives are in a folder.
use std::path::Path;

use serde_json::Value;

use super::output::refused;
use crate::Result;

/// The file that describes a dataset.
pub(super) const DESCRIPTION: &str = "dataset_description.json";

/// The dataset of a call.
#[derive(Clone, Debug)]
pub(super) struct SourceDataset {
    /// Its `dataset_description.json`.
    pub(super) description: Value,
}

impl SourceDataset {
    pub(super) fn read(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(refused(
                dir,
                "is not a folder, expected a BIDS dataset or derivatives of one",
            ));
        }
        let path = dir.join(DESCRIPTION);
        if !path.exists() {
            let problem =
                format!("holds no {DESCRIPTION}, expected a BIDS dataset or derivatives of one");
            return Err(refused(dir, &problem));
        }
        let description: Value = files::read_json(&path)?;
        if !description.is_object() {
            return Err(refused(&path, "is not a JSON object, expected one with the keys of BIDS"));
        }
        Ok(Self { description })
    }

    pub(super) fn name(&self) -> &str {
        self.description["Name"].as_str().unwrap_or("a dataset without a name")
    }
}

/// Refuses a folder that another program describes.
pub(super) fn refuse_of_others(out_dir: &Path) -> Result<()> {
    let path = out_dir.join(DESCRIPTION);
    if !path.exists() {
        return Ok(());
    }
    let there: Value = files::read_json(&path)?;
    let makers = there["GeneratedBy"].as_array().into_iter().flatten();
    let makers: Vec<&str> = makers.filter_map(|it| it["Name"].as_str()).collect();
    if makers.contains(&"neuroflamingo") {
        return Ok(());
    }
    let whose = if makers.is_empty() { "a dataset".to_owned() } else { makers.join(", ") };
    let problem =
        format!("describes derivatives of {whose}, expected a folder of this program's own");
    Err(refused(&path, &problem))
}
