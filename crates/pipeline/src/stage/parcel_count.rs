//! Whether series have as many parcels as an atlas, by what describes their files.
use cohort::Hdf5Config;
use scan::{OpenOptions, SeriesAxes, Shape};

use super::{ParcellateConfig, atlas::ReadAtlas, work::Work as _};
use crate::{Error, Result, plan::ScanView};

impl ParcellateConfig {
    /// Refuses series of another number of parcels than the atlas has, if it is so of all scans; some fail
    /// when they are read.
    pub(crate) fn some_have_the_parcels(
        &self,
        atlas: &ReadAtlas,
        scans: &[ScanView],
        stack: Option<&Hdf5Config>,
    ) -> Result<()> {
        let n = atlas.n_parcels();
        let mut first = None;
        for scan in scans {
            match self.has_the_parcels(n, scan, &self.options(n, scan, stack)) {
                Ok(()) => return Ok(()),
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Refuses series of another number of parcels than `n`.
    fn has_the_parcels(&self, n: usize, scan: &ScanView, options: &OpenOptions) -> Result<()> {
        let sides = match scan::shape(&scan.path, options) {
            Ok(Shape::Series { n_parcels, .. } | Shape::Cohort { n_parcels, .. }) => {
                if n_parcels == n {
                    return Ok(());
                }
                format!("{n_parcels} parcels")
            }
            Err(error @ scan::Error::Axes { .. }) => {
                let rows_are_frames = Some(SeriesAxes::TimeParcels);
                let options = OpenOptions { axes: rows_are_frames, ..options.clone() };
                match scan::shape(&scan.path, &options) {
                    Ok(shape @ Shape::Series { n_parcels, .. }) if n_parcels != n => {
                        format!("{} rows and {n_parcels} columns", shape.n_frames())
                    }
                    Ok(Shape::Cohort { n_parcels, .. }) => format!("{n_parcels} parcels"),
                    // both axes are as long as the atlas: which of them is time is not known
                    _ => return Err(error.into()),
                }
            }
            Err(error @ scan::Error::NoSpace { .. }) => return Err(error.into()),
            // what cannot be read is told where it is read
            _ => return Ok(()),
        };
        let (file, id) = (&scan.file, &self.atlas.id);
        let problem = format!("{file} has {sides}, expected the {n} parcels of atlas {id}");
        Err(Error::StageInput { stage: self.name(), problem })
    }
}
