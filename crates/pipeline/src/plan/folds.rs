//! Repetitions: other seeds, other divisions into train, validation and test.
use report::counted;
use scan::{Split, SplitUnit};

use super::{CohortPlan, RunPlan};
use crate::{
    Error, Result,
    spec::{FoldsSpec, Spec},
};

/// One run, or every fold with every seed.
pub(super) fn plan(spec: &Spec, cohort: &CohortPlan) -> Result<Vec<RunPlan>> {
    let as_written: Vec<Split> = cohort.rows.iter().map(|row| row.split).collect();
    match spec.repeat.as_ref().and_then(|repeat| repeat.folds.as_ref()) {
        None => of_seeds(spec, &as_written),
        Some(folds) => {
            let units: Vec<String> =
                cohort.rows.iter().map(|row| unit(cohort, row.scan_idx, folds.unit)).collect();
            let divisions = divide(&units, folds)?;
            let mut runs = Vec::new();
            for (idx, splits) in divisions.iter().enumerate() {
                for mut run in of_seeds(spec, splits)? {
                    let seed = run.label.unwrap_or_default();
                    run.label = Some(format!("fold-{}_{seed}", idx + 1));
                    run.fold = Some(idx + 1);
                    runs.push(run);
                }
            }
            Ok(runs)
        }
    }
}

/// Refuses folds where nothing is divided by them.
pub(super) fn are_absent(spec: &Spec, expected: &str) -> Result<()> {
    if spec.repeat.as_ref().is_none_or(|repeat| repeat.folds.is_none()) {
        return Ok(());
    }
    let (found, expected) = ("given".to_owned(), expected.to_owned());
    Err(Error::Repeat { field: "folds", found, expected })
}

/// The same splits with every seed.
pub(super) fn of_seeds(spec: &Spec, splits: &[Split]) -> Result<Vec<RunPlan>> {
    let run = |label, seed| RunPlan { label, fold: None, seed, splits: splits.to_vec() };
    let Some(repeat) = &spec.repeat else { return Ok(vec![run(None, spec.seed)]) };
    let mut seeds = repeat.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.is_empty() || seeds.len() < repeat.seeds.len() {
        let found = format!("{:?}", repeat.seeds);
        let expected = "at least one seed, each once".to_owned();
        return Err(Error::Repeat { field: "seeds", found, expected });
    }
    let one = |seed: &u64| run(Some(format!("seed-{seed}")), *seed);
    Ok(repeat.seeds.iter().map(one).collect())
}

fn unit(cohort: &CohortPlan, scan_idx: usize, unit: SplitUnit) -> String {
    let scan = &cohort.scans[scan_idx];
    match unit {
        SplitUnit::Subject => scan.subject.clone(),
        SplitUnit::Session => format!("{} {}", scan.subject, scan.session),
        SplitUnit::Scan => scan.name.clone(),
    }
}

/// Disjoint groups of units in the order of the table; those before the group, in a circle, are for validation.
fn divide(unit_of_row: &[String], folds: &FoldsSpec) -> Result<Vec<Vec<Split>>> {
    let mut units: Vec<&String> = Vec::new();
    for unit in unit_of_row {
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    let n = units.len();
    let refuse = |field, found: usize, expected: String| {
        Err(Error::Repeat { field, found: found.to_string(), expected })
    };
    if folds.size == 0 || !n.is_multiple_of(folds.size) {
        let expected = format!("a divisor of the {} of the table", counted(n, "unit"));
        return refuse("folds.size", folds.size, expected);
    }
    if folds.validation == 0 || folds.size.saturating_add(folds.validation) >= n {
        let expected =
            format!("at least 1, with something left of {} to train on", counted(n, "unit"));
        return refuse("folds.validation", folds.validation, expected);
    }
    let split_in = |fold: usize, unit_idx: usize| {
        let start = fold * folds.size;
        let ahead = (start + n - unit_idx - 1) % n; // units between this one and the group
        if (start..start + folds.size).contains(&unit_idx) {
            Split::Test
        } else if ahead < folds.validation {
            Split::Validation
        } else {
            Split::Train
        }
    };
    let idx_of =
        |unit: &String| units.iter().position(|known| *known == unit).expect("listed above");
    let division = |fold| unit_of_row.iter().map(|unit| split_in(fold, idx_of(unit))).collect();
    Ok((0..n / folds.size).map(division).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(size: usize, validation: usize) -> FoldsSpec {
        FoldsSpec { unit: SplitUnit::Scan, size, validation }
    }

    fn units(n: usize) -> Vec<String> {
        // two rows a unit
        (0..2 * n).map(|row| format!("run{}", row / 2)).collect()
    }

    #[test]
    fn every_unit_is_tested_once_and_the_one_before_the_group_chooses() {
        let divisions = divide(&units(12), &folds(2, 1)).unwrap();
        assert_eq!(divisions.len(), 6);
        for unit in 0..12 {
            let tested = divisions.iter().filter(|splits| splits[2 * unit] == Split::Test).count();
            assert_eq!(tested, 1);
        }
        let of = |fold: usize, unit: usize| divisions[fold][2 * unit];
        assert_eq!(
            [of(0, 0), of(0, 1), of(0, 2), of(0, 10), of(0, 11)],
            [Split::Test, Split::Test, Split::Train, Split::Train, Split::Validation]
        );
        assert_eq!(
            [of(5, 8), of(5, 9), of(5, 10), of(5, 11)],
            [Split::Train, Split::Validation, Split::Test, Split::Test]
        );
        assert!(divisions.iter().all(|splits| splits.chunks(2).all(|rows| rows[0] == rows[1])));
    }

    #[test]
    fn folds_that_do_not_fit_are_refused() {
        let error = divide(&units(12), &folds(5, 1)).unwrap_err().to_string();
        assert_eq!(
            error,
            "repeat.folds.size is 5, expected a divisor of the 12 units of the table"
        );
        assert!(divide(&units(4), &folds(2, 2)).is_err());
        assert!(divide(&units(4), &folds(2, 0)).is_err());
        assert!(divide(&units(4), &folds(2, usize::MAX)).is_err());
        assert!(divide(&units(4), &folds(usize::MAX, 1)).is_err());
    }
}
