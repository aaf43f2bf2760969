//! How much of each parcel a run has data of.
//!
//! A voxel has data where any frame holds a finite value other than 0: outside of the field of view,
//! and where a mask was applied, tools write 0 or NaN.

use super::{Atlas, extract::on_grid};
use crate::{frames::Frame, geometry::Grid};

/// The voxels that no frame had data of so far.
pub(super) struct Unseen {
    voxels: Vec<usize>,
    held: Vec<f64>,
}

impl Unseen {
    /// All of these, ascending.
    pub(super) fn new(voxels: Vec<usize>) -> Self {
        Self { voxels, held: Vec::new() }
    }

    /// Takes out what a frame has data of; after the first few hardly any are left to look at.
    pub(super) fn look(&mut self, frame: Frame<'_>) {
        if self.voxels.is_empty() {
            return;
        }
        self.held.resize(self.voxels.len(), 0.0);
        frame.read_at(&self.voxels, &mut self.held);
        let mut values = self.held.iter();
        self.voxels.retain(|_| values.next().is_none_or(|x| !x.is_finite() || *x == 0.0));
    }

    /// 1 where there was data on a grid of so many voxels, else 0.
    fn image(&self, n_voxels: usize) -> Vec<f64> {
        let mut image = vec![1.0; n_voxels];
        self.voxels.iter().for_each(|&voxel| image[voxel] = 0.0);
        image
    }
}

/// Where labels and voxels met.
pub(super) struct Meeting<'a> {
    /// The grid of the run.
    pub(super) run: &'a Grid,
    /// The grid of `labels`.
    pub(super) grid: &'a Grid,
    /// The label of each voxel of `grid`, whether a mask left it or not.
    pub(super) labels: &'a [i32],
    /// The labels that were averaged.
    pub(super) taken: &'a [i32],
    /// Whether labels and voxels are matched by their index.
    pub(super) by_index: bool,
}

impl Meeting<'_> {
    /// The share of each parcel of the atlas that has data.
    pub(super) fn coverage(&self, atlas: &Atlas, unseen: &Unseen) -> Vec<f64> {
        let is_same = self.by_index || self.grid.matches(self.run);
        let seen = unseen.image(self.run.n_voxels());
        let seen = if is_same { seen } else { on_grid(&seen, self.run, self.grid) };
        let mut counts = vec![[0_usize; 2]; atlas.n_parcels()];
        let parcel = |label: &i32| atlas.parcels().binary_search_by_key(label, |p| p.label).ok();
        for ((label, taken), seen) in self.labels.iter().zip(self.taken).zip(&seen) {
            let Some(at) = (*label != 0).then(|| parcel(label)).flatten() else { continue };
            counts[at][0] += 1;
            counts[at][1] += usize::from(*taken != 0 && *seen != 0.0);
        }
        let share = |[n, n_seen]: [usize; 2]| if n == 0 { 0.0 } else { n_seen as f64 / n as f64 };
        let shares = counts.into_iter().map(share);
        if self.by_index || atlas.grid().matches(self.grid) {
            return shares.collect();
        }
        shares.zip(self.inside(atlas)).map(|(share, inside)| share * inside).collect()
    }

    /// The share of the voxels of each parcel that lie in the field of view of the run.
    fn inside(&self, atlas: &Atlas) -> Vec<f64> {
        let inverse = self.run.affine.inverse();
        let [nx, ny, _] = atlas.grid().shape;
        let mut counts = vec![[0_usize; 2]; atlas.n_parcels()];
        for (position, label) in atlas.labels().iter().enumerate().filter(|(_, it)| **it != 0) {
            let Ok(at) = atlas.parcels().binary_search_by_key(label, |p| p.label) else { continue };
            let voxel = [position % nx, position / nx % ny, position / (nx * ny)];
            let mm = atlas.grid().affine.apply(voxel.map(|x| x as f64));
            let place = inverse.apply(mm);
            // a voxel reaches half a step beyond its centre
            let inside = |(x, n): (&f64, usize)| (-0.5 - EDGE..=n as f64 - 0.5 + EDGE).contains(x);
            counts[at][0] += 1;
            counts[at][1] += usize::from(place.iter().zip(self.run.shape).all(inside));
        }
        counts
            .into_iter()
            .map(|[n, n_in]| if n == 0 { 0.0 } else { n_in as f64 / n as f64 })
            .collect()
    }
}

/// Rounding of places at the edge, in voxels.
const EDGE: f64 = 1e-6;
