//! From the voxels of a frame to one number a region.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Atlas;
use crate::{frames::Frame, nii::Stretch};

/// How the voxels of a region become one number a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Arithmetic mean.
    Mean,
    /// The middle value, or the mean of the two in the middle.
    Median,
    /// Sum.
    Sum,
    /// Smallest value.
    Minimum,
    /// Largest value.
    Maximum,
    /// Mean squared distance from the mean, divided by n.
    Variance,
    /// Its square root.
    StandardDeviation,
}

/// The voxels of each parcel, one parcel after the other, and what becomes of them.
pub(super) struct Regions {
    voxels: Vec<usize>,
    spans: Vec<Range<usize>>,
    rule: Rule,
}

enum Rule {
    /// Neighbours are added up where they lie; divided by their number where a mean is wanted.
    Add { stretches: Vec<Stretch>, is_mean: bool },
    /// Values are gathered first.
    Reduce { reduction: Reduction, held: Vec<f64> },
    /// The mean of what is not NaN.
    NanMean { held: Vec<f64> },
}

impl Regions {
    /// Regions of the labels of a grid, x fastest; NaN is left out where the `toolkit` is followed.
    pub(super) fn new(atlas: &Atlas, labels: &[i32], reduction: Reduction, toolkit: bool) -> Self {
        let of_parcels = || {
            let parcel = |label| atlas.parcels().binary_search_by_key(label, |p| p.label).ok();
            let inside = labels.iter().enumerate().filter(|(_, label)| **label != 0);
            inside.filter_map(move |(voxel, label)| Some((voxel, parcel(label)?)))
        };
        let mut counts = vec![0; atlas.n_parcels()];
        of_parcels().for_each(|(_, parcel)| counts[parcel] += 1);
        let mut n_voxels = 0;
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(counts.len());
        for n in counts {
            // filled from its start on, below
            spans.push(n_voxels..n_voxels);
            n_voxels += n;
        }
        let mut voxels = vec![0; n_voxels];
        for (voxel, parcel) in of_parcels() {
            voxels[spans[parcel].end] = voxel;
            spans[parcel].end += 1;
        }
        let held = || vec![0.0; voxels.len()];
        let rule = match reduction {
            _ if toolkit => Rule::NanMean { held: held() },
            Reduction::Mean | Reduction::Sum => {
                let stretches = stretches(&voxels, &spans);
                Rule::Add { stretches, is_mean: reduction == Reduction::Mean }
            }
            _ => Rule::Reduce { reduction, held: held() },
        };
        Self { voxels, spans, rule }
    }

    /// Whether no parcel has a voxel.
    pub(super) fn are_empty(&self) -> bool {
        self.voxels.is_empty()
    }

    /// All voxels of the parcels as stretches of neighbours.
    pub(super) fn stretches(&self) -> Vec<Stretch> {
        stretches(&self.voxels, &self.spans)
    }

    /// All voxels of the parcels, ascending.
    pub(super) fn voxels(&self) -> Vec<usize> {
        let mut voxels = self.voxels.clone();
        voxels.sort_unstable();
        voxels
    }

    /// The numbers of one frame, into a row of zeros.
    pub(super) fn reduce(&mut self, frame: Frame<'_>, row: &mut [f64]) {
        let parcels = row.iter_mut().zip(&self.spans);
        match &mut self.rule {
            Rule::Add { stretches, is_mean } => {
                frame.add_up(stretches, row);
                if *is_mean {
                    let known =
                        row.iter_mut().zip(&self.spans).filter(|(_, span)| !span.is_empty());
                    known.for_each(|(sum, span)| *sum /= span.len() as f64);
                }
            }
            Rule::Reduce { reduction, held } => {
                frame.read_at(&self.voxels, held);
                parcels.for_each(|(to, span)| *to = reduce(&mut held[span.clone()], *reduction));
            }
            Rule::NanMean { held } => {
                frame.read_at(&self.voxels, held);
                parcels.for_each(|(to, span)| *to = nanmean(&held[span.clone()]));
            }
        }
    }
}

/// Neighbours of one parcel as one stretch each, in the order of the file.
fn stretches(voxels: &[usize], spans: &[Range<usize>]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (sum, span) in spans.iter().enumerate() {
        let begun = stretches.len();
        for &voxel in &voxels[span.clone()] {
            match stretches[begun..].last_mut() {
                Some(last) if last.end() == voxel && last.n < u32::MAX => last.n += 1,
                _ => stretches.push(Stretch { first: voxel, n: 1, sum: sum as u32 }),
            }
        }
    }
    stretches.sort_unstable_by_key(|stretch| stretch.first);
    stretches
}

/// The mean of what is not NaN; 0 where nothing is left.
fn nanmean(values: &[f64]) -> f64 {
    let known = values.iter().filter(|x| !x.is_nan());
    let (sum, n) = known.fold((0.0, 0.0), |(sum, n), x| (sum + x, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

/// One number of many; an empty region is 0. Sorts the values where it needs to.
fn reduce(values: &mut [f64], reduction: Reduction) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
    let n = values.len() as f64;
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    let variance = |values: &[f64]| {
        let mean = sum(values) / n;
        values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n
    };
    match reduction {
        Reduction::Mean => sum(values) / n,
        Reduction::Sum => sum(values),
        Reduction::Minimum => values.iter().copied().fold(f64::INFINITY, f64::min),
        Reduction::Maximum => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Reduction::Variance => variance(values),
        Reduction::StandardDeviation => variance(values).sqrt(),
        Reduction::Median => {
            values.sort_unstable_by(f64::total_cmp);
            let middle = values.len() / 2;
            let low = values[middle - usize::from(values.len().is_multiple_of(2))];
            f64::midpoint(low, values[middle])
        }
    }
}
