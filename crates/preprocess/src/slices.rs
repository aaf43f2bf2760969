//! Three slices of the mean image of a run with the outlines of its parcels, as pages show where a scan lies.
//! They are taken on the way of its frames to their parcels; the file is not read for them.
use std::cell::RefCell;

use scan::{Affine, Atlas, ExtractConfig, Frame, Frames, Grid};

/// One slice, with its pixels as they are shown: from the left, the back or the front to the right, and from the
/// top down.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The axis of the world that it lies across: 0 from left to right, 1 from back to front, 2 from below.
    pub across: usize,
    /// Where on this axis, in mm.
    pub place_mm: f64,
    /// Pixels in a row and in a column.
    pub shape: [usize; 2],
    /// Width and height of a pixel in mm.
    pub zooms_mm: [f64; 2],
    /// The means that are black and white: the 2nd and the 98th percentile of all three slices.
    pub window: [f64; 2],
    /// A mean a pixel, from 0 at black to 255 at white.
    pub grey: Vec<u8>,
    /// What lies on the edge of something: [`EDGE_OF_DATA`], [`EDGE_OF_PARCEL`].
    pub edges: Vec<u8>,
}

impl Slice {
    /// What is known of slices beside their pixels, eight numbers each.
    pub(crate) fn facts(slices: &[Self]) -> Vec<f64> {
        let of = |it: &Self| {
            let [width, height] = it.shape.map(|n| n as f64);
            let ([x_mm, y_mm], [low, high]) = (it.zooms_mm, it.window);
            [it.across as f64, it.place_mm, width, height, x_mm, y_mm, low, high]
        };
        slices.iter().flat_map(of).collect()
    }

    /// Slices again; none where the pixels are not as many as the facts say.
    pub(crate) fn of_facts(facts: &[f64], grey: &[u8], edges: &[u8]) -> Option<Vec<Self>> {
        let (mut grey, mut edges) = (grey, edges);
        let slice = |it: &[f64]| {
            let shape = [it[2] as usize, it[3] as usize];
            let n = shape[0].checked_mul(shape[1])?;
            Some(Self {
                across: it[0] as usize,
                place_mm: it[1],
                shape,
                zooms_mm: [it[4], it[5]],
                window: [it[6], it[7]],
                grey: grey.split_off(..n)?.to_vec(),
                edges: edges.split_off(..n)?.to_vec(),
            })
        };
        facts.chunks_exact(8).map(slice).collect()
    }
}

/// A pixel with data beside one without.
pub const EDGE_OF_DATA: u8 = 1;
/// A pixel of a parcel beside one of another parcel, or of none.
pub const EDGE_OF_PARCEL: u8 = 2;

/// A run that is looked at on its way.
pub(crate) struct Looked<'a> {
    run: &'a dyn Frames,
    planes: Vec<Plane>,
    sums: RefCell<Sums>,
}

/// A slice before anything was seen of it.
struct Plane {
    across: usize,
    place_mm: f64,
    shape: [usize; 2],
    zooms_mm: [f64; 2],
    labels: Vec<i32>,
}

#[derive(Default)]
struct Sums {
    /// The voxels of all planes, x fastest, pixel by pixel.
    voxels: Vec<usize>,
    held: Vec<f64>,
    /// The sum of the finite values, and how many frames have been seen.
    sums: Vec<f64>,
    n_frames: usize,
    /// Whether a voxel ever held a finite value other than 0.
    seen: Vec<bool>,
}

impl<'a> Looked<'a> {
    /// Through the slices with most voxels of parcels.
    pub(crate) fn new(run: &'a dyn Frames, atlas: &Atlas, config: &ExtractConfig) -> Self {
        let by_index = config.brainlm_toolkit_compat && run.grid().shape == atlas.grid().shape;
        let labels = if by_index { atlas.labels().to_vec() } else { atlas.on(run.grid()) };
        let (planes, voxels) = planes(run.grid(), &labels);
        let n = voxels.len();
        let sums = Sums {
            voxels,
            held: vec![0.0; n],
            sums: vec![0.0; n],
            seen: vec![false; n],
            n_frames: 0,
        };
        Self { run, planes, sums: RefCell::new(sums) }
    }

