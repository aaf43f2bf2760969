//! Voxel axes turned and flipped so that they point where somebody expects them to.

use std::fmt;

use ndarray::{Array3, Array4, ArrayD, Axis, Ix3, Ix4};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Grid;
use crate::{
    affine::Affine,
    bold::{Bold, Volume},
    error::{Error, Result},
};

/// Where the three voxel axes point: `RAS`, `LAS`, …
///
/// ```
/// let las: scan::Orientation = "LAS".parse()?;
/// assert_eq!(las.to_string(), "LAS");
/// assert!("LRS".parse::<scan::Orientation>().is_err());
/// # Ok::<(), scan::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Orientation([char; 3]);

impl std::str::FromStr for Orientation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let letters: Vec<char> = text.chars().collect();
        let refuse = || Error::Orientation { found: text.to_owned() };
        let codes: [char; 3] = letters.try_into().map_err(|_| refuse())?;
        let mut worlds = codes.map(|code| world(code).map(|(axis, _)| axis));
        worlds.sort_unstable();
        if worlds == [Some(0), Some(1), Some(2)] { Ok(Self(codes)) } else { Err(refuse()) }
    }
}

impl TryFrom<String> for Orientation {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Orientation> for String {
    fn from(orientation: Orientation) -> Self {
        orientation.to_string()
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|code| write!(f, "{code}"))
    }
}

/// World axis of a letter, and whether it points forwards along it.
fn world(code: char) -> Option<(usize, bool)> {
    match code {
        'R' => Some((0, true)),
        'L' => Some((0, false)),
        'A' => Some((1, true)),
        'P' => Some((1, false)),
        'S' => Some((2, true)),
        'I' => Some((2, false)),
        _ => None,
    }
}

/// For each new axis, the old one it is and whether it runs backwards.
fn turns(affine: &Affine, to: Orientation) -> [(usize, bool); 3] {
    let now: Vec<(usize, bool)> = affine.axcodes().chars().filter_map(world).collect();
    to.0.map(|code| {
        let (axis, forwards) = world(code).expect("letters are checked when they are parsed");
        let old = now.iter().position(|&(world, _)| world == axis);
        let old = old.expect("an affine has a voxel axis for each axis of the world");
        (old, now[old].1 != forwards)
    })
}

impl Grid {
    /// The same voxels with axes that point to `to`; nothing is interpolated.
    pub fn reoriented(&self, to: Orientation) -> Result<Self> {
        let turns = turns(&self.affine, to);
        let old = self.affine.rows();
        let mut rows = *old;
        for row in 0..3 {
            for (new, &(axis, backwards)) in turns.iter().enumerate() {
                let step = old[row][axis];
                rows[row][new] = if backwards { -step } else { step };
                if backwards {
                    rows[row][3] += step * (self.shape[axis] as f64 - 1.0);
                }
            }
        }
        Ok(Self { shape: turns.map(|(axis, _)| self.shape[axis]), affine: Affine::new(rows)? })
    }
}

impl Volume {
    /// The same image with axes that point to `to`.
    pub fn reoriented(&self, to: Orientation) -> Result<Self> {
        let grid = self.grid().reoriented(to)?;
        let data: Array3<f32> = turned(self.data().clone().into_dyn(), &turns(self.affine(), to))
            .into_dimensionality::<Ix3>()
            .expect("turning keeps the number of axes");
        Self::new(data, grid.affine)
    }
}

impl Bold {
    /// The same run with axes that point to `to`; `LAS` is what BrainMT was trained on.
    pub fn reoriented(&self, to: Orientation) -> Result<Self> {
        let grid = self.grid().reoriented(to)?;
        let data: Array4<f32> = turned(self.data().clone().into_dyn(), &turns(self.affine(), to))
            .into_dimensionality::<Ix4>()
            .expect("turning keeps the number of axes");
        Self::new(data, grid.affine, self.t_r())
    }
}

fn turned(data: ArrayD<f32>, turns: &[(usize, bool); 3]) -> ArrayD<f32> {
    let order: Vec<usize> = turns.iter().map(|&(axis, _)| axis).chain(3..data.ndim()).collect();
    let mut data = data.permuted_axes(order);
    for (axis, _) in turns.iter().enumerate().filter(|(_, (_, backwards))| *backwards) {
        data.invert_axis(Axis(axis));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oblique() -> Volume {
        let rows = [
            [-1.93, -0.63, -0.14, -31.5],
            [-0.48, 2.39, -0.52, 22.25],
            [-0.17, 0.39, 2.95, -40.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let data = Array3::from_shape_fn((3, 4, 5), |(x, y, z)| (100 * x + 10 * y + z) as f32);
        Volume::new(data, Affine::new(rows).unwrap()).unwrap()
    }

    #[test]
    fn every_orientation_keeps_each_voxel_in_its_place() {
        let image = oblique();
        for codes in ["RAS", "LAS", "LPS", "ASR", "SPL", "IRP"] {
            let to: Orientation = codes.parse().unwrap();
            let turned = image.reoriented(to).unwrap();
            assert_eq!(turned.affine().axcodes(), codes);
            let back = image.affine().inverse();
            for ((x, y, z), &value) in turned.data().indexed_iter() {
                let world = turned.affine().apply([x, y, z].map(|n| n as f64));
                let old = back.apply(world).map(|p| p.round() as usize);
                assert_eq!(image.data()[old], value, "{codes}");
            }
        }
    }

    #[test]
    fn codes_that_are_no_orientation_are_refused() {
        for codes in ["", "RA", "RRS", "LRS", "XYZ", "RASS"] {
            let error = codes.parse::<Orientation>().unwrap_err().to_string();
            assert!(error.contains(&format!("{codes:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn turning_there_and_back_is_the_identity(
            codes in prop::sample::select(vec!["RAS", "LAS", "PIR", "SAL"]),
        ) {
            let image = oblique();
            let there = image.reoriented(codes.parse().unwrap()).unwrap();
            let back = there.reoriented("LAS".parse().unwrap()).unwrap();
            prop_assert_eq!(back.data(), image.data());
            prop_assert!(back.affine().max_abs_diff(image.affine()) < 1e-12);
        }
    }
}
