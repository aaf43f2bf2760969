//! Atlases on the cortex: `.label.gii` and `FreeSurfer`'s `.annot`, of one hemisphere or of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{annot, both, gifti, hemisphere::Hemisphere, side};
use crate::{
    atlas::{MapName, maps},
    cifti::{BrainModel, BrainModelsAxis, Places},
    dense::{Labelled, background},
    error::{Error, Result},
    kind::Kind,
};

/// The labels of one hemisphere.
struct SideLabels {
    hemisphere: Hemisphere,
    keys: Vec<i32>,
    table: BTreeMap<i32, String>,
    /// Keys of the table that are no region.
    background: Vec<i32>,
}

/// Reads a `.label.gii` or an `.annot`, and that of the other hemisphere which lies beside it.
///
/// Regions are the entries of the table that a vertex has. Where both hemispheres use a number, those of
/// the right one count on from the highest of the left one; where both use a name, it gets the prefix
/// `lh_` or `rh_`.
pub(crate) fn read_labels(path: &Path, map: Option<&MapName>) -> Result<Labelled> {
    let paths = both(path).map_or_else(|| vec![path.to_path_buf()], Vec::from);
    let mut sides = Vec::new();
    for path in &paths {
        sides.push(match Kind::of(path)? {
            Kind::Annotation => annotation(path, map)?,
            _ => label_file(path, map)?,
        });
    }
    let refuse = |problem: String| Error::Surface { path: path.to_path_buf(), problem };
    if let [left, right] = &mut sides[..] {
        if left.hemisphere == right.hemisphere {
            let side = left.hemisphere.name();
            return Err(refuse(format!(
                "is of the {side}, as the file of the other side beside it"
            )));
        }
        keep_apart(left, right).map_err(refuse)?;
    }
    let mut labelled = Labelled {
        places: BrainModelsAxis { models: Vec::new(), volume: None },
        keys: Vec::new(),
        table: BTreeMap::new(),
        background: vec![0],
    };
    for side in sides {
        let n = side.keys.len();
        labelled.places.models.push(BrainModel {
            structure: side.hemisphere.structure().to_owned(),
            offset: labelled.keys.len(),
            places: Places::Vertices { vertices: (0..n).collect(), n_surface: n },
        });
        labelled.table.extend(side.regions());
        labelled.keys.extend(side.keys);
        labelled.background.extend(side.background);
    }
    // what one hemisphere has for no region may be the number of one on the other
    let Labelled { table, background, .. } = &mut labelled;
    background.retain(|key| !table.contains_key(key));
    Ok(labelled)
}

fn label_file(path: &Path, map: Option<&MapName>) -> Result<SideLabels> {
    if side::is_mgh(path)? {
        return Err(Error::Unsupported {
            path: path.to_path_buf(),
            found: "an MGH file of vertices, which names no regions".to_owned(),
            expected: "a `.label.gii` or an `.annot` as atlas",
        });
    }
    let refuse = |problem: String| Error::Gifti { path: path.to_path_buf(), problem };
    let head = gifti::read(path, |_, _, _| Ok(()))?;
    let is_map = |array: &super::stored::Array| array.intent == "NIFTI_INTENT_LABEL";
    let positions: Vec<usize> =
        (0..head.arrays.len()).filter(|&at| is_map(&head.arrays[at])).collect();
    if positions.is_empty() {
        let found = head.arrays.first().map_or("no array", |array| array.intent.as_str());
        let found = crate::error::brief(found);
        return Err(refuse(format!(
            "it holds {found}, expected a map of labels (NIFTI_INTENT_LABEL)"
        )));
    }
    let names: Vec<String> =
        positions.iter().map(|&at| head.arrays[at].name.clone().unwrap_or_default()).collect();
    let at = maps::chosen(&names, map)
        .map_err(|problem| Error::Axes { path: path.to_path_buf(), problem })?;
    let [_] = head.arrays[positions[at]].sizes()[..] else {
        let sizes = head.arrays[positions[at]].sizes();
        return Err(refuse(format!("its labels have the sizes {sizes:?}, expected one a vertex")));
    };
    let mut values = Vec::new();
    gifti::read(path, |index, array, text| {
        if index == positions[at] {
            values = array.values(text)?;
        }
        Ok(())
    })?;
    let bounds = f64::from(i32::MIN)..=f64::from(i32::MAX);
    if let Some(&found) = values.iter().find(|x| x.fract() != 0.0 || !bounds.contains(*x)) {
        return Err(Error::Label { path: path.to_path_buf(), found });
    }
    let keys: Vec<i32> = values.iter().map(|&x| x as i32).collect();
    let mut table = head.table.clone();
    if table.is_empty() {
        // numbers without names are regions of their own
        table = keys.iter().map(|key| (*key, format!("label {key}"))).collect();
        table.remove(&0);
    }
    let hemisphere = side::hemisphere(path, &head).map_err(refuse)?;
    let background = background(&table);
    Ok(SideLabels { hemisphere, keys, table, background })
}

