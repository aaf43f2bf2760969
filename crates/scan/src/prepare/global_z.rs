//! The scale a volume encoder was trained on: one mean and one spread for a whole run.
//!
//! Source: BrainMT's `preprocess_fmri.py`. Background is what is exactly 0, per voxel and frame.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bold::Bold,
    error::{Error, Result},
};

/// What background becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// The smallest standardised value of the foreground.
    Minimum,
    /// Zero.
    Zero,
}

/// Mean and spread of the foreground of a run, summed in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalZ {
    /// Mean over all samples that are not background.
    pub mean: f64,
    /// Their standard deviation (n − 1).
    pub deviation: f64,
    /// The smallest of them.
    pub minimum: f64,
    /// How many there are.
    pub n_samples: u64,
}

impl GlobalZ {
    /// Measures a run.
    pub fn measure(run: &Bold) -> Result<Self> {
        let found = run.n_nonfinite();
        if found > 0 {
            return Err(Error::NonFiniteSeries { found, total: run.data().len() });
        }
        let foreground = || run.data().iter().filter(|x| **x != 0.0).map(|&x| f64::from(x));
        let (mut sum, mut n, mut minimum) = (0.0, 0_u64, f64::INFINITY);
        for x in foreground() {
            (sum, n, minimum) = (sum + x, n + 1, minimum.min(x));
        }
        let mean = sum / n as f64;
        let squares: f64 = foreground().map(|x| (x - mean) * (x - mean)).sum();
        let deviation = (squares / (n as f64 - 1.0)).sqrt();
        if n < 2 || deviation <= 0.0 {
            return Err(Error::NoRawVoxel { task: "standardising a run" });
        }
        Ok(Self { mean, deviation, minimum, n_samples: n })
    }

    /// Standardises a run; its background becomes what is asked.
    pub fn apply(&self, run: &Bold, background: Background) -> Result<Bold> {
        let standard = |x: f64| (x - self.mean) / self.deviation;
        let filler = match background {
            Background::Minimum => standard(self.minimum) as f32,
            Background::Zero => 0.0,
        };
        let values = run.data().mapv(|x| if x == 0.0 { filler } else { standard(x.into()) as f32 });
        Bold::new(values, run.affine().clone(), run.t_r())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;
    use ndarray::Array4;

    fn run(values: Vec<f32>) -> Bold {
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
        let data = Array4::from_shape_vec((values.len() / 2, 1, 1, 2), values).unwrap();
        Bold::new(data, Affine::new(rows).unwrap(), 2.0).unwrap()
    }

    #[test]
    fn background_is_left_out_of_the_mean_and_filled() {
        let bold = run(vec![0.0, 3.0, 1.0, 5.0, 0.0, 0.0]);
        let fit = GlobalZ::measure(&bold).unwrap();
        assert_eq!((fit.mean, fit.deviation, fit.minimum, fit.n_samples), (3.0, 2.0, 1.0, 3));
        let filled = |background| fit.apply(&bold, background).unwrap().into_data();
        let minimum = filled(Background::Minimum);
        assert_eq!(minimum.as_slice().unwrap(), [-1.0, 0.0, -1.0, 1.0, -1.0, -1.0]);
        assert_eq!(filled(Background::Zero).as_slice().unwrap(), [0.0, 0.0, -1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn runs_without_spread_or_with_holes_are_refused() {
        assert!(GlobalZ::measure(&run(vec![0.0, 4.0])).is_err());
        assert!(GlobalZ::measure(&run(vec![4.0, 4.0])).is_err());
        assert!(GlobalZ::measure(&run(vec![f32::NAN, 4.0, 1.0, 2.0])).is_err());
    }
}
