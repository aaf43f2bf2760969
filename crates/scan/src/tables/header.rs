//! Whether the first line of a table of numbers is its first frame or a header of label numbers.
//!
//! nilearn numbers the regions of an atlas, and pandas writes these numbers over the columns: `1 2 3`,
//! `17 199 401` or `1.0 2.0`. Read as a frame they would be one value too many in every parcel.

use ndarray::{Array2, ArrayView1, s};

/// So many columns in ascending order are no coincidence: fewer than 1 row in 40,000 is.
const NO_COINCIDENCE: usize = 8;

/// The labels in the first line of a table; none where it is a frame.
///
/// It is a header where it holds distinct whole numbers and the lines below hold fractions, or where
/// it ascends and the whole numbers below do not. Where the columns are not `n_parcels`, the number
/// of lines decides.
///
/// # Errors
/// A sentence where both readings are possible.
pub(super) fn labels(
    table: &Array2<f64>,
    n_parcels: Option<usize>,
) -> Result<Option<Vec<i32>>, String> {
    let Some(labels) = distinct_labels(table.row(0)) else { return Ok(None) };
    let body = table.slice(s![1.., ..]);
    if body.is_empty() {
        return Ok(None);
    }
    if let Some(n) = n_parcels.filter(|n| table.ncols() != *n) {
        if body.nrows() == n {
            return Ok(Some(labels));
        }
        if table.nrows() == n {
            return Ok(None);
        }
    }
    let rows = || body.rows().into_iter();
    let n_fractional =
        rows().filter(|row| row.iter().any(|x| x.is_finite() && x.fract() != 0.0)).count();
    if 2 * n_fractional > body.nrows() {
        // one column alone: a value may be whole by chance
        return if labels.len() > 1 { Ok(Some(labels)) } else { Err(unclear()) };
    }
    let ascends = |row: ArrayView1<f64>| {
        row.windows(2)
            .into_iter()
            .all(|pair| pair[0] < pair[1] || pair[0].is_nan() || pair[1].is_nan())
    };
    if !ascends(table.row(0)) || rows().all(ascends) {
        return Ok(None);
    }
    let counts = labels[0] <= 1 && labels.windows(2).all(|pair| pair[1] - pair[0] == 1);
    if counts || labels.len() >= NO_COINCIDENCE { Ok(Some(labels)) } else { Err(unclear()) }
}

/// Whole numbers that could be labels, none twice.
pub(super) fn distinct_labels(row: ArrayView1<f64>) -> Option<Vec<i32>> {
    let label = |&x: &f64| {
        let fits = x >= 0.0 && x.fract() == 0.0 && x <= f64::from(i32::MAX);
        fits.then_some(x as i32)
    };
    let labels: Vec<i32> = row.iter().map(label).collect::<Option<_>>()?;
    let mut sorted = labels.clone();
    sorted.sort_unstable();
    (!sorted.is_empty() && sorted.windows(2).all(|pair| pair[0] != pair[1])).then_some(labels)
}

fn unclear() -> String {
    "it may be a header of label numbers or the first frame: put names over the columns, or `#` \
     before a line that is no frame"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Axis, array};

    /// A series of whole numbers around 1000, as scanners store them.
    fn raw(n_frames: usize, n_parcels: usize) -> Array2<f64> {
        let value = |(t, p): (usize, usize)| 1000.0 + ((t * 37 + p * 101) % 89) as f64;
        Array2::from_shape_fn((n_frames, n_parcels), value)
    }

    fn under(header: &[f64], body: &Array2<f64>) -> Array2<f64> {
        let mut table = body.clone();
        table.push_row(ArrayView1::from(header)).unwrap();
        let n = table.nrows();
        let order: Vec<usize> = [n - 1].into_iter().chain(0..n - 1).collect();
        table.select(Axis(0), &order)
    }

    #[test]
    fn distinct_whole_numbers_over_fractions_are_labels_in_any_order() {
        let body = raw(40, 3) + 0.25;
        for header in [[1.0, 2.0, 3.0], [17.0, 199.0, 401.0], [5.0, 0.0, 3.0]] {
            let expected = header.map(|x| x as i32).to_vec();
            assert_eq!(labels(&under(&header, &body), None), Ok(Some(expected)));
        }
        for frame in [[1.5, 2.0, 3.0], [1.0, 1.0, 3.0], [-1.0, 2.0, 3.0], [f64::NAN, 1.0, 2.0]] {
            assert_eq!(labels(&under(&frame, &body), None), Ok(None));
        }
    }

    #[test]
    fn over_whole_numbers_a_header_must_ascend_where_the_frames_do_not() {
        let many: Vec<f64> = (0..12).map(|p| 10.0 + 7.0 * f64::from(p)).collect();
        let found = labels(&under(&many, &raw(40, 12)), None).unwrap();
        assert_eq!(found.unwrap()[..2], [10, 17]);
        assert_eq!(
            labels(&under(&[1.0, 2.0, 3.0], &raw(40, 3)), None).unwrap().unwrap(),
            [1, 2, 3]
        );
        assert_eq!(labels(&raw(40, 12), None), Ok(None));
        let unclear = labels(&under(&[17.0, 199.0, 401.0], &raw(40, 3)), None).unwrap_err();
        assert!(unclear.starts_with("it may be a header of label numbers"), "{unclear}");
        assert_eq!(labels(&array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], None), Ok(None));
    }

    #[test]
    fn where_rows_are_parcels_their_number_decides() {
        let frames = raw(3, 40);
        let header: Vec<f64> = (0..40).map(f64::from).collect();
        assert!(labels(&under(&header, &frames), Some(3)).unwrap().is_some());
        assert_eq!(labels(&under(&header, &frames), Some(4)), Ok(None));
        assert_eq!(labels(&array![[1.0, 2.0]], None), Ok(None));
    }

    #[test]
    fn one_column_under_a_whole_number_is_asked_for() {
        assert!(labels(&array![[1.0], [0.5], [0.25]], None).is_err());
        assert_eq!(labels(&array![[1.0], [5.0], [2.0]], None), Ok(None));
    }
}
