//! To which region each row of a table about an atlas belongs.
//!
//! Tables count from 0 or from 1, begin with the background or leave it out. One row too many at the
//! start would give every region the name and the place of the one before it.

use std::path::Path;

use super::Parcel;
use crate::error::{Error, Result};

/// First words of what is no region.
const BACKGROUND: [&str; 9] = [
    "background",
    "???",
    "unknown",
    "unassigned",
    "unclassified",
    "unlabeled",
    "unlabelled",
    "none",
    "clear",
];

/// Whether a name is that of the background.
pub(super) fn is_background(name: &str) -> bool {
    let word = name.split(|c: char| c.is_whitespace() || c == '_').next().unwrap_or_default();
    BACKGROUND.contains(&word.to_lowercase().as_str())
}

/// The rows of a table: each with its label, if it has one.
pub(super) struct Listed<T> {
    /// What a row says of a region, in words.
    what: &'static str,
    rows: Vec<Row<T>>,
}

/// Label, if there is one, whether the row says that it is the background, and value.
pub(super) type Labelled<T> = Vec<(Option<i32>, bool, T)>;

struct Row<T> {
    label: Option<i32>,
    is_background: bool,
    value: T,
}

impl<T> Listed<T> {
    /// Rows as label, whether they say that they are the background, and value.
    pub(super) fn new(
        what: &'static str,
        rows: impl IntoIterator<Item = (Option<i32>, bool, T)>,
    ) -> Self {
        let row = |(label, is_background, value)| Row { label, is_background, value };
        Self { what, rows: rows.into_iter().map(row).collect() }
    }

    /// Label and value of each region.
    ///
    /// # Errors
    /// A sentence with both counts where rows without labels are not as many as the parcels.
    pub(super) fn of(
        mut self,
        parcels: &[Parcel],
        background: &[i32],
    ) -> Result<Vec<(i32, T)>, String> {
        let n_labelled = self.rows.iter().filter(|row| row.label.is_some()).count();
        if n_labelled == 0 {
            return self.in_order(parcels);
        }
        if n_labelled < self.rows.len() {
            let (what, n) = (self.what, self.rows.len() - n_labelled);
            return Err(format!("{n} of its {} rows of {what} have no label", self.rows.len()));
        }
        let is_region = |label: i32| parcels.iter().any(|parcel| parcel.label == label);
        let counts_from = |first: i32| {
            let mut labels: Vec<i32> = self.rows.iter().filter_map(|row| row.label).collect();
            labels.sort_unstable();
            labels.iter().zip(first..).all(|(label, count)| *label == count)
        };
        let fits = self.rows.len() == parcels.len();
        let zero = self.rows.iter().find(|row| row.label == Some(0));
        let from_zero = zero.is_some_and(|row| !row.is_background) && counts_from(0);
        let none_in_common = !self.rows.iter().filter_map(|row| row.label).any(is_region);
        if fits && ((from_zero && !is_region(0)) || (counts_from(1) && none_in_common)) {
            // they count the regions, whatever labels these have
            self.rows.sort_by_key(|row| row.label);
            return self.in_order(parcels);
        }
        if from_zero && !is_region(0) && self.rows.len() < parcels.len() {
            let (what, n, expected) = (self.what, self.rows.len(), parcels.len());
            return Err(format!(
                "counts from 0 and holds {what} of {n} regions, the atlas has {expected} parcels"
            ));
        }
        let is_named = |row: &Row<T>| {
            let is_none = |label: i32| row.is_background || background.contains(&label);
            row.label.is_some_and(|label| is_region(label) || !is_none(label))
        };
        let named = self.rows.into_iter().filter(is_named);
        Ok(named.filter_map(|row| Some((row.label?, row.value))).collect())
    }

    /// The labels of the regions, where nothing but the table says them: from 1 where the rows have
    /// none, or count from 0.
    pub(super) fn alone(self, path: &Path) -> Result<Vec<i32>> {
        let regions = || self.rows.iter().filter(|row| !row.is_background);
        let labels: Option<Vec<i32>> = regions().map(|row| row.label).collect();
        let counted = || (1..=regions().count() as i32).collect();
        let labels = match labels {
            Some(labels) if !labels.contains(&0) => labels,
            _ => counted(),
        };
        if labels.is_empty() {
            return Err(Error::NoLabels { path: path.to_path_buf() });
        }
        Ok(labels)
    }

