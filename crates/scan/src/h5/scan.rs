//! What a dataset is as a scan: its axes, its repetition time, its scale.

use std::path::Path;

use ndarray::{Array4, ArrayD, Axis};

use super::{
    attributes::Attribute, cohort::CohortFile, dataset::Dataset, file::Hdf5File, guarded,
    tree::NodeKind,
};
use crate::{
    bold::Bold,
    error::{Error, Result},
    footprint::Footprint,
    nii::MAX_BYTES,
    open::{OpenOptions, Opened, Scan, placed, plausible},
    shape::{self, Shape},
    tables::{Facts, SeriesAxes, series_of, turned},
};

/// The dataset that is read where none is named, if the file has it.
pub(super) const DEFAULT_DATASET: &str = "parcel_ts";

/// Datasets that stand beside a scan and are none.
const BESIDE: [&str; 2] = ["parcel_centres_mm", "#refs#"];

/// Names under which files keep the repetition time.
pub(crate) const T_R: [&str; 6] =
    ["TR", "t_r", "tr", "RepetitionTime", "repetition_time", "tr_seconds"];

/// Names under which files keep a factor and a summand: CF conventions, h5py users, NIfTI.
const SCALES: [(&str, &str); 3] =
    [("scale_factor", "add_offset"), ("scl_slope", "scl_inter"), ("scale", "offset")];

/// Names under which files keep those of the parcels.
const NAMES: [&str; 4] = ["parcel_names", "roi_names", "region_names", "labels"];

/// What the library takes for itself: its caches, and a buffer between two types.
const LIBRARY_BYTES: u64 = 4 << 20;

/// What the dataset that [`open_scan`] would read claims, and what reading it takes.
pub(crate) fn footprint(path: &Path, options: &OpenOptions) -> Result<Footprint> {
    guarded(path, || claimed(path, options))
}

fn claimed(path: &Path, options: &OpenOptions) -> Result<Footprint> {
    let file = Hdf5File::open(path)?;
    let dataset = file.dataset(&dataset_name(&file, options)?)?;
    let sizes: Vec<u64> = dataset.shape().iter().map(|&size| size as u64).collect();
    let product = |sizes: &[u64]| sizes.iter().fold(1_u64, |n, &size| n.saturating_mul(size));
    let n = product(&sizes);
    // packed, unpacked, and on its way through a filter
    let library = LIBRARY_BYTES + dataset.chunk_bytes().saturating_mul(3);
    let is_run = sizes.len() == 4;
    let n_frames = if is_run { sizes[options.volume_axes.to_xyzt()[3]] } else { 0 };
    let (n_values, held) = match sizes[..] {
        // in 32 bits and in our order; a slab in 64, and in 32
        [slabs, _, _, _] => (
            n,
            n.saturating_mul(8)
                .saturating_add(n.checked_div(slabs).unwrap_or(0).saturating_mul(20)),
        ),
        // one subject in 64 bits, in our order, without its padding; ids of all
        [subjects, frames, parcels] => {
            let one = product(&[frames, parcels]);
            (one, one.saturating_mul(24).saturating_add(subjects.saturating_mul(512)))
        }
        _ => (n, n.saturating_mul(16)),
    };
    let n_voxels = n.checked_div(n_frames).unwrap_or(0);
    Ok(Footprint { n_voxels, n_values, n_bytes: held.saturating_add(library) })
}

/// The shape of what [`open_scan`] would read.
pub(crate) fn shape(path: &Path, options: &OpenOptions) -> Result<Shape> {
    guarded(path, || shape_of(path, options))
}

fn shape_of(path: &Path, options: &OpenOptions) -> Result<Shape> {
    let file = Hdf5File::open(path)?;
    let name = dataset_name(&file, options)?;
    let dataset = file.dataset(&name)?;
    match *dataset.shape() {
        [a, b, c, d] => shape::run(path, [a, b, c, d], own_affine(&dataset)?, options),
        [rows, columns] => {
            let facts = facts(&dataset, f64::NAN)?;
            let axes = series_axes(&dataset, options, facts.names.as_deref())?;
            Ok(shape::series([rows, columns], turned(path, [rows, columns], axes)?))
        }
        [_, _, _] => {
            drop(dataset);
            let cohort = CohortFile::of(file, &name, options)?;
            let (n_frames, n_parcels) = (cohort.max_frames(), cohort.n_parcels());
            Ok(Shape::Cohort { n_frames, n_parcels })
        }
        _ => Err(no_scan(&dataset)),
    }
}

