//! Parcels that a scan has no data of, however the lack shows: no voxel, no value, or one value in all
//! frames.
use ndarray::ArrayView1;
use scan::ParcelSeries;

use crate::{Error, Result};

/// What a scan may lack.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossLimits {
    pub(super) min_coverage: f64,
    pub(super) max_lost_parcels: Option<usize>,
}

/// A spread below this share of the largest value is rounding.
const CONSTANT: f64 = 1e-12;

/// The most names that a sentence lists.
const SHOWN: usize = 8;

/// Sets the columns of parcels without data to 0 and lists them as lost.
pub(super) fn settle(series: &mut ParcelSeries, limits: &LossLimits) -> Result<()> {
    let known = std::mem::take(&mut series.lost);
    let coverage = series.coverage.as_deref();
    let mut names = Vec::new();
    for (at, mut column) in series.values.columns_mut().into_iter().enumerate() {
        let parcel = &series.parcels[at];
        let covered = coverage.is_none_or(|it| it[at] > 0.0 && it[at] >= limits.min_coverage);
        if covered && !known.contains(&parcel.label) && has_signal(column.view()) {
            continue;
        }
        column.fill(0.0);
        series.lost.push(parcel.label);
        names.push(parcel.name.as_str());
    }
    let (found, all) = (names.len(), series.parcels.len());
    if found == all {
        return refuse("no parcel has data that vary over time".to_owned());
    }
    match limits.max_lost_parcels {
        Some(limit) if found > limit => {
            let more = if found > SHOWN { ", …" } else { "" };
            let names = names[..found.min(SHOWN)].join(", ");
            refuse(format!(
                "{found} of {all} parcels have no data, max_lost_parcels is {limit}: {names}{more}"
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a column holds a value, and not the same one in all frames.
fn has_signal(column: ArrayView1<'_, f64>) -> bool {
    let finite = || column.iter().copied().filter(|x| x.is_finite());
    let (low, high) = finite()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    match finite().count() {
        0 => false,
        // one frame alone does not vary
        1 if column.len() == 1 => column[0] != 0.0,
        _ => high - low > CONSTANT * high.abs().max(low.abs()),
    }
}

fn refuse(problem: String) -> Result<()> {
    Err(Error::StageInput { stage: "parcellate", problem })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use scan::Parcel;

    use super::*;

    const NONE: LossLimits = LossLimits { min_coverage: 0.0, max_lost_parcels: None };

    fn series(values: Array2<f64>, coverage: Option<Vec<f64>>) -> ParcelSeries {
        let parcel = |label| Parcel { label, name: format!("P{label}"), centre_mm: None };
        let parcels = (1..=values.ncols() as i32).map(parcel).collect();
        ParcelSeries {
            values,
            t_r: 2.0,
            parcels,
            lost: Vec::new(),
            coverage,
            n_nonfinite_frames: 0,
        }
    }

    #[test]
    fn parcels_without_values_constant_ones_and_known_losses_are_lost_alike() {
        let nan = f64::NAN;
        let mut it = series(
            array![
                [1.0, nan, 7.0, 0.0, 3.0, 0.1],
                [2.0, nan, 7.0, 0.0, 4.0, 0.1],
                [5.0, nan, 7.0, 0.0, 5.0, 0.1]
            ],
            None,
        );
        it.lost = vec![5];
        settle(&mut it, &NONE).unwrap();
        assert_eq!(it.lost, [2, 3, 4, 5, 6]);
        assert_eq!(it.values.column(0), array![1.0, 2.0, 5.0]);
        assert!(it.values.columns().into_iter().skip(1).all(|column| column.sum() == 0.0));
    }

    #[test]
    fn a_hole_in_a_column_stays_a_hole() {
        let mut it = series(array![[1.0, f64::NAN], [2.0, 4.0], [5.0, 6.0]], None);
        settle(&mut it, &NONE).unwrap();
        assert!(it.lost.is_empty() && it.values[[0, 1]].is_nan());
    }

    #[test]
    fn parcels_below_the_least_coverage_are_lost_and_too_many_are_refused() {
        let values = array![[1.0, 3.0, 5.0], [2.0, 1.0, 4.0]];
        let coverage = Some(vec![0.5, 0.49, 1.0]);
        let mut it = series(values.clone(), coverage.clone());
        let limits = LossLimits { min_coverage: 0.5, max_lost_parcels: Some(1) };
        settle(&mut it, &limits).unwrap();
        assert_eq!((it.lost, it.values), (vec![2], array![[1.0, 0.0, 5.0], [2.0, 0.0, 4.0]]));

        let limits = LossLimits { max_lost_parcels: Some(0), ..limits };
        let told = settle(&mut series(values, coverage), &limits).unwrap_err().to_string();
        let expected = "stages.parcellate: 1 of 3 parcels have no data, max_lost_parcels is 0: P2";
        assert_eq!(told, expected);
        let told = settle(&mut series(Array2::zeros((3, 2)), None), &NONE).unwrap_err();
        assert!(told.to_string().ends_with("no parcel has data that vary over time"), "{told}");
    }
}
