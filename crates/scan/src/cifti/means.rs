//! Means of a dense series over the labels of a `.dlabel.nii`.

use std::{collections::HashMap, path::Path};

use ndarray::Array2;

use super::{CiftiAxis, CiftiFile, Place};
use crate::{
    atlas::Parcel,
    digest::sha256_file,
    error::{Error, Result},
    series::ParcelSeries,
};

/// Which vertex and which voxel belongs to which region. Label 0 is background.
#[derive(Clone, Debug)]
pub struct GrayordinateAtlas {
    labels: HashMap<(String, Place), i32>,
    parcels: Vec<Parcel>,
    sha256: String,
}

impl GrayordinateAtlas {
    /// Reads the first map of a `.dlabel.nii`.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let file = CiftiFile::open(path)?;
        let refuse = |problem: &str| Error::Cifti {
            path: file.path().to_path_buf(),
            problem: problem.to_owned(),
        };
        let (CiftiAxis::Labels(maps), CiftiAxis::BrainModels(places)) =
            (&file.axes()[0], &file.axes()[1])
        else {
            return Err(refuse("its rows are no labels, or its columns no places of the brain"));
        };
        let map = maps.first().ok_or_else(|| refuse("it holds no map of labels"))?;
        let mut values = vec![0.0; file.shape()[1]];
        file.each_column(&mut |index, column| values[index] = column[0])?;
        if let Some(&found) = values.iter().find(|x| x.fract() != 0.0 || x.abs() > 2_f64.powi(31)) {
            return Err(Error::Label { path: file.path().to_path_buf(), found });
        }
        let labels = places.places().zip(&values).filter(|(_, x)| **x != 0.0);
        let labels =
            labels.map(|((structure, place), &x)| ((structure.to_owned(), place), x as i32));
        let parcels = map.labels.iter().filter(|(label, _)| **label != 0);
        let parcels =
            parcels.map(|(&label, name)| Parcel { label, name: name.clone(), centre_mm: None });
        Ok(Self {
            labels: labels.collect(),
            parcels: parcels.collect(),
            sha256: sha256_file(file.path())?,
        })
    }

    /// Regions, ascending by label: the columns of every series.
    pub fn parcels(&self) -> &[Parcel] {
        &self.parcels
    }

    /// Digest of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Series of all regions of a `.dtseries.nii`, `(n_frames, n_parcels)`, in one pass.
    ///
    /// Places are matched by structure and vertex or voxel. Values that are not finite count as 0;
    /// a region without a place in the file is a column of zeros and is reported.
    pub fn extract(&self, dense: &CiftiFile) -> Result<ParcelSeries> {
        let CiftiAxis::BrainModels(places) = &dense.axes()[1] else {
            let problem = "its columns are no places of the brain".to_owned();
            return Err(Error::Cifti { path: dense.path().to_path_buf(), problem });
        };
        let t_r = dense.t_r()?;
        let columns: Vec<Option<usize>> = places
            .places()
            .map(|(structure, place)| {
                let label = self.labels.get(&(structure.to_owned(), place))?;
                self.parcels.iter().position(|parcel| parcel.label == *label)
            })
            .collect();
        let mut values = Array2::<f64>::zeros((dense.shape()[0], self.parcels.len()));
        let mut sizes = vec![0.0; self.parcels.len()];
        dense.each_column(&mut |index, series| {
            let Some(column) = columns[index] else { return };
            sizes[column] += 1.0;
            for (sum, x) in values.column_mut(column).iter_mut().zip(series) {
                *sum += if x.is_finite() { *x } else { 0.0 };
            }
        })?;
        let mut lost = Vec::new();
        for ((mut column, &n), parcel) in
            values.columns_mut().into_iter().zip(&sizes).zip(&self.parcels)
        {
            if n > 0.0 {
                column /= n;
            } else {
                lost.push(parcel.label);
            }
        }
        Ok(ParcelSeries { values, t_r, parcels: self.parcels.clone(), lost })
    }
}