    /// What was seen.
    pub(crate) fn slices(self) -> Vec<Slice> {
        let Sums { sums, seen, n_frames, .. } = self.sums.into_inner();
        let means: Vec<f64> = sums.iter().map(|sum| sum / n_frames.max(1) as f64).collect();
        let mut there: Vec<f64> =
            means.iter().zip(&seen).filter(|(_, seen)| **seen).map(|(mean, _)| *mean).collect();
        there.sort_by(f64::total_cmp);
        let at =
            |percent: usize| there.get((there.len().saturating_sub(1)) * percent / 100).copied();
        let (low, high) = (at(2).unwrap_or(0.0), at(98).unwrap_or(1.0));
        let span = if high > low { high - low } else { 1.0 };
        let mut first = 0;
        let slice = |plane: Plane| {
            let pixels = first..first + plane.labels.len();
            first = pixels.end;
            let grey =
                means[pixels.clone()].iter().zip(&seen[pixels.clone()]).map(|(mean, seen)| {
                    let share = ((mean - low) / span).clamp(0.0, 1.0);
                    if *seen { (255.0 * share).round() as u8 } else { 0 }
                });
            Slice {
                across: plane.across,
                place_mm: plane.place_mm,
                shape: plane.shape,
                zooms_mm: plane.zooms_mm,
                window: [low, high],
                grey: grey.collect(),
                edges: edges(plane.shape[0], &plane.labels, &seen[pixels]),
            }
        };
        self.planes.into_iter().map(slice).collect()
    }
}

impl Frames for Looked<'_> {
    fn grid(&self) -> &Grid {
        self.run.grid()
    }

    fn n_frames(&self) -> usize {
        self.run.n_frames()
    }

    fn t_r(&self) -> f64 {
        self.run.t_r()
    }

    fn name(&self) -> String {
        self.run.name()
    }

    fn each(
        &self,
        visit: &mut dyn FnMut(usize, Frame<'_>) -> scan::Result<()>,
    ) -> scan::Result<()> {
        // a run may be asked for its frames twice
        let is_first = self.sums.borrow().n_frames == 0;
        self.run.each(&mut |index, frame| {
            if is_first {
                self.sums.borrow_mut().look(frame);
            }
            visit(index, frame)
        })
    }
}

impl Sums {
    fn look(&mut self, frame: Frame<'_>) {
        frame.read_at(&self.voxels, &mut self.held);
        self.n_frames += 1;
        for ((sum, seen), value) in self.sums.iter_mut().zip(&mut self.seen).zip(&self.held) {
            if value.is_finite() {
                *sum += value;
                *seen |= *value != 0.0;
            }
        }
    }
}

/// For each axis of the world the voxel axis that runs along it, and whether it runs backwards.
fn axes(affine: &Affine) -> [(usize, bool); 3] {
    let codes: Vec<char> = affine.axcodes().chars().collect();
    ["LR", "PA", "IS"].map(|ends| {
        let old = codes.iter().position(|code| ends.contains(*code)).expect("three axes");
        (old, ends.starts_with(codes[old]))
    })
}

/// Of each axis the slice across it with most labels, and the voxels of all pixels.
fn planes(grid: &Grid, labels: &[i32]) -> (Vec<Plane>, Vec<usize>) {
    let (axes, zooms) = (axes(&grid.affine), grid.affine.zooms());
    let steps = [1, grid.shape[0], grid.shape[0] * grid.shape[1]];
    let mut counts = grid.shape.map(|n| vec![0_usize; n]);
    for voxel in (0..labels.len()).filter(|voxel| labels[*voxel] != 0) {
        for axis in 0..3 {
            counts[axis][voxel / steps[axis] % grid.shape[axis]] += 1;
        }
    }
    let mut voxels = Vec::new();
    let plane = |across: usize| {
        let (old, backwards) = axes[across];
        let fullest = counts[old].iter().max().copied().unwrap_or(0);
        let mut all = (0..grid.shape[old]).filter(|at| counts[old][*at] == fullest);
        // of several the first along the axis of the world
        let at = if backwards { all.next_back() } else { all.next() }.unwrap_or(0);
        // across the page and upwards: y and z, x and z, x and y
        let [right, up] = [[1, 2], [0, 2], [0, 1]][across].map(|world: usize| axes[world]);
        let (width, height) = (grid.shape[right.0], grid.shape[up.0]);
        let along = |(axis, backwards): (usize, bool), step: usize| {
            let n = grid.shape[axis];
            steps[axis] * if backwards { n - 1 - step } else { step }
        };
        let first = voxels.len();
        for row in 0..height {
            for column in 0..width {
                let upwards = height - 1 - row;
                voxels.push(at * steps[old] + along(right, column) + along(up, upwards));
            }
        }
        let mut centre = grid.shape.map(|n| (n as f64 - 1.0) / 2.0);
        centre[old] = at as f64;
        Plane {
            across,
            place_mm: grid.affine.apply(centre)[across],
            shape: [width, height],
            zooms_mm: [zooms[right.0], zooms[up.0]],
            labels: voxels[first..].iter().map(|voxel| labels[*voxel]).collect(),
        }
    };
    let planes = [0, 1, 2].map(plane).into();
    (planes, voxels)
}

