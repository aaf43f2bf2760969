//! One dataset: what it is, whether it can be read, and its numbers.

use std::{cell::OnceCell, sync::Arc};

use hdf5::{
    Hyperslab, SliceOrIndex,
    dataset::Layout,
    filters::Filter,
    types::{FloatSize, IntSize, Reference, TypeDescriptor},
};
use ndarray::{ArrayD, IxDyn};

use super::{attributes::Attribute, chunks::Heavy, file::Hdf5File};
use crate::{
    error::{Error, Result},
    nii::MAX_BYTES,
};

/// Values that a small file may promise: of chunks that were never written, all are the same.
pub(super) const ALWAYS_ALLOWED: u64 = 256 << 20;

/// Deflate packs at most 258 bytes into 2 bits.
pub(super) const MAX_DEFLATE_RATIO: u64 = 1032;

/// A dataset of an open file.
pub(crate) struct Dataset<'a> {
    pub(super) file: &'a Hdf5File,
    pub(super) name: String,
    pub(super) inner: hdf5::Dataset,
    /// Sizes in MATLAB's order where MATLAB wrote it, else in the file's.
    shape: Vec<usize>,
    pub(super) matlab_class: Option<String>,
    checked: OnceCell<Arc<Heavy>>,
}

impl<'a> Dataset<'a> {
    pub(super) fn new(file: &'a Hdf5File, name: &str, inner: hdf5::Dataset) -> Result<Self> {
        let name = name.trim_matches('/').to_owned();
        let shape = inner.space().map(|space| (space.is_null(), space.shape()));
        let (is_null, mut shape) =
            shape.map_err(|error| file.failed(&name, "has no shape", &error))?;
        if is_null {
            return Err(file.refuse(&name, "holds nothing: its dataspace is null"));
        }
        let attributes = file.attributes_of(&name, &inner)?;
        let class = attributes.into_iter().find(|(name, _)| name == "MATLAB_class");
        let matlab_class = class.and_then(|(_, class)| class.text());
        if matlab_class.is_some() {
            shape.reverse();
        }
        Ok(Self { file, name, inner, shape, matlab_class, checked: OnceCell::new() })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn attributes(&self) -> Result<Vec<(String, Attribute)>> {
        self.file.attributes_of(&self.name, &self.inner)
    }

    /// How an element is stored: `float32`, `int16 big-endian`, `text`, …; an error names what is
    /// not known.
    pub(super) fn type_words(&self) -> String {
        let Ok(dtype) = self.inner.dtype() else { return "of an unknown type".to_owned() };
        let words = dtype.to_descriptor().map(|descriptor| element(&descriptor));
        let words = words.unwrap_or_else(|_| "of a type that is not read".to_owned());
        let is_big = dtype.byte_order() == hdf5::datatype::ByteOrder::BigEndian;
        if is_big && dtype.size() > 1 { format!("{words} big-endian") } else { words }
    }

    /// The type of an element, where it is known at all.
    pub(super) fn descriptor(&self) -> Result<TypeDescriptor> {
        let descriptor = self.inner.dtype().and_then(|dtype| dtype.to_descriptor());
        descriptor.map_err(|_| self.refuse("is of a type that is not read, expected numbers"))
    }

    /// Whether its elements are numbers.
    pub(super) fn is_numeric(&self) -> bool {
        use TypeDescriptor as T;
        let numeric = |descriptor: &T| {
            matches!(
                descriptor,
                T::Integer(_) | T::Unsigned(_) | T::Float(_) | T::Boolean | T::Enum(_)
            )
        };
        self.descriptor().is_ok_and(|descriptor| numeric(&descriptor))
    }

    /// All values, widened.
    pub(crate) fn values(&self) -> Result<ArrayD<f64>> {
        let all: Vec<SliceOrIndex> = self.inner.shape().iter().map(|&n| (0..n).into()).collect();
        self.selected(all)
    }

    /// The values at one position of an axis, which is dropped.
    pub(crate) fn at(&self, axis: usize, index: usize) -> Result<ArrayD<f64>> {
        self.range(axis, index..index + 1).map(|slab| slab.index_axis_move(ndarray::Axis(axis), 0))
    }

    /// The values at some positions of an axis.
    pub(crate) fn range(&self, axis: usize, range: std::ops::Range<usize>) -> Result<ArrayD<f64>> {
        let shape = self.inner.shape();
        let axis = if self.matlab_class.is_some() { shape.len() - 1 - axis } else { axis };
        let part = shape
            .iter()
            .enumerate()
            .map(|(this, &n)| if this == axis { range.clone().into() } else { (0..n).into() });
        self.selected(part.collect())
    }

    fn selected(&self, part: Vec<SliceOrIndex>) -> Result<ArrayD<f64>> {
        if !self.is_numeric() {
            let found = self.type_words();
            return Err(self.refuse(&format!("holds {found}, expected numbers")));
        }
        let mut shape: Vec<usize> = part.iter().map(count).collect();
        let heavy = self.check_storage()?;
        self.check_size(&shape)?;
        self.try_chunks(heavy, Some(&part))?;
        let values: Vec<f64> = if shape.contains(&0) {
            Vec::new()
        } else {
            let failed = |error| self.file.failed(&self.name, "cannot be read", &error);
            if shape.is_empty() {
                self.inner.read_raw().map_err(failed)?
            } else {
                let slab = Hyperslab::from(part);
                let values: ArrayD<f64> = self.inner.read_slice(slab).map_err(failed)?;
                values.into_raw_vec_and_offset().0
            }
        };
        if self.matlab_class.is_some() {
            let values =
                ArrayD::from_shape_vec(IxDyn(&shape), values).expect("as many as selected");
            return Ok(values.reversed_axes());
        }
        shape.shrink_to_fit();
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), values).expect("as many as selected"))
    }

    /// Refuses more values than the cap, and more than a file of this size can hold.
    fn check_size(&self, shape: &[usize]) -> Result<()> {
        let width = 8_u128;
        let found = shape.iter().fold(width, |n, &size| n.saturating_mul(size as u128));
        let limit = self.most_bytes();
        if found > u128::from(limit) {
            return Err(Error::TooLarge { path: self.file.path().to_path_buf(), found, limit });
        }
        Ok(())
    }

    /// The cap, or what a file of this size can hold.
    pub(super) fn most_bytes(&self) -> u64 {
        MAX_BYTES.min(self.file.n_bytes.saturating_mul(MAX_DEFLATE_RATIO).max(ALWAYS_ALLOWED))
    }

    /// Refuses values that lie elsewhere, chunks that are too large, and filters that we lack; gives
    /// the chunks that must be tried before they are read.
    pub(super) fn check_storage(&self) -> Result<&Arc<Heavy>> {
        if let Some(heavy) = self.checked.get() {
            return Ok(heavy);
        }
        let failed = |error| self.file.failed(&self.name, "cannot be read", &error);
        let plan = self.inner.dcpl().map_err(failed)?;
        let filters = plan.get_filters().map_err(failed)?;
        let mut heavy = Heavy::default();
        match plan.get_layout().map_err(failed)? {
            Layout::Virtual => {
                let problem = "is virtual: its values lie in other datasets, which are never \
                               followed; copy them into one dataset";
                return Err(self.refuse(problem));
            }
            Layout::Contiguous if !plan.get_external().map_err(failed)?.is_empty() => {
                let problem = "has its values in another file, which is never followed; copy it \
                               with `h5repack`";
                return Err(self.refuse(problem));
            }
            Layout::Chunked => heavy = self.check_chunks(&filters)?,
            Layout::Contiguous | Layout::Compact => {}
        }
        for filter in &filters {
            if let Some(name) = missing(filter) {
                let problem = format!(
                    "is packed by {name}, which is not read; pack it anew with gzip \
                     (`h5repack -f GZIP=4`)"
                );
                return Err(self.refuse(&problem));
            }
        }
        Ok(self.checked.get_or_init(|| Arc::new(heavy)))
    }

    /// The same dataset, whose storage was checked when the file was opened: a cohort has a chunk for
    /// each of many thousand subjects.
    pub(super) fn already_checked(self, heavy: &Arc<Heavy>) -> Self {
        let _ = self.checked.set(Arc::clone(heavy));
        self
    }

    pub(super) fn refuse(&self, problem: &str) -> Error {
        self.file.refuse(&self.name, problem)
    }

    /// What packs the chunks, in the order of packing.
    pub(super) fn filter_words(&self) -> Vec<String> {
        self.inner.filters().iter().map(filter_name).collect()
    }

    /// `compact`, `contiguous`, `chunked` or `virtual`.
    pub(super) fn layout_words(&self) -> &'static str {
        match self.inner.layout() {
            Layout::Compact => "compact",
            Layout::Contiguous => "contiguous",
            Layout::Chunked => "chunked",
            Layout::Virtual => "virtual",
        }
    }

    /// Bytes of the values of a chunk; none where values lie in one piece.
    pub(super) fn chunk_bytes(&self) -> u64 {
        let width = self.inner.dtype().map_or(8, |dtype| dtype.size() as u64);
        let sizes = self.inner.chunk();
        sizes.map_or(0, |it| it.iter().fold(width, |n, &size| n.saturating_mul(size as u64)))
    }

    /// Sizes of a chunk in the order of [`shape`](Self::shape).
    pub(super) fn chunk(&self) -> Option<Vec<usize>> {
        let mut chunk = self.inner.chunk()?;
        if self.matlab_class.is_some() {
            chunk.reverse();
        }
        Some(chunk)
    }
}

