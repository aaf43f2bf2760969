//! Columns of a series that was parcelled elsewhere, against the parcels of the atlas.
use std::collections::{BTreeMap, BTreeSet};

use ndarray::Axis;
use scan::{Parcel, ParcelSeries};

use crate::{Error, Result};

/// The series with its columns in the order of the atlas, called as the atlas calls them.
///
/// Labels or names of the columns that are those of the atlas decide the order; columns that are only
/// counted, or called otherwise, are taken as they come.
pub(super) fn aligned(series: ParcelSeries, parcels: &[Parcel]) -> Result<ParcelSeries> {
    let mut series = of_labels(series, parcels)?;
    let (found, expected) = (series.n_parcels(), parcels.len());
    if found != expected {
        return refuse(format!("the scan has {found} parcels, expected {expected} as the atlas"));
    }
    let labels: Vec<i32> = series.parcels.iter().map(|parcel| parcel.label).collect();
    let of_atlas: Vec<i32> = parcels.iter().map(|parcel| parcel.label).collect();
    let names = |parcels: &[Parcel]| parcels.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    let order = if let Some(order) = permutation(&names(&series.parcels), &names(parcels)) {
        Some(order)
    } else if let Some(order) = permutation(&labels, &of_atlas) {
        Some(order)
    } else {
        let counted = |first: i32| labels.iter().zip(first..).all(|(label, n)| *label == n);
        let known: BTreeSet<&i32> = of_atlas.iter().collect();
        if let Some(other) = labels.iter().find(|label| !known.contains(label))
            && !counted(0)
            && !counted(1)
            && labels.iter().any(|label| known.contains(label))
        {
            return refuse(format!(
                "the columns of the scan are not those of the atlas, which has no label {other}"
            ));
        }
        None
    };
    let lost: BTreeSet<i32> = series.lost.drain(..).collect();
    let mut is_lost: Vec<bool> = labels.iter().map(|label| lost.contains(label)).collect();
    if let Some(order) = order {
        series.values = series.values.select(Axis(1), &order);
        is_lost = order.iter().map(|&at| is_lost[at]).collect();
        series.coverage =
            series.coverage.map(|shares| order.iter().map(|&at| shares[at]).collect());
    }
    series.lost =
        of_atlas.into_iter().zip(is_lost).filter(|(_, it)| *it).map(|(it, _)| it).collect();
    series.parcels = parcels.to_vec();
    Ok(series)
}

/// Refuses a number of columns that the labels of the atlas are not among.
pub(super) fn can_be_listed(parcels: &[Parcel], columns: usize) -> Result<()> {
    let is_one = |label: i32| usize::try_from(label).is_ok_and(|at| (1..=columns).contains(&at));
    let Some(other) = parcels.iter().find(|parcel| !is_one(parcel.label)) else { return Ok(()) };
    let expected = format!("as many as the atlas counts to, which has number {}", other.label);
    let (stage, field, found) = ("parcellate", "columns", columns.to_string());
    Err(Error::Setting { stage, field, found, expected })
}

/// The columns of a table that the atlas lists by their numbers; the others are left out.
pub(super) fn listed(
    mut series: ParcelSeries,
    parcels: &[Parcel],
    columns: usize,
) -> Result<ParcelSeries> {
    let found = series.n_parcels();
    if found != columns {
        return refuse(format!(
            "the scan has {found} columns, expected {columns} as `columns` says"
        ));
    }
    let places: BTreeMap<i32, usize> =
        series.parcels.iter().map(|parcel| parcel.label).zip(0..).collect();
    let places: Option<Vec<usize>> =
        parcels.iter().map(|parcel| places.get(&parcel.label).copied()).collect();
    let Some(places) = places else {
        return refuse("the scan has no column of some number that the atlas lists".to_owned());
    };
    let wanted: BTreeSet<i32> = parcels.iter().map(|parcel| parcel.label).collect();
    series.values = series.values.select(Axis(1), &places);
    series.coverage = series.coverage.map(|shares| places.iter().map(|&at| shares[at]).collect());
    series.lost.retain(|label| wanted.contains(label));
    series.parcels = parcels.to_vec();
    Ok(series)
}

/// Columns of a table that has one for every number up to the largest label, such as those of `HALFpipe`.
pub(super) fn one_a_number(parcels: &[Parcel]) -> Option<usize> {
    let largest = parcels.iter().map(|parcel| parcel.label).max()?;
    let columns = usize::try_from(largest).ok()?;
    let counted = parcels.iter().all(|parcel| parcel.label >= 1);
    (counted && columns > parcels.len()).then_some(columns)
}

/// The columns that the labels of the atlas count to, of a series with one for every number up to the
/// largest; any other series is left as it is.
fn of_labels(mut series: ParcelSeries, parcels: &[Parcel]) -> Result<ParcelSeries> {
    let found = series.n_parcels();
    if one_a_number(parcels) != Some(found) {
        return Ok(series);
    }
    let places: Vec<usize> = parcels.iter().map(|parcel| parcel.label as usize - 1).collect();
    let taken: BTreeSet<usize> = places.iter().copied().collect();
    let lost: BTreeSet<i32> = series.lost.drain(..).collect();
    let is_empty = |at: &usize| {
        let without = series.values.column(*at).iter().all(|x| !x.is_finite());
        without || lost.contains(&series.parcels[*at].label)
    };
    let beside = (0..found).filter(|at| !taken.contains(at));
    if let Some(at) = beside.clone().find(|at| !is_empty(at)) {
        return refuse(format!(
            "the scan has {found} columns, expected {} as the atlas, or one for every number up to its \
             largest label, of which column {} would be of no label and without data",
            parcels.len(),
            at + 1
        ));
    }
    series.lost = parcels
        .iter()
        .zip(&places)
        .filter(|(_, at)| lost.contains(&series.parcels[**at].label))
        .map(|(parcel, _)| parcel.label)
        .collect();
    series.values = series.values.select(Axis(1), &places);
    series.coverage = series.coverage.map(|shares| places.iter().map(|&at| shares[at]).collect());
    series.parcels = parcels.to_vec();
    Ok(series)
}

