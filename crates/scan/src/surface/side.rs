//! The series of one hemisphere in one file.

use std::path::{Path, PathBuf};

use super::{
    gifti::{self, Gifti},
    hemisphere::Hemisphere,
    layout::Layout,
};
use crate::{
    dense::Part,
    error::{Error, Result, brief},
    nii::{self, Header, PLAUSIBLE_S},
    tables::SeriesAxes,
};

/// What a file says of its series.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    path: PathBuf,
    hemisphere: Hemisphere,
    layout: Layout,
    content: Content,
}

/// A file by its form.
#[derive(Clone, Debug)]
enum Content {
    Gifti(Gifti),
    /// `FreeSurfer`'s image of one voxel a vertex.
    Mgh(Header),
}

impl Side {
    pub(super) fn open(path: &Path) -> Result<Self> {
        if is_mgh(path)? {
            return Self::open_mgh(path);
        }
        let refuse = |problem| Error::Gifti { path: path.to_path_buf(), problem };
        let file = gifti::read(path, |_, _, _| Ok(()))?;
        let layout = Layout::of(&file).map_err(refuse)?;
        let hemisphere = hemisphere(path, &file).map_err(refuse)?;
        Ok(Self { path: path.to_path_buf(), hemisphere, layout, content: Content::Gifti(file) })
    }

    fn open_mgh(path: &Path) -> Result<Self> {
        let (_, header) = nii::open(path)?;
        let refuse = |problem| Error::Surface { path: path.to_path_buf(), problem };
        let hemisphere = Hemisphere::of_name(path).ok_or_else(|| refuse(UNNAMED.to_owned()))?;
        let n_frames = header.dims.get(3).copied().unwrap_or(1);
        let layout = Layout::Frames { n_vertices: header.dims[0], n_frames };
        Ok(Self { path: path.to_path_buf(), hemisphere, layout, content: Content::Mgh(header) })
    }

    pub(super) fn hemisphere(&self) -> Hemisphere {
        self.hemisphere
    }

    pub(super) fn n_vertices(&self) -> usize {
        self.layout.n_vertices()
    }

    pub(super) fn n_frames(&self) -> usize {
        self.layout.n_frames()
    }

    /// Seconds between two frames and where it stands, or what is wrong.
    pub(super) fn t_r(&self) -> Result<(f64, String), String> {
        match &self.content {
            Content::Gifti(file) => repetition_time(file),
            Content::Mgh(header) => {
                let said = nii::repetition_time(header);
                said.map(|(t_r, unit)| (t_r, format!("{} in {unit}", nii::t_r_field(header))))
            }
        }
    }

    /// The most bytes that reading the values takes: the text, what base64 stands for, and one array as
    /// it is stored and widened.
    pub(super) fn n_bytes(&self) -> u64 {
        let array = |n: usize, width: usize| (n * (width + 8)) as u64;
        match &self.content {
            Content::Gifti(file) => {
                let arrays = file.arrays.iter().map(|it| array(it.n_values(), it.dtype.size_of()));
                2 * file.n_bytes + arrays.max().unwrap_or(0)
            }
            Content::Mgh(header) => array(self.n_vertices(), header.dtype.size_of()) + (1 << 20),
        }
    }

    /// Shows all values, a frame or the series of a vertex at a time.
    pub(super) fn each(&self, visit: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        match &self.content {
            Content::Gifti(file) => self.each_of_gifti(file, visit),
            Content::Mgh(header) => self.each_of_mgh(header, visit),
        }
    }

    fn each_of_mgh(&self, expected: &Header, visit: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        let (mut source, header) = nii::open(&self.path)?;
        if (&header.dims, header.dtype) != (&expected.dims, expected.dtype) {
            return Err(Error::Changed { path: self.path.clone() });
        }
        let decoder = nii::Decoder::of(&header);
        let mut values = vec![0.0; self.n_vertices()];
        let mut bytes = source.take(values.len() * header.dtype.size_of(), header.promised())?;
        for frame in 0..self.n_frames() {
            if frame > 0 {
                source.fill_all(&mut bytes, header.promised())?;
            }
            decoder.reorder(&mut bytes);
            decoder.all(&bytes, &mut values);
            visit(Part::Frame { frame, first: 0, values: &values });
        }
        source.finish()
    }

