//! Gradients of a convolution.

use rayon::prelude::*;

use super::{Conv3d, EDGE, inside, slabs};
use crate::Real;
use crate::product::{View, product};
use crate::rows::sum_rows;

impl Conv3d {
    /// The input's gradient, from the result's.
    ///
    /// Every plane of the input gathers its own, from the planes of the result whose windows reach it.
    pub fn backward_input<T: Real>(&self, weight: &[T], dys: &[T]) -> Vec<T> {
        assert_eq!(weight.len(), self.n_weights(), "a kernel has the convolution's size");
        assert_eq!(dys.len(), self.n_outputs(), "a gradient has the result's size");
        let mut dxs = vec![T::ZERO; self.n_inputs()];
        let [n_z, n_y, n_x] = self.size;
        let [out_z, out_y, out_x] = self.out_size();
        let plane = out_y * out_x;
        let planes = dxs.par_chunks_mut((n_y * n_x * self.n_in).max(1)).enumerate();
        planes.for_each_init(Vec::new, |dwindows, (at, dx)| {
            let (item, z) = (at / n_z, at % n_z);
            for depth in 0..EDGE {
                // the window that has this plane at this depth
                let Some(start) = (z + 1).checked_sub(depth) else { continue };
                if !start.is_multiple_of(self.stride) || start / self.stride >= out_z {
                    continue;
                }
                let first = (item * out_z + start / self.stride) * plane;
                for slab in slabs(plane) {
                    let dys = &dys[(first + slab.start) * self.n_out..][..slab.len() * self.n_out];
                    let run = EDGE * self.n_in;
                    dwindows.resize(slab.len() * EDGE * run, T::ZERO);
                    let weight = self.weight_of(weight, depth);
                    product(View::rows(dys, self.n_out), weight, T::ONE, false, dwindows);
                    let mut runs = dwindows.chunks_exact(run);
                    for window in slab {
                        for height in 0..EDGE {
                            let run = runs.next().expect("a run for each height of each window");
                            let y = inside(window / out_x * self.stride + height, n_y);
                            let Some(y) = y else { continue };
                            let x = window % out_x * self.stride;
                            self.add_run(run, x, &mut dx[y * n_x * self.n_in..]);
                        }
                    }
                }
            }
        });
        dxs
    }

    /// Adds the gradients of three voxels of which the first stands one before `x` in the line.
    fn add_run<T: Real>(&self, run: &[T], x: usize, line: &mut [T]) {
        for (width, d) in run.chunks_exact(self.n_in).enumerate() {
            if let Some(x) = inside(x + width, self.size[2]) {
                line[x * self.n_in..][..self.n_in].iter_mut().zip(d).for_each(|(s, &d)| *s += d);
            }
        }
    }

    /// The gradients of kernel and bias, from the input and the result's gradient.
    ///
    /// Each line of the kernel gathers its own over all windows of all volumes in turn.
    pub fn backward_parameters<T: Real>(&self, xs: &[T], dys: &[T]) -> (Vec<T>, Vec<T>) {
        assert_eq!(xs.len(), self.n_inputs(), "an input has the convolution's size");
        assert_eq!(dys.len(), self.n_outputs(), "a gradient has the result's size");
        let run = EDGE * self.n_in;
        let voxels = self.out_size().iter().product::<usize>();
        let lines: Vec<Vec<T>> = (0..EDGE * EDGE)
            .into_par_iter()
            .map(|line| {
                let (depth, height) = (line / EDGE, line % EDGE);
                let mut sum = vec![T::ZERO; self.n_out * run];
                let mut windows = Vec::new();
                for item in 0..self.batch {
                    let volume = self.volume(xs, item);
                    for slab in slabs(voxels) {
                        self.unfold(volume, &slab, depth, height..height + 1, &mut windows);
                        let first = (item * voxels + slab.start) * self.n_out;
                        let dys = &dys[first..][..slab.len() * self.n_out];
                        let dys = View::rows(dys, self.n_out).t();
                        product(dys, View::rows(&windows, run), T::ONE, true, &mut sum);
                    }
                }
                sum
            })
            .collect();
        let mut dweight = Vec::with_capacity(self.n_weights());
        for out in 0..self.n_out {
            for line in &lines {
                dweight.extend_from_slice(&line[out * run..][..run]);
            }
        }
        let dbias = sum_rows(self.batch * voxels, self.n_out, |voxel, sum| {
            let dy = &dys[voxel * self.n_out..][..self.n_out];
            sum.iter_mut().zip(dy).for_each(|(s, &d)| *s += d);
        });
        (dweight, dbias)
    }
}
