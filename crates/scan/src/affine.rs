//! The map from voxel indices to millimetres, with RAS+ world axes as in NIfTI.

use nalgebra::{Matrix3, Matrix4};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A homogeneous 4 × 4 matrix: voxel (i, j, k) to world (x, y, z) in mm, x to the right, y to the
/// front, z up. It is finite and invertible by construction.
///
/// ```
/// let las = scan::Affine::new([
///     [-2.0, 0.0, 0.0, 90.0],
///     [0.0, 2.0, 0.0, -126.0],
///     [0.0, 0.0, 2.5, -72.0],
///     [0.0, 0.0, 0.0, 1.0],
/// ])?;
/// assert_eq!(las.axcodes(), "LAS");
/// assert_eq!(las.zooms(), [2.0, 2.0, 2.5]);
/// assert_eq!(las.apply([45.0, 63.0, 0.0]), [0.0, 0.0, -72.0]);
/// # Ok::<(), scan::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[[f64; 4]; 4]", into = "[[f64; 4]; 4]")]
pub struct Affine([[f64; 4]; 4]);

impl Affine {
    /// Checks the rows: finite, last row 0 0 0 1, not singular.
    pub fn new(rows: [[f64; 4]; 4]) -> Result<Self> {
        let refuse = |problem| Err(Error::Affine { problem, rows: Box::new(rows) });
        if rows.as_flattened().iter().any(|x| !x.is_finite()) {
            return refuse("it holds a number that is not finite");
        }
        #[expect(clippy::float_cmp, reason = "these four numbers are written, not computed")]
        if rows[3] != [0.0, 0.0, 0.0, 1.0] {
            return refuse("its last row is not 0 0 0 1");
        }
        let candidate = Self(rows);
        let scale: f64 = candidate.zooms().iter().product();
        // Relative to the box the zooms span, so that micrometre grids are not called singular.
        if scale <= 0.0 || candidate.linear().determinant().abs() < 1e-6 * scale {
            return refuse("it is singular");
        }
        Ok(candidate)
    }

    /// The four rows.
    pub fn rows(&self) -> &[[f64; 4]; 4] {
        &self.0
    }

    /// Voxel sizes in mm along the three voxel axes: the column lengths.
    pub fn zooms(&self) -> [f64; 3] {
        std::array::from_fn(|j| (0..3).map(|i| self.0[i][j].powi(2)).sum::<f64>().sqrt())
    }

    /// Where each voxel axis points: `RAS`, `LAS`, `PSR`, …
    ///
    /// As nibabel's `aff2axcodes`: shears are removed by the nearest rotation, then each voxel
    /// axis, clearest first, takes the world axis it is most along.
    pub fn axcodes(&self) -> String {
        let zooms = self.zooms();
        let directions = Matrix3::from_fn(|i, j| self.0[i][j] / zooms[j]);
        let svd = directions.svd(true, true);
        let mut left = match (svd.u, svd.v_t) {
            (Some(u), Some(v_t)) => u * v_t,
            _ => directions,
        };
        let clearness = |j: usize, m: &Matrix3<f64>| m.column(j).amax();
        let mut order = [0, 1, 2];
        order.sort_by(|&a, &b| clearness(b, &left).total_cmp(&clearness(a, &left)));
        let mut codes = [' '; 3];
        for axis in order {
            let world = left.column(axis).iamax();
            let letters = [('L', 'R'), ('P', 'A'), ('I', 'S')][world];
            codes[axis] = if left[(world, axis)] < 0.0 { letters.0 } else { letters.1 };
            left.row_mut(world).fill(0.0);
        }
        codes.iter().collect()
    }

    /// Voxel coordinates to mm.
    pub fn apply(&self, voxel: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|i| self.0[i][3] + (0..3).map(|j| self.0[i][j] * voxel[j]).sum::<f64>())
    }

    /// Millimetres to voxel coordinates.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let matrix = Matrix4::from_fn(|i, j| self.0[i][j]);
        let inverse = matrix.try_inverse().expect("checked not to be singular when it was made");
        let mut rows: [[f64; 4]; 4] =
            std::array::from_fn(|i| std::array::from_fn(|j| inverse[(i, j)]));
        rows[3] = [0.0, 0.0, 0.0, 1.0];
        Self(rows)
    }

    /// The largest absolute difference of two entries.
    pub fn max_abs_diff(&self, other: &Self) -> f64 {
        let pairs = self.0.as_flattened().iter().zip(other.0.as_flattened());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    fn linear(&self) -> Matrix3<f64> {
        Matrix3::from_fn(|i, j| self.0[i][j])
    }
}

impl TryFrom<[[f64; 4]; 4]> for Affine {
    type Error = Error;

    fn try_from(rows: [[f64; 4]; 4]) -> Result<Self> {
        Self::new(rows)
    }
}

