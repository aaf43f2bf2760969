//! Parcel series and their coverage, a table a recording, as XCP-D writes them.
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use cohort::Entity;
use preprocess::{SeriesFacts, StoredSeries};
use rayon::prelude::*;
use scan::Parcel;
use serde_json::{Value, json};

use super::{
    call::BidsApp,
    dataset::{SOURCE, entities},
    names::{Names, as_label},
    output::{put, put_json},
};
use crate::{Result, event::Control, media::Media, shard::by_recording, stage::SeriesSet};

/// Recordings that are written between two looks at whether the run is to stop.
const AT_ONCE: usize = 64;

/// A recording whose series is among the derivatives.
pub(super) struct Written {
    /// Its place in the plan.
    pub(super) idx: usize,
    pub(super) facts: SeriesFacts,
    paths: Paths,
}

impl Written {
    /// Removes its files again: a recording that only the whole cohort shows to be wrong.
    pub(super) fn retract(&self) -> Result<()> {
        self.paths.remove()
    }
}

/// The files of one recording.
struct Paths {
    series: PathBuf,
    sidecar: PathBuf,
    coverage: PathBuf,
    coverage_sidecar: PathBuf,
}

impl Paths {
    fn new(out_dir: &Path, names: &Names, atlas: &str) -> Self {
        let at = |statistic, ending| {
            let more = [(Entity::Segmentation, atlas), (Entity::Statistic, statistic)];
            out_dir.join(names.path(&more, ending))
        };
        Self {
            series: at("mean", "timeseries.tsv"),
            sidecar: at("mean", "timeseries.json"),
            coverage: at("coverage", "bold.tsv"),
            coverage_sidecar: at("coverage", "bold.json"),
        }
    }

    fn all(&self) -> [&Path; 4] {
        // the sidecar says that the series is whole: it goes first
        [&self.sidecar, &self.series, &self.coverage_sidecar, &self.coverage]
    }

    fn remove(&self) -> Result<()> {
        for path in self.all().into_iter().filter(|it| it.exists()) {
            files::remove_file(path)?;
        }
        Ok(())
    }
}

/// Writes the series of `scans`; what an earlier call wrote of one that is not there any more is removed.
pub(super) fn write(
    app: &BidsApp,
    media: &Media<'_>,
    scans: &[usize],
    control: &mut Control<'_>,
) -> Result<Vec<Written>> {
    let Some(parcels) = &media.parcels else { return Ok(Vec::new()) };
    let tables = Tables::new(app, media, parcels);
    tables.write_atlas()?;
    let mut written = Vec::new();
    for some in scans.chunks(AT_ONCE) {
        control.checkpoint()?;
        let each = some.par_iter().map(|&idx| tables.recording(idx));
        let each = each.collect::<Result<Vec<_>>>()?;
        written.extend(each.into_iter().flatten());
    }
    Ok(written)
}

struct Tables<'a> {
    app: &'a BidsApp,
    media: &'a Media<'a>,
    parcels: &'a SeriesSet,
    /// The atlas as a label.
    atlas: String,
    /// Names of the columns, no two alike.
    columns: Vec<String>,
}

impl<'a> Tables<'a> {
    fn new(app: &'a BidsApp, media: &'a Media<'a>, parcels: &'a SeriesSet) -> Self {
        let atlas = as_label(parcels.about.atlas["id"].as_str().unwrap_or_default());
        let atlas = if atlas.is_empty() { "parcels".to_owned() } else { atlas };
        let columns = columns(&parcels.about.parcels);
        Self { app, media, parcels, atlas, columns }
    }

    /// What the columns are, once for all recordings.
    fn write_atlas(&self) -> Result<()> {
        let folder = self.app.out_dir.join(format!("atlases/atlas-{}", self.atlas));
        let mut table = "index\tname\tx\ty\tz\n".to_owned();
        for (parcel, name) in self.parcels.about.parcels.iter().zip(&self.columns) {
            let centre = parcel
                .centre_mm
                .map_or_else(|| "n/a\tn/a\tn/a".to_owned(), |[x, y, z]| format!("{x}\t{y}\t{z}"));
            let _ = writeln!(table, "{}\t{name}\t{centre}", parcel.label);
        }
        put(&folder.join(format!("atlas-{}_dseg.tsv", self.atlas)), table.as_bytes())?;
        let column = |text: &str| json!({ "Description": text });
        let centre = |axis: &str| {
            let text =
                format!("Centre of the parcel along {axis}, in the coordinates of the atlas.");
            json!({ "Description": text, "Units": "mm" })
        };
        let about = json!({
            "index": column("The parcel's label in the atlas."),
            "name": column("The parcel's column in tables of series, and its row in tables of coverage."),
            "x": centre("x"), "y": centre("y"), "z": centre("z"),
        });
        put_json(&folder.join(format!("atlas-{}_dseg.json", self.atlas)), &about)
    }

