//! Repetitions: other seeds, other divisions into train, validation and test.
use std::collections::BTreeMap;

use report::counted;
use scan::{Split, SplitUnit};

use super::{CohortPlan, RowPlan, RunPlan};
use crate::{
    Error, Result,
    spec::{FoldsSpec, Spec, StratifiedFoldsSpec},
};

/// One run, or every fold with every seed.
pub(super) fn plan(spec: &Spec, cohort: &CohortPlan) -> Result<Vec<RunPlan>> {
    let repeat = spec.repeat.as_ref();
    let folds = repeat.and_then(|it| it.folds.as_ref());
    let stratified = repeat.and_then(|it| it.stratified_group_kfold.as_ref());
    let units = |of: SplitUnit| -> Vec<String> {
        cohort.rows.iter().map(|row| unit(cohort, row.scan_idx, of)).collect()
    };
    let divisions = match (folds, stratified) {
        (None, None) => {
            let as_written: Vec<Split> = cohort.rows.iter().map(|row| row.split).collect();
            return of_seeds(spec, &as_written);
        }
        (Some(folds), None) => {
            let divisions = divide(&units(folds.unit), folds)?.into_iter().enumerate();
            divisions.map(|(idx, splits)| (None, idx + 1, splits)).collect()
        }
        (None, Some(stratified)) => {
            let classes = classes(spec, cohort, &stratified.stratify_by)?;
            stratified_divisions(&units(stratified.unit), &classes, stratified)?
        }
        (Some(_), Some(_)) => {
            let (field, found) = ("stratified_group_kfold", "given beside folds".to_owned());
            return Err(Error::Repeat { field, found, expected: "one of both".to_owned() });
        }
    };
    let mut runs = Vec::new();
    for (repeat, fold, splits) in divisions {
        for mut run in of_seeds(spec, &splits)? {
            run.tests(repeat, Some(fold));
            runs.push(run);
        }
    }
    Ok(runs)
}

impl RunPlan {
    /// It tests this fold of this drawing, and its folder says so.
    pub(super) fn tests(&mut self, repeat: Option<usize>, fold: Option<usize>) {
        let said = [repeat.map(|it| format!("repeat-{it}")), fold.map(|it| format!("fold-{it}"))];
        let labels: Vec<String> = said.into_iter().flatten().chain(self.label.take()).collect();
        self.label = (!labels.is_empty()).then(|| labels.join("_"));
        (self.repeat, self.fold) = (repeat, fold);
    }
}

/// The class of each row, from 0: what it states of the slots `names`, all together.
fn classes(spec: &Spec, cohort: &CohortPlan, names: &[String]) -> Result<Vec<usize>> {
    let slots = super::slots(spec).slots();
    let mut places = Vec::with_capacity(names.len());
    for name in names {
        let Some(place) = slots.iter().position(|slot| slot.name == *name) else {
            let known: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
            let (field, found) = ("stratified_group_kfold.stratify_by", name.clone());
            let expected = format!("slots: {}", known.join(", "));
            return Err(Error::Repeat { field, found, expected });
        };
        places.push(place);
    }
    let mut known = BTreeMap::new();
    let class = |row: &RowPlan| {
        let stated = |place: &usize| slots[*place].class(row.truths[*place].as_ref()?);
        let n = known.len();
        *known.entry(places.iter().map(stated).collect::<Vec<_>>()).or_insert(n)
    };
    Ok(cohort.rows.iter().map(class).collect())
}

/// Which drawing, where there are several, which fold, and the splits of the rows.
type Division = (Option<usize>, usize, Vec<Split>);

/// Every fold of every drawing.
fn stratified_divisions(
    units: &[String],
    classes: &[usize],
    folds: &StratifiedFoldsSpec,
) -> Result<Vec<Division>> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut group_of = Vec::with_capacity(units.len());
    for unit in units {
        let n = numbers.len();
        group_of.push(*numbers.entry(unit).or_insert(n));
    }
    let n_units = numbers.len();
    let refuse = |field, found: usize, expected: String| {
        Err(Error::Repeat { field, found: found.to_string(), expected })
    };
    if !(3..=n_units).contains(&folds.k) {
        let expected = format!("3 to the {} of the table", counted(n_units, "unit"));
        return refuse("stratified_group_kfold.k", folds.k, expected);
    }
    if !(1..=1000).contains(&folds.repeats) {
        let expected = "1 to 1000".to_owned();
        return refuse("stratified_group_kfold.repeats", folds.repeats, expected);
    }
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    Ok(cohort::repeated_folds(folds.repeats, folds.seed, |seed| {
        cohort::stratified_group_folds(&names, &group_of, classes, folds.k, seed)
    }))
}

/// Refuses folds where nothing is divided by them.
pub(super) fn are_absent(spec: &Spec, expected: &str) -> Result<()> {
    let Some(repeat) = spec.repeat.as_ref().filter(|repeat| repeat.divides()) else {
        return Ok(());
    };
    let field = if repeat.folds.is_some() { "folds" } else { "stratified_group_kfold" };
    let (found, expected) = ("given".to_owned(), expected.to_owned());
    Err(Error::Repeat { field, found, expected })
}

/// The same splits with every seed.
pub(super) fn of_seeds(spec: &Spec, splits: &[Split]) -> Result<Vec<RunPlan>> {
    let run =
        |label, seed| RunPlan { label, repeat: None, fold: None, seed, splits: splits.to_vec() };
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
    fn stratified_folds_keep_units_whole_and_spread_their_values() {
        let of = |k, repeats| StratifiedFoldsSpec {
            unit: SplitUnit::Scan,
            k,
            repeats,
            stratify_by: Vec::new(),
            seed: 3,
        };
        let (units, classes) = (units(12), (0..24).map(|row| row / 2 % 2).collect::<Vec<_>>());
        let divisions = stratified_divisions(&units, &classes, &of(3, 2)).unwrap();
        assert_eq!(divisions.len(), 6);
        for (repeat, fold, splits) in &divisions {
            assert!(splits.chunks(2).all(|rows| rows[0] == rows[1]));
            for split in [Split::Train, Split::Validation, Split::Test] {
                let of_class = |class| {
                    let rows = splits.iter().zip(&classes);
                    rows.filter(|(it, of)| **it == split && **of == class).count()
                };
                assert_eq!(of_class(0), of_class(1), "{repeat:?} {fold} {split}");
            }
        }
        for unit in 0..12 {
            let tested = divisions.iter().filter(|it| it.2[2 * unit] == Split::Test).count();
            assert_eq!(tested, 2, "once in each drawing");
        }
        let refused = |k, repeats| {
            stratified_divisions(&units, &classes, &of(k, repeats)).unwrap_err().to_string()
        };
        let expected =
            "repeat.stratified_group_kfold.k is 13, expected 3 to the 12 units of the table";
        assert_eq!(refused(13, 1), expected);
        assert!(refused(2, 1).starts_with("repeat.stratified_group_kfold.k is 2"));
        assert!(refused(3, 0).starts_with("repeat.stratified_group_kfold.repeats is 0"));
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