/// Which pixels differ from the one to the right or the one below, in what they belong to.
fn edges(width: usize, labels: &[i32], seen: &[bool]) -> Vec<u8> {
    let edge = |pixel: usize| {
        let right = (pixel % width + 1 < width).then_some(pixel + 1);
        let below = (pixel + width < labels.len()).then_some(pixel + width);
        let beside = || [right, below].into_iter().flatten();
        let of_data = beside().any(|it| seen[it] != seen[pixel]);
        let of_parcel = beside().any(|it| labels[it] != labels[pixel]);
        u8::from(of_data) * EDGE_OF_DATA + u8::from(of_parcel) * EDGE_OF_PARCEL
    };
    (0..labels.len()).map(edge).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use scan::{Bold, Volume};

    use super::*;

    /// A run of two frames on a grid whose first axis runs from right to left.
    fn run() -> (Bold, Atlas) {
        let affine = || {
            let rows = [[-2.0, 0.0, 0.0, 4.0], [0.0, 3.0, 0.0, -1.0], [0.0, 0.0, 4.0, 10.0]];
            Affine::new([rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]]).unwrap()
        };
        let data = Array4::from_shape_fn((3, 4, 2, 2), |(x, y, z, t)| {
            if x == 0 { 0.0 } else { (100 * x + 10 * y + z) as f32 + t as f32 }
        });
        // one parcel of the voxels with x = 1, another of one voxel
        let labels = Array3::from_shape_fn((3, 4, 2), |(x, y, z)| match (x, y, z) {
            (1, _, _) => 1.0,
            (2, 3, 0) => 2.0,
            _ => 0.0,
        });
        let atlas = Atlas::from_volume(&Volume::new(labels, affine()).unwrap()).unwrap();
        (Bold::new(data, affine(), 2.0).unwrap(), atlas)
    }

    #[test]
    fn slices_lie_where_most_parcels_are_and_left_is_left() {
        let (run, atlas) = run();
        let config = ExtractConfig::default();
        let looked = Looked::new(&run, &atlas, &config);
        let series = atlas.extract(&looked, &config, None).unwrap();
        assert_eq!(series, atlas.extract(&run, &config, None).unwrap(), "nothing is changed");
        let slices = looked.slices();
        let pixels =
            |of: fn(&Slice) -> &Vec<u8>| slices.iter().flat_map(of).copied().collect::<Vec<_>>();
        let (grey, edges) = (pixels(|it| &it.grey), pixels(|it| &it.edges));
        let facts = Slice::facts(&slices);
        assert_eq!(Slice::of_facts(&facts, &grey, &edges).unwrap(), slices);
        assert!(Slice::of_facts(&facts, &grey[1..], &edges).is_none());
        let facts: Vec<_> = slices.iter().map(|it| (it.across, it.place_mm, it.shape)).collect();
        // x = 1 lies at 4 − 2 mm, y = 3 at −1 + 9 mm, z = 0 at 10 mm
        assert_eq!(facts, [(0, 2.0, [4, 2]), (1, 8.0, [3, 2]), (2, 10.0, [3, 4])]);
        assert_eq!(slices[2].zooms_mm, [2.0, 3.0]);
        let [low, high] = slices[0].window;
        let shown =
            |mean: f64| (255.0 * ((mean - low) / (high - low)).clamp(0.0, 1.0)).round() as u8;
        // the axial slice from the front: x runs from 2 to 0, y from 3 to 0; means are half above the first frame
        let axial = &slices[2].grey;
        assert_eq!(axial[..3], [shown(230.5), shown(130.5), 0]);
        assert_eq!(axial[9..], [shown(200.5), shown(100.5), 0]);
        // the sagittal slice from the top: z = 1
        assert_eq!(slices[0].grey[..2], [shown(101.5), shown(111.5)]);
        // parcel 2 borders on parcel 1 and, below, on none; data end at x = 0
        let edges = &slices[2].edges;
        assert_eq!(edges[0], EDGE_OF_PARCEL);
        assert_eq!(edges[1], EDGE_OF_PARCEL + EDGE_OF_DATA);
        assert_eq!(edges[2], 0);
    }
}
