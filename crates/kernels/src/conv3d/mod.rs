//! Convolutions over volumes: windows of 3 × 3 × 3 voxels, one voxel of zeros around, stride 1 or 2.
//!
//! Channels come last, so that the voxels of a window that lie in one line of the volume are one run
//! of numbers. A slab of windows is written out and multiplied with the kernel, one depth of the
//! window at a time: memory does not grow with the volume.

mod backward;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use crate::Real;
use crate::product::{View, product};

/// Voxels along an edge of the window.
const EDGE: usize = 3;
/// Result voxels of a slab.
const SLAB: usize = 192;

/// The sizes of a convolution.
///
/// Volumes are `(batch, depth, height, width, channels)`, the kernel is `(n_out, 3, 3, 3, n_in)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3d {
    /// Volumes.
    pub batch: usize,
    /// Depth, height and width of each.
    pub size: [usize; 3],
    /// Channels of the input.
    pub n_in: usize,
    /// Channels of the result.
    pub n_out: usize,
    /// Voxels between neighbouring windows.
    pub stride: usize,
}

impl Conv3d {
    /// Depth, height and width of the result: every `stride`-th voxel stands in the middle of a window.
    pub fn out_size(&self) -> [usize; 3] {
        self.size.map(|n| n.div_ceil(self.stride))
    }

    /// Entries of the input.
    pub fn n_inputs(&self) -> usize {
        self.batch * self.size.iter().product::<usize>() * self.n_in
    }

    /// Entries of the result.
    pub fn n_outputs(&self) -> usize {
        self.batch * self.out_size().iter().product::<usize>() * self.n_out
    }

    /// Entries of the kernel.
    pub fn n_weights(&self) -> usize {
        self.n_out * EDGE * EDGE * EDGE * self.n_in
    }

    /// Writes the result.
    pub fn forward<T: Real>(&self, xs: &[T], weight: &[T], bias: Option<&[T]>, ys: &mut [T]) {
        assert_eq!(xs.len(), self.n_inputs(), "an input has the convolution's size");
        assert_eq!(weight.len(), self.n_weights(), "a kernel has the convolution's size");
        assert_eq!(ys.len(), self.n_outputs(), "a result has the convolution's size");
        assert!(bias.is_none_or(|bias| bias.len() == self.n_out), "a bias has a number a channel");
        let mut tasks = Vec::new();
        let voxels = self.out_size().iter().product::<usize>();
        for (item, mut ys) in ys.chunks_mut((voxels * self.n_out).max(1)).enumerate() {
            for slab in slabs(voxels) {
                let slab_ys;
                (slab_ys, ys) = ys.split_at_mut(slab.len() * self.n_out);
                tasks.push((item, slab, slab_ys));
            }
        }
        tasks.into_par_iter().for_each_init(Vec::new, |windows, (item, slab, ys)| {
            let volume = self.volume(xs, item);
            for depth in 0..EDGE {
                self.unfold(volume, &slab, depth, 0..EDGE, windows);
                let windows = View::rows(windows, EDGE * EDGE * self.n_in);
                product(windows, self.weight_of(weight, depth).t(), T::ONE, depth > 0, ys);
            }
            if let Some(bias) = bias {
                for y in ys.chunks_mut(self.n_out) {
                    y.iter_mut().zip(bias).for_each(|(y, &b)| *y += b);
                }
            }
        });
    }

    /// One volume of the batch.
    fn volume<'a, T>(&self, xs: &'a [T], item: usize) -> &'a [T] {
        let n = self.size.iter().product::<usize>() * self.n_in;
        &xs[item * n..(item + 1) * n]
    }

    /// The kernel's entries for one depth of the window, `(n_out, 9 n_in)`.
    fn weight_of<'a, T>(&self, weight: &'a [T], depth: usize) -> View<'a, T> {
        let plane = EDGE * EDGE * self.n_in;
        View::spaced(&weight[depth * plane..], self.n_out, plane, EDGE * plane)
    }

    /// Writes the voxels under a range of windows, at one depth of the window and some of its
    /// heights: `(windows, heights, 3, n_in)`.
    fn unfold<T: Real>(
        &self,
        volume: &[T],
        windows: &Range<usize>,
        depth: usize,
        heights: Range<usize>,
        out: &mut Vec<T>,
    ) {
        let [n_z, n_y, n_x] = self.size;
        let [_, out_y, out_x] = self.out_size();
        let run = EDGE * self.n_in;
        out.clear();
        out.resize(windows.len() * heights.len() * run, T::ZERO);
        let mut runs = out.chunks_exact_mut(run);
        for window in windows.clone() {
            let (z, y, x) = (window / out_x / out_y, window / out_x % out_y, window % out_x);
            let z = inside(z * self.stride + depth, n_z);
            // of the three voxels in a line the first may lie before it, the last behind it
            let first = x * self.stride;
            let skipped = usize::from(first == 0);
            let kept = EDGE.min(n_x + 1 - first) - skipped;
            for height in heights.clone() {
                let run = runs.next().expect("a run for each height of each window");
                let Some((z, y)) = z.zip(inside(y * self.stride + height, n_y)) else { continue };
                let line = &volume[(z * n_y + y) * n_x * self.n_in..];
                let from = (first + skipped - 1) * self.n_in;
                run[skipped * self.n_in..][..kept * self.n_in]
                    .copy_from_slice(&line[from..][..kept * self.n_in]);
            }
        }
    }
}

/// The voxel at a place that is counted from the border of zeros.
fn inside(place: usize, n: usize) -> Option<usize> {
    place.checked_sub(1).filter(|&voxel| voxel < n)
}

/// Ranges of result voxels, as equal as can be.
fn slabs(voxels: usize) -> impl Iterator<Item = Range<usize>> {
    let n = voxels.div_ceil(SLAB);
    (0..n).map(move |slab| slab * voxels / n..(slab + 1) * voxels / n)
}