/// What is said of a dataset that has other axes than a scan's.
fn no_scan(dataset: &Dataset) -> Error {
    let found = format!(
        "has shape {:?}, expected (frames, parcels), (subjects, frames, parcels) or four axes of a run",
        dataset.shape()
    );
    dataset.refuse(&found)
}

/// Opens the dataset that the options name, or the only one that could be meant: two axes are a
/// series, three a cohort, four a run.
pub(crate) fn open_scan(file: Hdf5File, options: &OpenOptions) -> Result<Opened> {
    let path = file.path().to_path_buf();
    guarded(&path, || opened(file, options))
}

fn opened(file: Hdf5File, options: &OpenOptions) -> Result<Opened> {
    let name = dataset_name(&file, options)?;
    let dataset = file.dataset(&name)?;
    let n_axes = dataset.shape().len();
    if n_axes == 3 {
        drop(dataset);
        let cohort = CohortFile::of(file, &name, options)?;
        let t_r_source = cohort.t_r_source().to_owned();
        return Ok(Opened { scan: Scan::Cohort(cohort), t_r_source });
    }
    let (t_r, t_r_source) = t_r(&dataset, options)?;
    let scan = match n_axes {
        2 => {
            let values = scaled(dataset.values()?, scaling(&dataset, options)?);
            let facts = facts(&dataset, t_r)?;
            let axes = series_axes(&dataset, options, facts.names.as_deref())?;
            Scan::Series(series_of(file.path(), values, axes, facts)?)
        }
        4 => Scan::Bold(bold(&dataset, options, t_r)?),
        _ => return Err(no_scan(&dataset)),
    };
    Ok(Opened { scan, t_r_source })
}

impl Hdf5File {
    /// The dataset that [`open_scan`] would read, and its repetition time.
    pub(crate) fn default_dataset(
        &self,
        options: &OpenOptions,
    ) -> Result<(String, Result<(f64, String)>)> {
        guarded(self.path(), || {
            let name = dataset_name(self, options)?;
            let t_r = t_r(&self.dataset(&name)?, options);
            Ok((name, t_r))
        })
    }
}

/// The dataset to read.
fn dataset_name(file: &Hdf5File, options: &OpenOptions) -> Result<String> {
    if let Some(name) = &options.dataset {
        return Ok(name.clone());
    }
    if file.dataset_if_any(DEFAULT_DATASET)?.is_some() {
        return Ok(DEFAULT_DATASET.to_owned());
    }
    let nodes = file.nodes()?;
    let could_be = |kind: &NodeKind| match kind {
        NodeKind::Dataset { shape, dtype, .. } => {
            (2..=4).contains(&shape.len())
                && shape.iter().filter(|&&n| n > 1).count() >= 2
                && (dtype.starts_with("float") || dtype.contains("int"))
        }
        _ => false,
    };
    let beside = |path: &str| path.split('/').any(|part| BESIDE.contains(&part));
    let mut found = nodes.iter().filter(|node| could_be(&node.kind) && !beside(&node.path));
    match (found.next(), found.count()) {
        (Some(only), 0) => Ok(only.path.clone()),
        (first, n) => {
            let n = n + usize::from(first.is_some());
            let problem = format!(
                "holds {n} datasets that could be the scan; name one with `dataset` \
                 (`scan inspect` lists them)"
            );
            Err(Error::Hdf5 { path: file.path().to_path_buf(), problem })
        }
    }
}

/// Which axis of the last two is time: as given, as the file says, or by the names of the parcels.
pub(super) fn series_axes(
    dataset: &Dataset,
    options: &OpenOptions,
    names: Option<&[String]>,
) -> Result<SeriesAxes> {
    let said = axis_order(dataset)?;
    match options.axes {
        Some(SeriesAxes::ByParcels(n)) => {
            let sizes = &dataset.shape()[dataset.shape().len() - 2..];
            let square = sizes[0] == n && sizes[1] == n;
            Ok(said.filter(|_| square).unwrap_or(SeriesAxes::ByParcels(n)))
        }
        Some(axes) => Ok(axes),
        None => said.or_else(|| names.map(|names| SeriesAxes::ByParcels(names.len()))).ok_or_else(|| {
            let problem = format!(
                "/{}: which axis is time is not said; give `axes`, for example `time_parcels` or \
                 `by_parcels: 424`",
                dataset.name
            );
            Error::Axes { path: dataset.file.path().to_path_buf(), problem }
        }),
    }
}