    /// One row a parcel, or one more at the start that is the background.
    fn in_order(mut self, parcels: &[Parcel]) -> Result<Vec<(i32, T)>, String> {
        let starts_with_background = self.rows.first().is_some_and(|row| row.is_background);
        if starts_with_background {
            self.rows.remove(0);
        }
        let (what, n, expected) = (self.what, self.rows.len(), parcels.len());
        if n != expected {
            let after = if starts_with_background { " after the background" } else { "" };
            return Err(format!(
                "holds {what} of {n} regions{after}, the atlas has {expected} parcels"
            ));
        }
        let labels = parcels.iter().map(|parcel| parcel.label);
        Ok(labels.zip(self.rows.into_iter().map(|row| row.value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcels(labels: &[i32]) -> Vec<Parcel> {
        let parcel = |&label| Parcel { label, name: String::new(), centre_mm: None };
        labels.iter().map(parcel).collect()
    }

    fn names(
        rows: &[(Option<i32>, &'static str)],
        labels: &[i32],
    ) -> Result<Vec<(i32, &'static str)>, String> {
        let rows = rows.iter().map(|&(label, name)| (label, is_background(name), name));
        Listed::new("names", rows).of(&parcels(labels), &[0])
    }

    #[test]
    fn a_list_is_taken_in_order_without_the_background_and_only_if_the_count_fits() {
        let list =
            |names: &[&'static str]| names.iter().map(|&name| (None, name)).collect::<Vec<_>>();
        let expected = Ok(vec![(2, "A"), (7, "B")]);
        assert_eq!(names(&list(&["A", "B"]), &[2, 7]), expected);
        assert_eq!(names(&list(&["Background", "A", "B"]), &[2, 7]), expected);
        let short = names(&list(&["Background", "A"]), &[2, 7]).unwrap_err();
        assert_eq!(short, "holds names of 1 regions after the background, the atlas has 2 parcels");
        let long = names(&list(&["A", "B", "C"]), &[2, 7]).unwrap_err();
        assert_eq!(long, "holds names of 3 regions, the atlas has 2 parcels");
    }

    #[test]
    fn labels_from_0_count_the_regions_unless_0_is_the_background() {
        let from_zero = [(Some(0), "A"), (Some(1), "B"), (Some(2), "C")];
        assert_eq!(names(&from_zero, &[1, 2, 3]), Ok(vec![(1, "A"), (2, "B"), (3, "C")]));
        assert_eq!(names(&from_zero, &[17, 199, 401]), Ok(vec![(17, "A"), (199, "B"), (401, "C")]));
        assert_eq!(names(&from_zero, &[0, 1, 2]), Ok(vec![(0, "A"), (1, "B"), (2, "C")]));
        // one more than regions: the first is the background, whatever it is called
        assert_eq!(names(&from_zero, &[1, 2]), Ok(vec![(1, "B"), (2, "C")]));
        let told = names(&from_zero, &[1, 2, 3, 4]).unwrap_err();
        assert_eq!(told, "counts from 0 and holds names of 3 regions, the atlas has 4 parcels");
        let named = [(Some(0), "Unknown"), (Some(1), "A"), (Some(2), "B")];
        assert_eq!(names(&named, &[1, 2, 3]), Ok(vec![(1, "A"), (2, "B")]));
    }

    #[test]
    fn labels_from_1_count_regions_with_other_labels() {
        let rows = [(Some(2), "B"), (Some(1), "A")];
        assert_eq!(names(&rows, &[17, 199]), Ok(vec![(17, "A"), (199, "B")]));
        // labels in common are labels
        assert_eq!(names(&rows, &[2, 199]), Ok(vec![(2, "B"), (1, "A")]));
        let told = names(&[(Some(1), "A"), (None, "B")], &[1, 2]).unwrap_err();
        assert_eq!(told, "1 of its 2 rows of names have no label");
    }
}
