//! Series of the scans of a run.
use engine::Unit;
use preprocess::{AboutSeries, SeriesFacts};

/// Series of the scans that are there, of parcels or of the voxels of a mask.
#[derive(Clone, Debug)]
pub(crate) struct SeriesSet {
    pub(crate) units: Vec<Option<Unit>>,
    /// What they share.
    pub(crate) about: AboutSeries,
}

impl SeriesSet {
    /// The labels that each scan lost, in the order of the scans; nothing for one that lost none.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (usize, Vec<i32>)> {
        let lost = |(idx, unit): (usize, &Option<Unit>)| {
            Some((idx, unit.as_ref().and_then(SeriesFacts::of)?.lost))
        };
        self.units.iter().enumerate().filter_map(lost).filter(|(_, lost)| !lost.is_empty())
    }
}
