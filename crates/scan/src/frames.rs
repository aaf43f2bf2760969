//! Runs frame by frame: from a file without ever holding it, or from memory.
//!
//! ```text
//! file ── one thread reads and decompresses ─→ frame, frame, … ─→ whoever needs all voxels or some
//! ```

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use ndarray::Axis;

use crate::{
    bold::Bold,
    error::{Error, Result},
    footprint::Footprint,
    geometry::Grid,
    nii::{
        Decoder, Header, ReadOptions, Source, Stretch, add_up, checked_affine, n_nonfinite, open,
        repetition_time, sized, t_r_field,
    },
};

/// Frames read ahead while one is worked on.
const AHEAD: usize = 2;

/// What a decompressor and its input take, and then some.
const DECOMPRESSOR_BYTES: u64 = 1 << 20;

/// A run that hands out its frames in order, as often as it is asked.
pub trait Frames {
    /// Where the voxels are.
    fn grid(&self) -> &Grid;

    /// Number of frames.
    fn n_frames(&self) -> usize;

    /// Seconds between two frames.
    fn t_r(&self) -> f64;

    /// The file, or words for a run that came from none; for sentences.
    fn name(&self) -> String;

    /// Shows every frame once, first to last; stops at the first error.
    fn each(&self, visit: &mut dyn FnMut(usize, Frame<'_>) -> Result<()>) -> Result<()>;
}

/// One image of a run, `(x, y, z)` with x fastest as in a file; values are made when asked for.
#[derive(Clone, Copy)]
pub struct Frame<'a>(Stored<'a>);

#[derive(Clone, Copy)]
enum Stored<'a> {
    Bytes(&'a [u8], Decoder),
    /// A row-major run and the index of a frame in it.
    Run(&'a Bold, usize),
    /// What something was done to.
    Values(&'a [f64]),
}

impl<'a> Frame<'a> {
    /// Values in memory, x fastest.
    pub(crate) fn of(values: &'a [f64]) -> Self {
        Self(Stored::Values(values))
    }

    /// All values, as many as the grid has voxels.
    pub fn read(&self, out: &mut [f64]) {
        match self.0 {
            Stored::Bytes(bytes, decoder) => decoder.all(bytes, out),
            Stored::Run(bold, frame) => {
                let frame = bold.data().index_axis(Axis(3), frame);
                out.iter_mut().zip(frame.t()).for_each(|(to, &x)| *to = x.into());
            }
            Stored::Values(values) => out.copy_from_slice(values),
        }
    }

    /// The values of some voxels, given by their position with x fastest.
    pub fn read_at(&self, voxels: &[usize], out: &mut [f64]) {
        match self.0 {
            Stored::Bytes(bytes, decoder) => decoder.some(bytes, voxels, out),
            Stored::Run(bold, frame) => {
                let frame = bold.data().index_axis(Axis(3), frame);
                let (nx, ny, _) = frame.dim();
                for (to, &voxel) in out.iter_mut().zip(voxels) {
                    *to = frame[[voxel % nx, voxel / nx % ny, voxel / (nx * ny)]].into();
                }
            }
            Stored::Values(values) => {
                out.iter_mut().zip(voxels).for_each(|(to, &voxel)| *to = values[voxel]);
            }
        }
    }

    /// How many values of the stretches are not finite.
    pub(crate) fn n_nonfinite(&self, stretches: &[Stretch]) -> usize {
        match self.0 {
            Stored::Bytes(bytes, decoder) => decoder.n_nonfinite(bytes, stretches),
            Stored::Run(bold, frame) => {
                let frame = bold.data().index_axis(Axis(3), frame);
                let (nx, ny, _) = frame.dim();
                let value = |voxel: usize| frame[[voxel % nx, voxel / nx % ny, voxel / (nx * ny)]];
                n_nonfinite(|voxel| value(voxel).is_finite(), stretches)
            }
            Stored::Values(values) => n_nonfinite(|voxel| values[voxel].is_finite(), stretches),
        }
    }

    /// Adds the values of each stretch of voxels to its sum; what is not finite counts as 0.
    pub(crate) fn add_up(&self, stretches: &[Stretch], sums: &mut [f64]) {
        match self.0 {
            Stored::Bytes(bytes, decoder) => decoder.add_up(bytes, stretches, sums),
            Stored::Run(bold, frame) => {
                let frame = bold.data().index_axis(Axis(3), frame);
                let (nx, ny, _) = frame.dim();
                let value = |voxel: usize| {
                    f64::from(frame[[voxel % nx, voxel / nx % ny, voxel / (nx * ny)]])
                };
                add_up(value, stretches, sums);
            }
            Stored::Values(values) => add_up(|voxel| values[voxel], stretches, sums),
        }
    }
}

/// A run in a file: its header is checked, its voxels are read when frames are asked for.
#[derive(Clone, Debug)]
pub struct BoldFile {
    path: PathBuf,
    header: Header,
    grid: Grid,
    n_frames: usize,
    t_r: f64,
}

impl BoldFile {
    /// Reads and checks the header, as [`read_bold`](crate::read_bold) does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// Reads and checks the header, with what the caller knows better.
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        let (_, header) = open(path)?;
        let [x, y, z, n_frames] = sized(path, &header)?;
        let grid = Grid { shape: [x, y, z], affine: checked_affine(path, &header)? };
        let t_r = match options.t_r {
            Some(t_r) if t_r.is_finite() && t_r > 0.0 => t_r,
            Some(found) => return Err(Error::BadRepetitionTime { found }),
            None => repetition_time(&header)
                .map(|(t_r, _)| t_r)
                .map_err(|problem| Error::RepetitionTime { path: path.to_path_buf(), problem })?,
        };
        Ok(Self { path: path.to_path_buf(), header, grid, n_frames, t_r })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the header claims, and what [`Frames::each`] holds at once.
    pub fn footprint(&self) -> Footprint {
        let n_voxels = self.grid.n_voxels() as u64;
        let n_bytes = self.header.n_bytes() as u64 / self.n_frames as u64;
        Footprint {
            n_voxels,
            n_values: n_voxels * self.n_frames as u64,
            n_bytes: (AHEAD as u64 + 2) * n_bytes + DECOMPRESSOR_BYTES,
        }
    }

    /// Where the header has the repetition time.
    pub(crate) fn t_r_source(&self) -> String {
        let unit = repetition_time(&self.header).map_or("no unit", |(_, unit)| unit);
        format!("{} in {unit}", t_r_field(&self.header))
    }
}

impl Frames for BoldFile {
    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn n_frames(&self) -> usize {
        self.n_frames
    }

    fn t_r(&self) -> f64 {
        self.t_r
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn each(&self, visit: &mut dyn FnMut(usize, Frame<'_>) -> Result<()>) -> Result<()> {
        let (source, header) = open(&self.path)?;
        if (header.n_bytes(), &header.dims) != (self.header.n_bytes(), &self.header.dims) {
            return Err(Error::Changed { path: self.path.clone() });
        }
        let decoder = Decoder::of(&header);
        let (give, frames) = sync_channel(AHEAD);
        let (back, spent) = sync_channel(AHEAD + 1);
        std::thread::scope(|scope| {
            // Both ends live here: when a visit fails, the reader must not wait for anybody.
            let (frames, back) = (frames, back);
            let (header, n_frames) = (&header, self.n_frames);
            scope.spawn(move || read_ahead(source, header, n_frames, give, spent));
            for index in 0..self.n_frames {
                let bytes = frames.recv().expect("the reader sends every frame or an error")?;
                visit(index, Frame(Stored::Bytes(&bytes, decoder)))?;
                // The reader is gone after the last frame; its buffers are not missed.
                let _ = back.send(bytes);
            }
            // What follows the last frame is the checksum of a compressed stream.
            drop(back);
            frames.recv().unwrap_or(Ok(Vec::new())).map(|_| ())
        })
    }
}

/// Sends each frame's bytes, reusing what comes back; ends early when nobody listens.
fn read_ahead(
    mut source: Source,
    header: &Header,
    n_frames: usize,
    give: SyncSender<Result<Vec<u8>>>,
    spent: Receiver<Vec<u8>>,
) {
    let n_bytes = header.n_bytes() as usize / n_frames;
    let decoder = Decoder::of(header);
    for index in 0..n_frames {
        let reused = if index > AHEAD { spent.recv().ok() } else { None };
        let mut bytes = reused.unwrap_or_default();
        let read = match bytes.len() {
            0 => source.take(n_bytes, header.promised()).map(|first| bytes = first),
            _ => source.fill_all(&mut bytes, header.promised()),
        };
        decoder.reorder(&mut bytes);
        let failed = read.is_err();
        if give.send(read.map(|()| bytes)).is_err() || failed {
            return;
        }
    }
    if let Err(error) = source.finish() {
        // Nobody listens to a run that was given up.
        let _ = give.send(Err(error));
    }
}

impl Frames for Bold {
    fn grid(&self) -> &Grid {
        Self::grid(self)
    }

    fn n_frames(&self) -> usize {
        Self::n_frames(self)
    }

    fn t_r(&self) -> f64 {
        Self::t_r(self)
    }

    fn name(&self) -> String {
        Self::name(self)
    }

    fn each(&self, visit: &mut dyn FnMut(usize, Frame<'_>) -> Result<()>) -> Result<()> {
        (0..Self::n_frames(self))
            .try_for_each(|frame| visit(frame, Frame(Stored::Run(self, frame))))
    }
}
