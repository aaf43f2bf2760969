//! What a cohort knows of its people beside what the model is shown, as features of cheap models: a report that
//! does no better than these may follow a leak.
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use ndarray::{Array2, Axis, concatenate};
use report::linear::Scaler;

use crate::{
    Result,
    event::Control,
    media::Media,
    stage::{TokenSet, prepared_series},
};

/// Features of training and test windows, scaled by the training windows.
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) train: Array2<f32>,
    pub(super) test: Array2<f32>,
}

/// Everything that is known of the windows of both sides: where a cohort does not say it, or not of everybody,
/// there is no such model.
pub(super) fn all(
    media: &Media<'_>,
    train: &[usize],
    test: &[usize],
    control: &Control<'_>,
) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut add = |name, of: [Option<Array2<f32>>; 2]| -> Result<()> {
        if let [Some(train), Some(test)] = of {
            let scaler = Scaler::fit(train.view())?;
            let (train, test) = (scaler.apply(train.view())?, scaler.apply(test.view())?);
            found.push(Source { name, train, test });
        }
        Ok(())
    };
    add("motion only", [motion(media, train)?, motion(media, test)?])?;
    let site = |row: usize| media.cohort().scans[media.cohort().rows[row].scan_idx].site.clone();
    add("site only", [one_hot(train, train, &site), one_hot(train, test, &site)])?;
    let sex = |row: usize| media.cohort().rows[row].sex.clone();
    let parts = |rows: &[usize]| -> Option<Array2<f32>> {
        let parts: Vec<_> =
            [ages(media, rows), one_hot(train, rows, &sex)].into_iter().flatten().collect();
        let views: Vec<_> = parts.iter().map(|it| it.view()).collect();
        concatenate(Axis(1), &views).ok().filter(|it| it.ncols() > 0)
    };
    // the same columns on both sides
    let of = [parts(train), parts(test)];
    let alike = matches!(&of, [Some(a), Some(b)] if a.ncols() == b.ncols());
    add("age and sex only", if alike { of } else { [None, None] })?;
    if media.shows_scans() && media.parcels.is_some() {
        let of = [connectivity(media, train, control)?, connectivity(media, test, control)?];
        add("connectivity + logistic regression", of.map(Some))?;
    }
    Ok(found)
}

/// Mean framewise displacement in mm of the scan of each row.
fn motion(media: &Media<'_>, rows: &[usize]) -> Result<Option<Array2<f32>>> {
    let Some(tokens) = &media.tokens else { return Ok(None) };
    let mut values = Array2::zeros((rows.len(), 1));
    for (value, &row) in values.iter_mut().zip(rows) {
        let unit = tokens.units[media.cohort().rows[row].scan_idx].as_ref();
        let unit = unit.expect("rows_of gives rows that are there");
        let Some(fd_mm) = TokenSet::facts(unit)?.fd_mean_mm else { return Ok(None) };
        *value = fd_mm as f32;
    }
    Ok(Some(values))
}

/// A column for each value among the training rows; a value that none of them has is in no column.
fn one_hot(
    train: &[usize],
    rows: &[usize],
    value: &dyn Fn(usize) -> Option<String>,
) -> Option<Array2<f32>> {
    let levels: Option<BTreeSet<String>> = train.iter().map(|&row| value(row)).collect();
    let levels: Vec<String> = levels?.into_iter().collect();
    let mut columns = Array2::zeros((rows.len(), levels.len()));
    for (mut columns, &row) in columns.rows_mut().into_iter().zip(rows) {
        let own = value(row)?;
        if let Ok(at) = levels.binary_search(&own) {
            columns[at] = 1.0;
        }
    }
    Some(columns)
}

/// The age in years of each row; of `90+` 90.
fn ages(media: &Media<'_>, rows: &[usize]) -> Option<Array2<f32>> {
    let years = |row: &usize| {
        let cell = media.cohort().rows[*row].age.as_deref()?;
        cell.trim_end_matches('+').parse::<f32>().ok().filter(|it| it.is_finite())
    };
    let years: Option<Vec<f32>> = rows.iter().map(years).collect();
    years.map(|years| Array2::from_shape_vec((rows.len(), 1), years).expect("one a row"))
}

/// Fisher z of the correlations between all parcels, each pair once; 0 where a scan lost one.
fn connectivity(media: &Media<'_>, rows: &[usize], control: &Control<'_>) -> Result<Array2<f32>> {
    let parcels = &media.parcels.as_ref().expect("asked for where there are series").about.parcels;
    let mut of_scans = BTreeMap::new();
    let n_pairs = parcels.len() * parcels.len().saturating_sub(1) / 2;
    let mut features = Array2::zeros((rows.len(), n_pairs));
    for (mut features, &row) in features.rows_mut().into_iter().zip(rows) {
        control.checkpoint()?;
        let idx = media.cohort().rows[row].scan_idx;
        let of_scan = match of_scans.entry(idx) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let z = scan::fisher_z(&prepared_series(media, idx)?.correlations(parcels)?);
                new.insert(scan::lower_triangle(&z))
            }
        };
        for (feature, z) in features.iter_mut().zip(of_scan) {
            *feature = if z.is_finite() { *z as f32 } else { 0.0 };
        }
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn values_of_training_rows_have_columns_and_others_none() {
        let sites = ["b", "a", "b", "c"];
        let site = |row: usize| Some(sites[row].to_owned());
        let train = [0, 1, 2];
        let columns = one_hot(&train, &train, &site).unwrap();
        assert_eq!(columns, array![[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(one_hot(&train, &[3, 1], &site).unwrap(), array![[0.0, 0.0], [1.0, 0.0]]);
        // what is not known of everybody is no feature
        let some = |row: usize| (row != 1).then(|| sites[row].to_owned());
        assert!(one_hot(&train, &train, &some).is_none());
    }
}