/// The attribute `axis_order`, such as `parcels,time`.
fn axis_order(dataset: &Dataset) -> Result<Option<SeriesAxes>> {
    let attributes = dataset.attributes()?;
    let said = attributes.iter().find(|(name, _)| name == "axis_order");
    let Some(said) = said.and_then(|(_, value)| value.text()) else { return Ok(None) };
    let words: Vec<&str> = said
        .split([',', ' '])
        .filter(|word| !word.is_empty() && !word.starts_with("subj"))
        .collect();
    let is_time = |word: &str| word.starts_with("time") || word.starts_with("frame") || word == "t";
    Ok(match words[..] {
        [first, second] if is_time(first) && !is_time(second) => Some(SeriesAxes::TimeParcels),
        [first, second] if is_time(second) && !is_time(first) => Some(SeriesAxes::ParcelsTime),
        _ => None,
    })
}

/// Repetition time in seconds and where it comes from: given, an attribute of the dataset or of a
/// group around it, or a dataset beside it.
pub(super) fn t_r(dataset: &Dataset, options: &OpenOptions) -> Result<(f64, String)> {
    let path = || dataset.file.path().to_path_buf();
    if let Some(t_r) = options.given_t_r()? {
        return Ok((t_r, "given".to_owned()));
    }
    let Some((stored, unit, place)) = stored_t_r(dataset)? else {
        let problem = "the file does not say it, so it must be given (`t_r`)".to_owned();
        return Err(Error::RepetitionTime { path: path(), problem });
    };
    let seconds = stored * if unit == "ms" { 1e-3 } else { 1.0 };
    plausible(seconds).map_err(|problem| Error::RepetitionTime {
        path: path(),
        problem: format!("{place} is {stored} {unit}, {problem}"),
    })?;
    Ok((seconds, format!("{place} in {unit}")))
}

/// The number, its unit, and the words for its place.
fn stored_t_r(dataset: &Dataset) -> Result<Option<(f64, &'static str, String)>> {
    let file = dataset.file;
    let unit = |attributes: &[(String, Attribute)]| {
        let unit = attributes.iter().find(|(name, _)| name == "units" || name == "time_units");
        let unit = unit.and_then(|(_, unit)| unit.text()).unwrap_or_default();
        if ["ms", "msec", "milliseconds"].contains(&unit.as_str()) { "ms" } else { "s" }
    };
    let among = |attributes: &[(String, Attribute)]| {
        T_R.iter().find_map(|name| {
            let (_, value) = attributes.iter().find(|(found, _)| found == name)?;
            Some((value.number()?, unit(attributes), *name))
        })
    };
    if let Some((t_r, unit, name)) = among(&dataset.attributes()?) {
        return Ok(Some((t_r, unit, format!("attribute {name} of the dataset"))));
    }
    for group in Hdf5File::groups_of(&dataset.name) {
        if let Some((t_r, unit, name)) = among(&file.attributes(&group)?) {
            return Ok(Some((t_r, unit, format!("attribute {name} of a group"))));
        }
        for name in T_R {
            let beside = file.dataset_if_any(&format!("{group}/{name}"))?;
            let Some(beside) = beside.filter(Dataset::is_numeric) else { continue };
            if beside.shape().iter().product::<usize>() == 1 {
                let t_r = beside.values()?.first().copied().unwrap_or(f64::NAN);
                return Ok(Some((t_r, unit(&beside.attributes()?), format!("dataset {name}"))));
            }
        }
    }
    Ok(None)
}

/// Factor and summand of the stored numbers, if attributes say so and the options do not forbid.
pub(super) fn scaling(dataset: &Dataset, options: &OpenOptions) -> Result<Option<(f64, f64)>> {
    if options.stored_numbers {
        return Ok(None);
    }
    let attributes = dataset.attributes()?;
    let number = |name: &str| {
        let Some((_, value)) = attributes.iter().find(|(found, _)| found == name) else {
            return Ok(None);
        };
        let refuse = || {
            let problem = format!(
                "has an attribute {name} that is not one number; `stored_numbers: true` leaves it out"
            );
            dataset.refuse(&problem)
        };
        value.number().map(Some).ok_or_else(refuse)
    };
    for (factor, summand) in SCALES {
        let (slope, inter) = match (number(factor)?, number(summand)?) {
            (None, None) => continue,
            (slope, inter) => (slope.unwrap_or(1.0), inter.unwrap_or(0.0)),
        };
        if slope == 0.0 || !slope.is_finite() || !inter.is_finite() {
            let problem = format!(
                "is scaled by {factor} {slope} and {summand} {inter}, expected finite numbers and \
                 a factor other than 0; `stored_numbers: true` leaves them out"
            );
            return Err(dataset.refuse(&problem));
        }
        return Ok(Some((slope, inter)));
    }
    Ok(None)
}

