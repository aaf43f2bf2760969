//! Fitted normalisations that other runs or programs wrote.
use std::path::Path;

use scan::{FittedNormalisation, Normalisation};

use crate::{Error, Result};

/// The last ending of a file's name, in small letters.
pub fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Reads a normalisation of this formula: the program's JSON, a table with `shift` and `scale`, or
/// `.npz` with `medians` and `iqrs`, as Brain-JEPA's pre-training keeps them.
///
/// # Errors
/// Names the file where it is of another formula or no such table.
pub fn read_stats(path: &Path, formula: Normalisation) -> Result<FittedNormalisation> {
    let refuse = |problem: String| Error::Stats { path: path.to_owned(), problem };
    if formula.asks_each_alone() {
        let problem = "names statistics of a formula that asks each recording by itself".to_owned();
        return Err(refuse(problem));
    }
    let fitted = match ending(path).as_str() {
        "json" => files::read_json::<FittedNormalisation>(path)?,
        "npz" => {
            let read = |name: &str| -> Result<Vec<f64>> {
                Ok(scan::read_array(path, Some(name))?.into_iter().collect())
            };
            FittedNormalisation::of_parts(formula, &read("medians")?, &read("iqrs")?)?
        }
        _ => {
            let table = tables::read(path)?;
            let column = |name: &str| -> Result<Vec<f64>> {
                let column = table.column(name);
                let column = column.ok_or_else(|| refuse(format!("has no column `{name}`")))?;
                let cell = |row: usize| match column.cell(row) {
                    tables::Cell::Number(x) => Ok(x),
                    tables::Cell::Integer(n) => Ok(n as f64),
                    tables::Cell::Missing | tables::Cell::Text("n/a") if name == "scale" => {
                        Ok(f64::NAN)
                    }
                    tables::Cell::Text(text) if text.trim().parse::<f64>().is_ok() => {
                        Ok(text.trim().parse().unwrap_or(f64::NAN))
                    }
                    _ => Err(refuse(format!("row {}: `{name}` is not a number", row + 1))),
                };
                (0..table.n_rows()).map(cell).collect()
            };
            FittedNormalisation::of_parts(formula, &column("shift")?, &column("scale")?)?
        }
    };
    if fitted.kind() != formula {
        let (found, expected) = (files::to_json(&fitted.kind()), files::to_json(&formula));
        return Err(refuse(format!("is of the formula {found}, expected {expected}")));
    }
    Ok(fitted)
}