    fn recording(&self, idx: usize) -> Result<Option<Written>> {
        let scan = &self.media.scans()[idx];
        let Some(entities) = entities(self.media.plan, idx) else {
            return Ok(None);
        };
        let names = Names::new(&entities);
        let paths = Paths::new(&self.app.out_dir, &names, &self.atlas);
        let unit = self.parcels.units[idx].as_ref();
        let Some(unit) = unit.filter(|_| !self.media.failures.contains_key(&idx)) else {
            paths.remove()?;
            return Ok(None);
        };
        let Some(facts) = SeriesFacts::of(unit) else { return Ok(None) };
        let sidecar = self.sidecar(&scan.path, &facts, unit.key.as_str());
        let text = files::to_json(&sidecar) + "\n";
        let is_there = |path: &Path| path.is_file();
        let is_same = std::fs::read(&paths.sidecar).is_ok_and(|there| there == text.as_bytes());
        if !(is_same && is_there(&paths.series)) {
            let series = StoredSeries::read(unit)?;
            files::write_atomic(&paths.series, self.series(&series).as_bytes())?;
            files::write_atomic(&paths.sidecar, text.as_bytes())?;
        }
        match &facts.coverage {
            Some(shares) => {
                put(&paths.coverage, self.coverage(shares).as_bytes())?;
                put_json(&paths.coverage_sidecar, &about_coverage())?;
            }
            None => {
                for path in [&paths.coverage, &paths.coverage_sidecar] {
                    if path.exists() {
                        files::remove_file(path)?;
                    }
                }
            }
        }
        Ok(Some(Written { idx, facts, paths }))
    }

    /// A row a volume, a column a parcel; `n/a` throughout a column whose parcel has no data.
    fn series(&self, series: &StoredSeries) -> String {
        let parcels = &self.parcels.about.parcels;
        let is_lost: Vec<bool> =
            parcels.iter().map(|it| series.facts.lost.contains(&it.label)).collect();
        let mut table = self.columns.join("\t") + "\n";
        for row in series.values.rows() {
            for (at, (value, is_lost)) in row.iter().zip(&is_lost).enumerate() {
                if at > 0 {
                    table.push('\t');
                }
                if *is_lost || !value.is_finite() {
                    table.push_str("n/a");
                } else {
                    let _ = write!(table, "{value}");
                }
            }
            table.push('\n');
        }
        table
    }

    fn coverage(&self, shares: &[f64]) -> String {
        let mut table = "Node\tcoverage\n".to_owned();
        for (name, share) in self.columns.iter().zip(shares) {
            let _ = writeln!(table, "{name}\t{share}");
        }
        table
    }

    /// Whether a stage is among the first `n_done`.
    fn is_done(&self, stage: &crate::Stage, n_done: usize) -> bool {
        self.media.plan.spec().stages().iter().take(n_done).any(|it| std::ptr::eq(it, stage))
    }

    fn sidecar(&self, scan: &Path, facts: &SeriesFacts, key: &str) -> Value {
        let inside = scan.canonicalize().ok();
        let inside = inside.as_deref().unwrap_or(scan).strip_prefix(&self.app.bids_dir).ok();
        // a link into a store of contents: the name that the dataset gives it says more
        let inside = scan.strip_prefix(&self.app.bids_dir).ok().or(inside);
        let sources: Vec<String> =
            inside.iter().map(|it| format!("bids:{SOURCE}:{}", it.display())).collect();
        let steps = self.media.plan.spec().stages().iter().filter(|it| it.changes_series());
        let done = by_recording(self.media.plan).count();
        let steps = steps.take_while(|it| self.is_done(it, done)).map(crate::Stage::name);
        let names: Vec<&str> = steps.collect();
        let mut sidecar = json!({
            "Description": "Mean of each parcel: a row a volume, a column a parcel, n/a where the scan has no data of the parcel. Columns are described in the table of the atlas.",
            "RepetitionTime": facts.t_r_s,
            "SamplingFrequency": 1.0 / facts.t_r_s,
            "SamplingFrequencyUnits": "Hz",
            "Steps": names,
            "Sources": sources,
            "ResultKey": key,
        });
        if let Some(kept) = &facts.kept {
            sidecar["KeptVolumes"] = json!(kept);
        }
        if let Some(fd) = facts.fd_mean_mm {
            sidecar["MeanFramewiseDisplacement"] = json!(fd);
        }
        sidecar
    }
}

fn about_coverage() -> Value {
    json!({
        "Node": { "Description": "The parcel, as the table of the atlas names it." },
        "coverage": {
            "Description": "Share of the parcel's voxels or vertices that have data, from 0 to 1."
        },
    })
}

/// Names of parcels as columns of a table; one that several have is followed by the label.
fn columns(parcels: &[Parcel]) -> Vec<String> {
    let cell = |text: &str| text.replace(['\t', '\n', '\r'], " ").trim().to_owned();
    let names: Vec<String> = parcels.iter().map(|it| cell(&it.name)).collect();
    let mut counts = std::collections::HashMap::new();
    for name in &names {
        *counts.entry(name.as_str()).or_insert(0_usize) += 1;
    }
    let unique = |(parcel, name): (&Parcel, &String)| {
        if counts[name.as_str()] > 1 || name.is_empty() {
            format!("{name}_{}", parcel.label)
        } else {
            name.clone()
        }
    };
    parcels.iter().zip(&names).map(unique).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_columns_have_one_name() {
        let parcel = |label, name: &str| Parcel { label, name: name.to_owned(), centre_mm: None };
        let parcels = [parcel(1, "A"), parcel(2, "B\tc"), parcel(3, "A"), parcel(4, "")];
        assert_eq!(columns(&parcels), ["A_1", "B c", "A_3", "_4"]);
    }
}
