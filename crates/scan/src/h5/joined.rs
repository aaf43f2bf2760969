//! Datasets of one file whose parcels stand side by side, as Brain-Semantoks keeps its atlases:
//! `timeseries/schaefer400`, `timeseries/tian3` and `timeseries/buckner7`, each (recording, parcel, time).
//!
//! Source: Brain-Semantoks @5208f40, `data/dataset.py`.

use std::sync::Arc;

use super::{
    chunks::Heavy,
    dataset::Dataset,
    file::Hdf5File,
    scan::{scaled, scaling},
};
use crate::{
    error::{Error, Result},
    open::OpenOptions,
    tables::SeriesAxes,
};
use ndarray::{ArrayD, Axis, concatenate};

/// A dataset whose parcels follow those of the one before.
#[derive(Clone, Debug)]
pub(super) struct Part {
    name: String,
    heavy: Arc<Heavy>,
    pub(super) n_parcels: usize,
    scaling: Option<(f64, f64)>,
}

/// The datasets that follow `first`, and which of the last two axes is time: the one that has the same
/// length in all of them.
pub(super) fn parts(
    file: &Hdf5File,
    first: &Dataset,
    options: &OpenOptions,
) -> Result<(SeriesAxes, Vec<Part>)> {
    let mut shapes = vec![shape(first)?];
    let mut parts = Vec::new();
    for name in &options.join {
        let dataset = file.dataset(name)?;
        shapes.push(shape(&dataset)?);
        parts.push(Part {
            name: name.clone(),
            heavy: Arc::clone(dataset.check_storage()?),
            n_parcels: 0,
            scaling: scaling(&dataset, options)?,
        });
    }
    let axes = axes(&shapes, options.axes)
        .map_err(|problem| Error::Axes { path: file.path().to_path_buf(), problem })?;
    let at = if axes == SeriesAxes::ParcelsTime { 1 } else { 2 };
    for (part, shape) in parts.iter_mut().zip(&shapes[1..]) {
        part.n_parcels = shape[at];
    }
    Ok((axes, parts))
}

fn shape(dataset: &Dataset) -> Result<[usize; 3]> {
    <[usize; 3]>::try_from(dataset.shape()).map_err(|_| {
        let found = format!(
            "has shape {:?}, expected three axes (subjects, frames, parcels)",
            dataset.shape()
        );
        dataset.refuse(&found)
    })
}

/// The one order of axes that all shapes allow.
fn axes(
    shapes: &[[usize; 3]],
    asked: Option<SeriesAxes>,
) -> std::result::Result<SeriesAxes, String> {
    let fits = |time: usize, parcels: usize| {
        let same = |axis: usize| shapes.iter().all(|shape| shape[axis] == shapes[0][axis]);
        let n_parcels: usize = shapes.iter().map(|shape| shape[parcels]).sum();
        let counted = match asked {
            Some(SeriesAxes::ByParcels(n)) => n == n_parcels,
            Some(SeriesAxes::TimeParcels) => time == 1,
            Some(SeriesAxes::ParcelsTime) => time == 2,
            None => true,
        };
        same(0) && same(time) && counted
    };
    match (fits(1, 2), fits(2, 1)) {
        (true, false) => Ok(SeriesAxes::TimeParcels),
        (false, true) => Ok(SeriesAxes::ParcelsTime),
        (true, true) => Err(format!(
            "the joined datasets have the shapes {shapes:?}, in which either axis may be time; \
             `axes: time_parcels` or `axes: parcels_time` says which"
        )),
        (false, false) => {
            let parcels = match asked {
                Some(SeriesAxes::ByParcels(n)) => format!(" and {n} parcels together"),
                _ => String::new(),
            };
            Err(format!(
                "the joined datasets have the shapes {shapes:?}, expected the same recordings, one \
                 number of frames{parcels}"
            ))
        }
    }
}

/// One recording's values with the parcels of all parts side by side.
pub(super) fn read(
    file: &Hdf5File,
    first: ArrayD<f64>,
    parts: &[Part],
    axes: SeriesAxes,
    index: usize,
) -> Result<ArrayD<f64>> {
    let mut all = vec![first];
    for part in parts {
        let dataset = file.dataset(&part.name)?.already_checked(&part.heavy);
        all.push(scaled(dataset.at(0, index)?, part.scaling));
    }
    let views: Vec<_> = all.iter().map(|values| values.view()).collect();
    let along = Axis(usize::from(axes != SeriesAxes::ParcelsTime));
    concatenate(along, &views).map_err(|error| Error::Axes {
        path: file.path().to_path_buf(),
        problem: format!("the joined datasets do not fit together: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Attribute, CohortFile};

    /// As Brain-Semantoks keeps a cohort, written by h5py 3.16: value 100 · recording + 10 · parcel + frame².
    fn opened(options: OpenOptions) -> Result<CohortFile> {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = crates.join("../../fixtures/scan/brain_semantoks.h5");
        let join = ["timeseries/tian3", "timeseries/buckner7"].map(str::to_owned).to_vec();
        let dataset = Some("timeseries/schaefer400".to_owned());
        CohortFile::open(path, &OpenOptions { t_r: Some(2.0), dataset, join, ..options })
    }

    #[test]
    fn parcels_of_several_atlases_stand_side_by_side() {
        let file = opened(OpenOptions::default()).unwrap();
        assert_eq!((file.n_parcels(), file.max_frames()), (7, 6));
        assert_eq!(
            (file.subjects(), file.repeats()),
            (&["s1", "s2", "s1"].map(str::to_owned)[..], true)
        );
        assert_eq!(file.column_names().unwrap(), ["age_reg"]);
        assert_eq!(file.column("age_reg").unwrap(), Attribute::Numbers(vec![61.5, 40.25, 61.5]));
        for (index, n_frames) in [(0, 5), (1, 4), (2, 6)] {
            let series = file.read_at(index).unwrap();
            assert_eq!(series.values.dim(), (n_frames, 7));
            for ((t, parcel), value) in series.values.indexed_iter() {
                assert_eq!(*value, (100 * index + 10 * parcel + t * t) as f64);
            }
        }
        let counted =
            OpenOptions { axes: Some(SeriesAxes::ByParcels(7)), ..OpenOptions::default() };
        assert_eq!(opened(counted).unwrap().n_parcels(), 7);
        let other =
            OpenOptions { axes: Some(SeriesAxes::ByParcels(457)), ..OpenOptions::default() };
        let said = opened(other).unwrap_err().to_string();
        assert!(said.ends_with("one number of frames and 457 parcels together"), "{said}");
    }

    #[test]
    fn the_order_of_axes_is_told_by_lengths_or_refused() {
        let of = |shapes: &[[usize; 3]], asked| axes(shapes, asked);
        assert_eq!(of(&[[3, 4, 6], [3, 2, 6]], None), Ok(SeriesAxes::ParcelsTime));
        assert_eq!(of(&[[3, 6, 4], [3, 6, 2]], None), Ok(SeriesAxes::TimeParcels));
        let both = of(&[[3, 6, 6], [3, 6, 6]], None).unwrap_err();
        assert!(both.contains("in which either axis may be time"), "{both}");
        let settled = of(&[[3, 6, 6], [3, 6, 6]], Some(SeriesAxes::ParcelsTime));
        assert_eq!(settled, Ok(SeriesAxes::ParcelsTime));
        for wrong in [[[3, 4, 6], [2, 2, 6]], [[3, 4, 6], [3, 2, 5]]] {
            let said = of(&wrong, None).unwrap_err();
            assert!(said.ends_with("expected the same recordings, one number of frames"), "{said}");
        }
    }
}
