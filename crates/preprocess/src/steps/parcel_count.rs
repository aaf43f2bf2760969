//! Whether series have as many parcels as an atlas, by what describes their files.
use cohort::Hdf5Config;
use scan::{OpenOptions, SeriesAxes, Shape};

use super::{ParcellateConfig, atlas::ReadAtlas, columns::one_a_number};
use crate::{Error, Inputs, Planned, Recording, Result, Step as _};

impl ParcellateConfig {
    /// Refuses series of another number of parcels than the atlas has, if it is so of all scans; some fail
    /// when they are read.
    pub fn some_have_the_parcels(&self, atlas: &ReadAtlas, planned: Planned<'_>) -> Result<()> {
        let Planned { inputs, recordings, stack } = planned;
        let mut first = None;
        for scan in recordings {
            let options = self.options_for(atlas, scan, stack)?;
            match self.has_the_parcels(atlas, scan, &options, inputs) {
                Ok(()) => return Ok(()),
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// How a scan is opened: as [`options`](Self::options) says, and where the atlas leaves out numbers,
    /// a table may have a column for each of them.
    pub(super) fn options_for(
        &self,
        atlas: &ReadAtlas,
        scan: &Recording,
        stack: Option<&Hdf5Config>,
    ) -> Result<OpenOptions> {
        let n = atlas.n_parcels();
        let options = self.options(n, scan, stack);
        let Some(columns) = one_a_number(atlas.parcels()) else { return Ok(options) };
        if self.axes.is_some() || self.columns.is_some() || scan.stacked.is_some() {
            return Ok(options);
        }
        let by_rows = OpenOptions { axes: Some(SeriesAxes::TimeParcels), ..options.clone() };
        let Ok(shape @ Shape::Series { n_parcels, .. }) = scan::shape(&scan.path, &by_rows) else {
            return Ok(options);
        };
        let sides = [shape.n_frames(), n_parcels];
        // so many frames of the atlas's parcels are a series like any other
        if !sides.contains(&columns) || sides == [columns, n] {
            return Ok(options);
        }
        if sides == [columns; 2] || sides == [n, columns] {
            let [rows, found] = sides;
            let problem = format!(
                "{} has {rows} rows and {found} columns, the atlas {n} parcels of which the last has \
                 number {columns}: which of them is time is not known; give `axes`, for example \
                 `time_parcels`",
                scan.file
            );
            return Err(Error::StageInput { stage: self.id().name, problem });
        }
        Ok(OpenOptions { axes: Some(SeriesAxes::ByParcels(columns)), ..options })
    }

    /// Refuses series of another number of parcels than the atlas has.
    fn has_the_parcels(
        &self,
        atlas: &ReadAtlas,
        scan: &Recording,
        options: &OpenOptions,
        inputs: &dyn Inputs,
    ) -> Result<()> {
        let n = self.columns.unwrap_or(atlas.n_parcels());
        let is_counted =
            |found| self.columns.is_none() && Some(found) == one_a_number(atlas.parcels());
        let sides = match inputs.shape(&scan.path, options) {
            Ok(Shape::Series { n_parcels, .. } | Shape::Cohort { n_parcels, .. }) => {
                if n_parcels == n || is_counted(n_parcels) {
                    return Ok(());
                }
                format!("{n_parcels} parcels")
            }
            Err(error @ scan::Error::Axes { .. }) => {
                let rows_are_frames = Some(SeriesAxes::TimeParcels);
                let options = OpenOptions { axes: rows_are_frames, ..options.clone() };
                match inputs.shape(&scan.path, &options) {
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
        let expected = match self.columns {
            Some(columns) => format!("{columns} columns as `columns` says"),
            None => format!("the {n} parcels of atlas {id}"),
        };
        let problem = format!("{file} has {sides}, expected {expected}");
        Err(Error::StageInput { stage: self.id().name, problem })
    }
}