pub(super) fn scaled(mut values: ArrayD<f64>, scaling: Option<(f64, f64)>) -> ArrayD<f64> {
    if let Some((slope, inter)) = scaling {
        values.mapv_inplace(|x| x * slope + inter);
    }
    values
}

/// What stands beside a series: names, labels, places of its parcels.
pub(super) fn facts(dataset: &Dataset, t_r: f64) -> Result<Facts> {
    let file = dataset.file;
    let mut facts = Facts { t_r, ..Facts::default() };
    let groups = Hdf5File::groups_of(&dataset.name);
    let Some(group) = groups.first() else { return Ok(facts) };
    let beside = |name: &str| file.dataset_if_any(&format!("{group}/{name}"));
    let n_possible = &dataset.shape()[dataset.shape().len() - 2..];
    for name in NAMES {
        let Some(names) = beside(name)? else { continue };
        let n: usize = names.shape().iter().product();
        if n_possible.contains(&n) && !names.is_numeric_series() {
            facts.names = Some(names.texts()?);
            break;
        }
    }
    let numbers = |name: &str| beside(name)?.map(|found| found.values()).transpose();
    if facts.names.is_some() {
        facts.labels = numbers("parcel_labels")?
            .map(|labels| labels.iter().map(|&label| label as i32).collect());
        facts.centres = numbers("parcel_centres_mm")?.map(|centres| {
            centres.iter().copied().collect::<Vec<f64>>().as_chunks::<3>().0.to_vec()
        });
        facts.lost = numbers("lost_labels")?
            .map_or_else(Vec::new, |lost| lost.iter().map(|&label| label as i32).collect());
    }
    Ok(facts)
}

impl Dataset<'_> {
    /// Whether it holds numbers that are no MATLAB characters.
    fn is_numeric_series(&self) -> bool {
        self.is_numeric() && self.matlab_class.as_deref() != Some("char")
    }
}

/// The rows from voxels to mm that an attribute of a dataset holds.
fn own_affine(dataset: &Dataset) -> Result<Option<[[f64; 4]; 4]>> {
    let attributes = dataset.attributes()?;
    Ok(attributes.iter().find(|(name, _)| name == "affine").and_then(|(_, value)| {
        let Attribute::Numbers(numbers) = value else { return None };
        let rows: [[f64; 4]; 4] = numbers.as_chunks::<4>().0.try_into().ok()?;
        (numbers.len() == 16).then_some(rows)
    }))
}

/// Four axes as a run in memory, read along the first axis so that 64 bits are never held for all.
fn bold(dataset: &Dataset, options: &OpenOptions, t_r: f64) -> Result<Bold> {
    let path = dataset.file.path();
    let own = own_affine(dataset)?;
    let shape: [usize; 4] = dataset.shape().try_into().expect("four axes");
    let affine = placed(path, own, options)?;
    let found = shape.iter().fold(4_u128, |n, &size| n.saturating_mul(size as u128));
    if found > u128::from(MAX_BYTES) {
        return Err(Error::TooLarge { path: path.to_path_buf(), found, limit: MAX_BYTES });
    }
    let scaling = scaling(dataset, options)?;
    // The first slab is refused before the whole is allocated.
    let mut data: Option<Array4<f32>> = None;
    for index in 0..shape[0] {
        let slab = scaled(dataset.at(0, index)?, scaling);
        let slab = slab.into_dimensionality::<ndarray::Ix3>().expect("three axes are left");
        let whole = data.get_or_insert_with(|| Array4::zeros(shape));
        whole.index_axis_mut(Axis(0), index).assign(&slab.mapv(|x| x as f32));
    }
    let data = data.unwrap_or_else(|| Array4::zeros(shape));
    let data = data.permuted_axes(options.volume_axes.to_xyzt());
    let bold = Bold::new(data, affine, t_r)?.with_path(path);
    options.check_grid(path, bold.grid_shape())?;
    Ok(bold)
}