fn annotation(path: &Path, map: Option<&MapName>) -> Result<SideLabels> {
    let refuse = |problem: String| Error::Surface { path: path.to_path_buf(), problem };
    maps::chosen(&[String::new()], map).map_err(refuse)?;
    let annot::Annotation { keys, table } = annot::read(path)?;
    let hemisphere = Hemisphere::of_name(path).ok_or_else(|| refuse(side::UNNAMED.to_owned()))?;
    let is_none = |name: &str| ["???", "unknown"].contains(&name.to_lowercase().as_str());
    let mut background = background(&table);
    background.extend(table.iter().filter(|(_, name)| is_none(name)).map(|(key, _)| *key));
    background.push(-1);
    Ok(SideLabels { hemisphere, keys, table, background })
}

impl SideLabels {
    /// The entries of the table that vertices have.
    fn regions(&self) -> BTreeMap<i32, String> {
        let used: BTreeSet<i32> = self.keys.iter().copied().collect();
        let is_region = |key: &i32| used.contains(key) && !self.background.contains(key);
        let regions = self.table.iter().filter(|(key, _)| is_region(key));
        regions.map(|(key, name)| (*key, name.clone())).collect()
    }
}

/// Gives regions of the two hemispheres numbers and names of their own.
fn keep_apart(left: &mut SideLabels, right: &mut SideLabels) -> Result<(), String> {
    let [ours, theirs] = [left.regions(), right.regions()];
    let named: BTreeSet<&str> = theirs.values().map(String::as_str).collect();
    let shared: BTreeSet<&str> =
        ours.values().map(String::as_str).filter(|name| named.contains(name)).collect();
    for side in [&mut *left, &mut *right] {
        let prefix = side.hemisphere.prefix();
        for name in side.table.values_mut().filter(|name| shared.contains(name.as_str())) {
            name.insert_str(0, prefix);
        }
    }
    if ours.keys().all(|key| !theirs.contains_key(key)) {
        // what is no region of one side must not be one of the other
        left.forget(&ours);
        right.forget(&theirs);
        return Ok(());
    }
    let highest = ours.keys().next_back().copied().unwrap_or(0);
    let lowest = theirs.keys().next().copied().unwrap_or(1);
    let shift = i64::from(highest) - i64::from(lowest.min(1)) + 1;
    let moved = |key: i32| i32::try_from(i64::from(key) + shift);
    let too_high = |_| {
        format!(
            "its numbers reach {highest}, too high for those of the right hemisphere to count on from"
        )
    };
    let mut table = BTreeMap::new();
    for key in theirs.keys() {
        table.insert(moved(*key).map_err(too_high)?, right.table[key].clone());
    }
    for key in &mut right.keys {
        *key = if theirs.contains_key(key) { moved(*key).map_err(too_high)? } else { NO_REGION };
    }
    right.table = table;
    right.background = vec![NO_REGION];
    left.forget(&ours);
    Ok(())
}

/// The number of vertices of no region, where the files' own could be another region's.
const NO_REGION: i32 = i32::MIN;

impl SideLabels {
    /// Forgets numbers that are no region.
    fn forget(&mut self, regions: &BTreeMap<i32, String>) {
        for key in self.keys.iter_mut().filter(|key| !regions.contains_key(key)) {
            *key = NO_REGION;
        }
        self.background.push(NO_REGION);
    }
}