fn count(part: &SliceOrIndex) -> usize {
    match *part {
        SliceOrIndex::SliceTo { start, end, .. } => end - start,
        _ => 1,
    }
}

/// The name of a filter that we do not have.
fn missing(filter: &Filter) -> Option<String> {
    match filter {
        Filter::SZip(..) | Filter::User(..) => Some(filter_name(filter)),
        _ => None,
    }
}

/// Names as registered with the HDF Group.
fn filter_name(filter: &Filter) -> String {
    match filter {
        Filter::Deflate(level) => format!("gzip {level}"),
        Filter::Shuffle => "shuffle".to_owned(),
        Filter::Fletcher32 => "fletcher32".to_owned(),
        Filter::SZip(..) => "szip".to_owned(),
        Filter::NBit => "nbit".to_owned(),
        Filter::ScaleOffset(_) => "scaleoffset".to_owned(),
        Filter::LZF => "lzf".to_owned(),
        Filter::User(id, _) => {
            let known = [
                (307, "bzip2"),
                (32001, "blosc"),
                (32004, "lz4"),
                (32008, "bitshuffle"),
                (32013, "zfp"),
                (32015, "zstd"),
                (32017, "sz"),
                (32026, "blosc2"),
            ];
            let name = known.iter().find(|(known, _)| known == id).map(|(_, name)| *name);
            name.map_or_else(|| format!("filter {id}"), |name| format!("{name} (filter {id})"))
        }
    }
}

/// What an element is, in words.
fn element(descriptor: &TypeDescriptor) -> String {
    use TypeDescriptor as T;
    let bits = |size: IntSize| 8 * (size as usize);
    match descriptor {
        T::Integer(size) => format!("int{}", bits(*size)),
        T::Unsigned(size) => format!("uint{}", bits(*size)),
        T::Float(FloatSize::U2) => "float16".to_owned(),
        T::Float(FloatSize::U4) => "float32".to_owned(),
        T::Float(FloatSize::U8) => "float64".to_owned(),
        T::Boolean => "bool".to_owned(),
        T::Enum(_) => "enum".to_owned(),
        T::Compound(record) => format!("records of {} fields", record.fields.len()),
        T::FixedArray(..) => "arrays".to_owned(),
        T::FixedAscii(_) | T::FixedUnicode(_) | T::VarLenAscii | T::VarLenUnicode => {
            "text".to_owned()
        }
        T::VarLenArray(_) => "lists of different lengths".to_owned(),
        T::Reference(Reference::Object | Reference::Region | Reference::Std) => {
            "references to objects".to_owned()
        }
    }
}
