//! Which ids OpenFlamingo learns.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use train::{Padding, RowKind};

use crate::checks::{Outcome, Worst};

/// Both versions of the labels of recorded rows.
pub(in crate::checks) fn labels(name: &str, case: &Value) -> Outcome {
    match compared(case) {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

fn compared(case: &Value) -> Result<Worst> {
    let id = |case: &Value, name: &str| {
        let found = case[name].as_u64().map(|id| id as u32);
        found.with_context(|| format!("case.json lacks {name}"))
    };
    let (image, end) = (id(case, "media_token_id")?, id(case, "eoc_token_id")?);
    let mut worst = Worst::new();
    for entry in case["cases"].as_array().context("case.json lacks cases")? {
        let name = entry["name"].as_str().unwrap_or("unnamed");
        let padding = Padding::Id(id(entry, "pad_token_id")?);
        let rows: Vec<Vec<u32>> = serde_json::from_value(entry["input_ids"].clone())?;
        let kinds = [
            ("labels_image_text", RowKind::ImageText),
            ("labels_interleaved", RowKind::Interleaved),
        ];
        for (key, kind) in kinds {
            let expected: Vec<Vec<i64>> = serde_json::from_value(entry[key].clone())?;
            ensure!(expected.len() == rows.len(), "{name} has {} rows of {key}", expected.len());
            for (row, expected) in rows.iter().zip(&expected) {
                let found = signed(&train::labels(kind, row, padding, image, end));
                worst.equal(&format!("{key} of {name}"), &found, expected);
            }
        }
    }
    Ok(worst)
}

/// As PyTorch writes what is not learned.
pub(super) fn signed(labels: &[Option<u32>]) -> Vec<i64> {
    labels.iter().map(|label| label.map_or(-100, i64::from)).collect()
}
