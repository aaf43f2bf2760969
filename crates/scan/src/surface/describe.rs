//! The facts of a file of the cortex, without the free text that it carries.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{annot, gifti, hemisphere::Hemisphere, layout::Layout, side};
use crate::{
    describe::{ValueFacts, size_of_file},
    error::{Result, brief},
    kind::Kind,
    nii::dtype_name,
};

/// The facts of GIFTI or of an annotation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SurfaceDescription {
    /// The file.
    pub path: PathBuf,
    /// `gifti` or `freesurfer annotation`.
    pub format: &'static str,
    /// Size on disk in bytes.
    pub n_bytes: u64,
    /// What its numbers are: `series of 10 frames and 642 vertices`.
    pub content: String,
    /// `left hemisphere` or `right hemisphere`; none where neither name nor metadata say it.
    pub hemisphere: Option<&'static str>,
    /// The file of the other hemisphere that is read with it.
    pub other_hemisphere: Option<PathBuf>,
    /// How numbers are stored.
    pub dtype: String,
    /// `little` or `big`; none for decimal digits.
    pub byte_order: Option<&'static str>,
    /// Number of arrays.
    pub n_arrays: usize,
    /// Sizes of the first array.
    pub shape: Vec<usize>,
    /// Number of entries in the table of labels.
    pub n_labels: usize,
    /// Repetition time in seconds.
    pub t_r: Option<f64>,
    /// Where the repetition time comes from, or why there is none.
    pub t_r_source: String,
    /// Values that are NaN or infinite, and the range of the others.
    #[serde(flatten)]
    pub values: ValueFacts,
    /// Names of the metadata that hold something.
    pub private_fields: Vec<String>,
}

/// Reads a file to its last value.
pub(crate) fn describe(path: &Path) -> Result<SurfaceDescription> {
    if Kind::of(path)? == Kind::Annotation { annotation(path) } else { gifti_file(path) }
}

fn gifti_file(path: &Path) -> Result<SurfaceDescription> {
    let mut values = ValueFacts::default();
    let file = gifti::read(path, |_, array, text| {
        values.add(array.values(text)?);
        Ok(())
    })?;
    let first = file.arrays.first();
    let layout = Layout::of(&file);
    let content = match &layout {
        Ok(Layout::Open([rows, columns])) => {
            format!("one array of {rows} × {columns}, either of which may be frames or vertices")
        }
        Ok(layout) => {
            format!("series of {} frames and {} vertices", layout.n_frames(), layout.n_vertices())
        }
        Err(_) => {
            let intent = first.map_or("no array", |array| array.intent.as_str());
            format!("{} arrays, the first of {}", file.arrays.len(), brief(intent))
        }
    };
    let (t_r, t_r_source) = match (layout, side::repetition_time(&file)) {
        (Err(_), _) => (None, "no time axis".to_owned()),
        (_, Ok((t_r, source))) => (Some(t_r), source),
        (_, Err(problem)) => (None, problem),
    };
    let is_text = first.is_none_or(|array| array.encoding == super::stored::Encoding::Ascii);
    let order = |is_big: bool| if is_big { "big" } else { "little" };
    Ok(SurfaceDescription {
        path: path.to_path_buf(),
        format: "gifti",
        n_bytes: size_of_file(path)?,
        content,
        hemisphere: side::hemisphere(path, &file).ok().map(Hemisphere::name),
        other_hemisphere: other(path),
        dtype: first.map_or_else(String::new, |array| dtype_name(array.dtype)),
        byte_order: first.filter(|_| !is_text).map(|array| order(array.is_big)),
        n_arrays: file.arrays.len(),
        shape: first.map_or_else(Vec::new, |array| array.dims.clone()),
        n_labels: file.table.len(),
        t_r,
        t_r_source,
        values,
        private_fields: file.metadata.iter().map(|name| brief(name)).collect(),
    })
}

fn annotation(path: &Path) -> Result<SurfaceDescription> {
    let annot::Annotation { keys, table } = annot::read(path)?;
    let mut values = ValueFacts::default();
    values.add(keys.iter().map(|&key| f64::from(key)));
    Ok(SurfaceDescription {
        path: path.to_path_buf(),
        format: "freesurfer annotation",
        n_bytes: size_of_file(path)?,
        content: format!("labels of {} vertices", keys.len()),
        hemisphere: Hemisphere::of_name(path).map(Hemisphere::name),
        other_hemisphere: other(path),
        dtype: "colours of a table".to_owned(),
        byte_order: Some("big"),
        n_arrays: 1,
        shape: vec![keys.len()],
        n_labels: table.len(),
        t_r: None,
        t_r_source: "no time axis".to_owned(),
        values,
        private_fields: Vec::new(),
    })
}

fn other(path: &Path) -> Option<PathBuf> {
    let own = path.file_name();
    super::pair_of(path)?.into_iter().find(|it| it.file_name() != own)
}