/// The position among `found` of each of `wanted`; none where they are not the same, each once.
fn permutation<T: Ord>(found: &[T], wanted: &[T]) -> Option<Vec<usize>> {
    let places: BTreeMap<&T, usize> = found.iter().zip(0..).collect();
    let order: Option<Vec<usize>> = wanted.iter().map(|it| places.get(it).copied()).collect();
    let unique = wanted.iter().collect::<BTreeSet<_>>().len() == wanted.len();
    order.filter(|_| unique && places.len() == found.len())
}

fn refuse(problem: String) -> Result<ParcelSeries> {
    Err(Error::StageInput { stage: "parcellate", problem })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn parcels(labels: &[i32], names: &[&str]) -> Vec<Parcel> {
        let parcel = |(&label, name): (&i32, &&str)| Parcel {
            label,
            name: (*name).to_owned(),
            centre_mm: None,
        };
        labels.iter().zip(names).map(parcel).collect()
    }

    fn series(labels: &[i32], names: &[&str]) -> ParcelSeries {
        ParcelSeries {
            values: array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
            t_r: 2.0,
            parcels: parcels(labels, names),
            lost: vec![labels[0]],
            coverage: None,
            n_nonfinite_frames: 0,
        }
    }

    const UNNAMED: [&str; 3] = ["label 1", "label 2", "label 3"];

    #[test]
    fn names_and_labels_of_the_atlas_decide_the_order_of_columns() {
        let atlas = parcels(&[17, 199, 401], &["A", "B", "C"]);
        for (labels, names) in [([1, 2, 3], ["C", "A", "B"]), ([401, 17, 199], UNNAMED)] {
            let it = aligned(series(&labels, &names), &atlas).unwrap();
            assert_eq!(it.values, array![[2.0, 3.0, 1.0], [5.0, 6.0, 4.0]]);
            assert_eq!((it.lost, &it.parcels), (vec![401], &atlas));
        }
    }

    #[test]
    fn columns_that_are_counted_or_called_otherwise_are_taken_as_they_come() {
        let atlas = parcels(&[2, 7, 9], &["A", "B", "C"]);
        for (labels, names) in
            [([1, 2, 3], UNNAMED), ([0, 1, 2], UNNAMED), ([17, 18, 19], ["x", "y", "z"])]
        {
            let it = aligned(series(&labels, &names), &atlas).unwrap();
            assert_eq!((it.values.row(0).to_vec(), it.lost), (vec![1.0, 2.0, 3.0], vec![2]));
        }
    }

    #[test]
    fn a_column_for_every_number_is_read_by_the_labels() {
        // as HALFpipe writes the parcels 1, 3 and 4 of an atlas; 3 has no data
        let atlas = parcels(&[1, 3, 4], &["A", "B", "C"]);
        let n_a = f64::NAN;
        let names = ["label 1", "label 2", "label 3", "label 4"];
        let table = |second: f64| ParcelSeries {
            values: array![[1.0, second, n_a, 4.0], [5.0, second, n_a, 8.0]],
            t_r: 2.0,
            parcels: parcels(&[1, 2, 3, 4], &names),
            lost: Vec::new(),
            coverage: None,
            n_nonfinite_frames: 0,
        };
        let it = aligned(table(n_a), &atlas).unwrap();
        assert_eq!(
            (it.values.column(0).to_vec(), it.values.column(2).to_vec()),
            (vec![1.0, 5.0], vec![4.0, 8.0])
        );
        assert!(it.values.column(1).iter().all(|x| x.is_nan()) && it.parcels == atlas);
        assert_eq!(one_a_number(&atlas), Some(4));
        let told = aligned(table(2.0), &atlas).unwrap_err().to_string();
        assert!(
            told.contains("has 4 columns, expected 3 as the atlas, or one for every"),
            "{told}"
        );
        assert!(told.contains("of which column 2 would be of no label"), "{told}");
        assert_eq!(one_a_number(&parcels(&[1, 2, 3], &["A", "B", "C"])), None);
    }

    #[test]
    fn columns_beside_those_of_the_atlas_are_refused() {
        let atlas = parcels(&[1, 2, 3], &["A", "B", "C"]);
        let told = aligned(series(&[2, 3, 4], &UNNAMED), &atlas).unwrap_err().to_string();
        assert!(told.ends_with("not those of the atlas, which has no label 4"), "{told}");
        let told = aligned(series(&[1, 2, 3], &UNNAMED), &atlas[..2]).unwrap_err().to_string();
        assert_eq!(told, "stages.parcellate: the scan has 3 parcels, expected 2 as the atlas");
    }
}