impl From<Affine> for [[f64; 4]; 4] {
    fn from(affine: Affine) -> Self {
        affine.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affine(linear: [[f64; 3]; 3]) -> Result<Affine> {
        let row = |r: [f64; 3], t| [r[0], r[1], r[2], t];
        Affine::new([
            row(linear[0], -31.5),
            row(linear[1], 22.25),
            row(linear[2], -40.0),
            [0.0, 0.0, 0.0, 1.0],
        ])
    }

    // Expected codes and zooms: nibabel 5.4.2, `aff2axcodes` and `voxel_sizes`.
    #[test]
    fn axcodes_and_zooms_agree_with_nibabel() {
        let cases = [
            ([[-1.93, -0.63, -0.14], [-0.48, 2.39, -0.52], [-0.17, 0.39, 2.95]], "LAS"),
            ([[0.2, 0.1, -2.9], [2.0, 0.3, 0.4], [-0.1, 2.4, 0.6]], "ASL"),
            // the first and the last axis are most along y: the clearer one takes it
            ([[0.44, 0.83, 0.35], [-0.65, 0.02, 0.76], [0.62, -0.56, 0.55]], "SRA"),
            ([[1.0, 0.9, 0.0], [0.0, 0.436, 0.0], [0.0, 0.0, -2.0]], "RAI"),
            ([[0.7, 1.0, 0.0], [0.69, 0.05, 0.0], [0.0, 0.0, 1.0]], "ARS"),
        ];
        for (linear, codes) in cases {
            assert_eq!(affine(linear).unwrap().axcodes(), codes, "{linear:?}");
        }
        let zooms = affine(cases[0].0).unwrap().zooms();
        let expected = [1.996_046_091_652_194_3, 2.502_219_015_194_313_6, 2.998_749_739_474_77];
        for (found, expected) in zooms.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{zooms:?}");
        }
    }

    #[test]
    fn inverse_undoes_apply() {
        let affine = affine([[-1.93, -0.63, -0.14], [-0.48, 2.39, -0.52], [-0.17, 0.39, 2.95]]);
        let affine = affine.unwrap();
        let back = affine.inverse().apply(affine.apply([3.0, -1.5, 7.25]));
        for (found, expected) in back.iter().zip([3.0, -1.5, 7.25]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn refuses_what_is_no_grid() {
        let singular = affine([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]]);
        assert!(singular.unwrap_err().to_string().contains("singular"));
        let nan = affine([[f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        assert!(nan.unwrap_err().to_string().contains("not finite"));
        let mut rows = *affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap().rows();
        rows[3][0] = 1.0;
        assert!(Affine::new(rows).unwrap_err().to_string().contains("last row"));
        assert!(affine([[0.0; 3]; 3]).is_err());
        // a grid of 5 µm voxels is small, not singular
        assert!(affine([[0.005, 0.0, 0.0], [0.0, 0.005, 0.0], [0.0, 0.0, 0.005]]).is_ok());
    }

    #[test]
    fn json_is_four_rows_and_is_checked_on_the_way_in() {
        let affine = affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
        let text = serde_json::to_string(&affine).unwrap();
        assert_eq!(serde_json::from_str::<Affine>(&text).unwrap(), affine);
        let zeros = "[[0,0,0,0],[0,0,0,0],[0,0,0,0],[0,0,0,1]]";
        assert!(serde_json::from_str::<Affine>(zeros).is_err());
    }

    proptest::proptest! {
        #[test]
        fn there_and_back_is_where_it_was(
            zooms in proptest::array::uniform3(0.2_f64..8.0),
            angles in proptest::array::uniform3(-3.0_f64..3.0),
            shift in proptest::array::uniform3(-300.0_f64..300.0),
            flips in proptest::array::uniform3(proptest::bool::ANY),
            point in proptest::array::uniform3(-500.0_f64..500.0),
        ) {
            let turn = nalgebra::Rotation3::from_euler_angles(angles[0], angles[1], angles[2]);
            let signed = |j: usize| if flips[j] { -zooms[j] } else { zooms[j] };
            let mut rows = [[0.0; 4]; 4];
            for (i, row) in rows[..3].iter_mut().enumerate() {
                *row = std::array::from_fn(|j| if j == 3 { shift[i] } else { turn[(i, j)] * signed(j) });
            }
            rows[3][3] = 1.0;
            let affine = Affine::new(rows).unwrap();
            for (found, zoom) in affine.zooms().iter().zip(zooms) {
                proptest::prop_assert!((found - zoom).abs() < 1e-12);
            }
            let inverse = affine.inverse();
            for back in [inverse.apply(affine.apply(point)), affine.apply(inverse.apply(point))] {
                for (found, expected) in back.iter().zip(point) {
                    proptest::prop_assert!((found - expected).abs() < 1e-9, "{found} {expected}");
                }
            }
        }
    }
}
