//! The labels of a `.dlabel.nii`.

use std::path::Path;

use super::{CiftiAxis, CiftiFile};
use crate::{
    atlas::{MapName, maps},
    dense::{Labelled, background},
    error::{Error, Result},
};

/// Reads one map of labels.
pub(crate) fn read_labels(path: &Path, map: Option<&MapName>) -> Result<Labelled> {
    let file = CiftiFile::open(path)?;
    let (CiftiAxis::Labels(maps), CiftiAxis::BrainModels(places)) =
        (&file.axes()[0], &file.axes()[1])
    else {
        let problem = "its rows are no labels, or its columns no places of the brain".to_owned();
        return Err(Error::Cifti { path: path.to_path_buf(), problem });
    };
    let names: Vec<String> = maps.iter().map(|map| map.name.clone()).collect();
    let at = maps::chosen(&names, map)
        .map_err(|problem| Error::Axes { path: path.to_path_buf(), problem })?;
    let table = maps[at].labels.clone();
    let mut values = vec![0.0; file.shape()[1]];
    file.each_column(&mut |index, column| values[index] = column[at])?;
    if let Some(&found) = values.iter().find(|x| x.fract() != 0.0 || x.abs() > 2_f64.powi(31)) {
        return Err(Error::Label { path: path.to_path_buf(), found });
    }
    let keys = values.iter().map(|&x| x as i32).collect();
    let background = background(&table);
    Ok(Labelled { places: places.clone(), keys, table, background })
}