    fn each_of_gifti(&self, file: &Gifti, visit: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        let seen = gifti::read(&self.path, |index, array, text| {
            if file.arrays.get(index) != Some(array) {
                return Ok(());
            }
            let values = array.values(text)?;
            match self.layout {
                Layout::One { n_vertices, n_frames, is_vertex_first } => {
                    if is_vertex_first == array.is_column_major {
                        let frames = values.chunks_exact(n_vertices).enumerate();
                        frames.for_each(|(at, values)| {
                            visit(Part::Frame { frame: at, first: 0, values });
                        });
                    } else {
                        let series = values.chunks_exact(n_frames).enumerate();
                        series.for_each(|(at, values)| visit(Part::Place { place: at, values }));
                    }
                }
                _ => visit(Part::Frame { frame: index, first: 0, values: &values }),
            }
            Ok(())
        })?;
        if seen.arrays != file.arrays {
            return Err(Error::Changed { path: self.path.clone() });
        }
        Ok(())
    }
}

/// Seconds between two frames and where a file says it, or what is wrong.
pub(super) fn repetition_time(file: &Gifti) -> Result<(f64, String), String> {
    let Some(text) = &file.time_step else {
        return Err("the GIFTI file does not say it (no TimeStep)".to_owned());
    };
    let stored: f64 = text.parse().unwrap_or(f64::NAN);
    // `FreeSurfer` writes milliseconds; no number is a repetition time in both units
    let units = [("s", stored), ("ms", stored / 1e3)];
    let fits = units.into_iter().find(|(_, seconds)| PLAUSIBLE_S.contains(seconds));
    let (unit, seconds) = fits.ok_or_else(|| {
        let (short, long) = (PLAUSIBLE_S.start(), PLAUSIBLE_S.end());
        format!("TimeStep is {:?}, expected {short} to {long} s, or as many ms", brief(text))
    })?;
    Ok((seconds, format!("TimeStep of the GIFTI metadata in {unit}")))
}

/// Which hemisphere metadata and name say.
pub(super) fn hemisphere(path: &Path, file: &Gifti) -> Result<Hemisphere, String> {
    let said = file.structure.as_deref().map(Hemisphere::of_structure).transpose()?;
    match (said, Hemisphere::of_name(path)) {
        (Some(said), Some(named)) if said != named => {
            let (said, named) = (said.name(), named.name());
            Err(format!("its metadata say it is of the {said}, its name says the {named}"))
        }
        (Some(side), _) | (None, Some(side)) => Ok(side),
        (None, None) => Err(unknown_side()),
    }
}

/// What is wrong with a file that can say its hemisphere by its name only.
pub(super) const UNNAMED: &str =
    "its name does not say which hemisphere it is of, expected `lh.` or `hemi-L` in it";

/// Whether a file of the cortex is no GIFTI.
pub(crate) fn is_mgh(path: &Path) -> Result<bool> {
    let mut start = [0; 4];
    let mut source = nii::Source::open(path)?;
    source.fill(&mut start)?;
    Ok(start == nii::MGH_MAGIC)
}

/// A sentence about a file that is of some hemisphere.
pub(super) fn unknown_side() -> String {
    "neither its name nor its metadata say which hemisphere it is of, expected `hemi-L` or `lh.` in the \
     name, or AnatomicalStructurePrimary"
        .to_owned()
}

/// Decides which axis is time where the counts of one file left it open.
pub(super) fn settle(sides: &mut [Side], axes: Option<SeriesAxes>) -> Result<()> {
    if let [left, right] = sides {
        [left.layout, right.layout] = Layout::joined(left.layout, right.layout);
    }
    for side in sides {
        side.layout = side.layout.with(axes);
        if let Layout::Open([rows, columns]) = side.layout {
            let problem = format!(
                "its one array is {rows} × {columns}, and either axis may be time; give `axes`, \
                 `time_parcels` or `parcels_time`, or write one array a frame"
            );
            return Err(Error::Axes { path: side.path.clone(), problem });
        }
    }
    Ok(())
}

/// Refuses two hemispheres that are of two runs.
pub(super) fn agree(left: &Side, right: &Side) -> Result<()> {
    let refuse = |problem: String| Err(Error::Surface { path: right.path.clone(), problem });
    if left.hemisphere == right.hemisphere {
        let side = left.hemisphere.name();
        return refuse(format!("is of the {side}, as the file of the other side beside it"));
    }
    let (found, expected) = (right.n_frames(), left.n_frames());
    if found != expected {
        return refuse(format!("has {found} frames, the left hemisphere beside it {expected}"));
    }
    match (left.t_r(), right.t_r()) {
        (Ok((expected, _)), Ok((found, _))) if found != expected => refuse(format!(
            "has a frame every {found} s, the left hemisphere beside it every {expected} s"
        )),
        _ => Ok(()),
    }
}
