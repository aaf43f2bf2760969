//! Whether a kind of files is a cohort, by what `check` finds of it.

use std::{collections::BTreeMap, path::Path};

use scan::{ArrowRows, CohortFile, Hdf5File, NodeKind, OpenOptions, SeriesAxes, Shape};
use serde_json::json;

use super::{
    Alternative,
    choice::Choice,
    kind::{Group, Kind},
    timing::{self, OneRate},
    walk::Tree,
};
use crate::{
    error::Error,
    reason::Reason,
    recording::{Cohort, Count, Excluded, Recording, TrSource},
};

/// So many kinds are looked at before there is none.
pub(super) const MOST: usize = 12;

/// HDF5 files that are opened to see whether they hold many subjects.
const MAX_STACKS: usize = 64;

/// A cohort that `check` would list.
pub(super) struct Judged {
    pub(super) choice: Choice,
    pub(super) cohort: Cohort,
    pub(super) remarks: Vec<Count>,
    /// The recordings with another repetition time.
    pub(super) others: Vec<Alternative>,
}

/// Files that are left out, counted by reason.
#[derive(Debug, Default)]
pub(super) struct Left {
    by_reason: BTreeMap<String, (usize, Option<String>)>,
    /// Kinds that were looked at and are no cohort.
    pub(super) dismissed: Vec<Kind>,
}

impl Left {
    pub(super) fn add(&mut self, reason: String, n: usize) {
        if n > 0 {
            self.by_reason.entry(reason).or_default().0 += n;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (reason, (n, first)) in other.by_reason {
            let known = self.by_reason.entry(reason).or_default();
            known.0 += n;
            known.1 = known.1.take().or(first);
        }
        self.dismissed.extend(other.dismissed);
    }

    fn of(group: &Group) -> Self {
        Self { dismissed: vec![group.kind.clone()], ..Self::default() }
    }

    pub(super) fn counts(&self) -> Vec<Count> {
        let count = |(reason, (n, first)): (&String, &(usize, Option<String>))| Count {
            reason: reason.clone(),
            n: *n,
            first: first.clone(),
        };
        self.by_reason.iter().map(count).collect()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut counts = self.counts();
        counts.sort_by_key(|count| std::cmp::Reverse(count.n));
        counts.iter().flat_map(Count::lines).collect()
    }
}

/// Indexes a choice, settles its repetition time, and says what is to be known of it.
pub(super) fn judge(
    dir: &Path,
    tree: &Tree,
    group: &Group,
    choice: &Choice,
) -> Result<Judged, Left> {
    let mut left = Left::of(group);
    if let Kind::Pattern(_) = &group.kind
        && let Err(problem) =
            group.files.first().map_or(Ok(()), |file| holds_frames(&dir.join(file)))
    {
        left.add(problem, group.files.len());
        return Err(left);
    }
    let mut choice = choice.clone();
    let mut outcome = choice.index();
    let mut remarks = Vec::new();
    if let Err(Error::NothingLeft { excluded, .. }) = &outcome
        && !choice.has("t_r")
        && lack_time(excluded)
    {
        match timing::beside(dir, tree, group) {
            Some((t_r, place)) => {
                choice = choice.with("t_r", json!(t_r));
                outcome = choice.index();
                let n = outcome.as_ref().map_or(0, |cohort| cohort.recordings.len());
                remarks.push(remark(format!("repetition time {t_r} s taken from {place}"), n));
            }
            None => left.add(NO_TIME.to_owned(), 0),
        }
    }
    let cohort = match outcome {
        Ok(cohort) => cohort,
        Err(Error::NothingLeft { excluded, .. }) => {
            for count in Count::all(&excluded) {
                let reason = if lack_time(&excluded) && count.first.is_some() && is_time(&count) {
                    NO_TIME.to_owned()
                } else {
                    count.reason
                };
                left.by_reason.insert(reason, (count.n, count.first));
            }
            return Err(left);
        }
        Err(error) => {
            let problem = error.to_string().replace(&format!("{}: ", dir.display()), "");
            left.add(problem, group.files.len());
            return Err(left);
        }
    };
    let OneRate { choice, cohort, others } = timing::one_rate(choice, cohort);
    remarks.extend(of_recordings(&cohort.recordings));
    remarks.retain(|it| it.n > 0);
    Ok(Judged { choice, cohort, remarks, others })
}

/// What is said where only the repetition time is missing.
const NO_TIME: &str = "no file says the repetition time; give it with --t-r SECONDS";

fn is_time(count: &Count) -> bool {
    count.reason == Reason::RepetitionTime { problem: String::new() }.kind()
}

fn lack_time(excluded: &[Excluded]) -> bool {
    excluded.iter().any(|it| matches!(it.reason, Reason::RepetitionTime { .. }))
}

fn remark(reason: String, n: usize) -> Count {
    Count { reason, n, first: None }
}

/// What is worth knowing of recordings that are taken.
fn of_recordings(recordings: &[Recording]) -> Vec<Count> {
    let is_run = |it: &&Recording| {
        let name = it.source.path().file_name().unwrap_or_default().to_string_lossy();
        name.contains("bold")
    };
    let n_runs = recordings.iter().filter(is_run).count();
    let bare = recordings.iter().filter(is_run).filter(|it| it.confounds.is_none()).count();
    let by_header = |it: &&Recording| it.t_r.is_some_and(|t_r| t_r.source == TrSource::Header);
    let headers = recordings.iter().filter(is_run).filter(by_header).count();
    let of_all = |n: usize| if n == n_runs { "" } else { ", which others have" };
    vec![
        remark(format!("taken without a confounds table{}", of_all(bare)), bare),
        remark(
            format!(
                "taken with the repetition time of the header, no sidecar says it{}",
                of_all(headers)
            ),
            headers,
        ),
    ]
}

/// Whether a file outside of BIDS holds several frames; else what it is.
fn holds_frames(path: &Path) -> Result<(), String> {
    let without_path = |error: scan::Error| {
        let text = error.to_string();
        text.replace(&format!("{}: ", path.display()), "")
            .replace(&format!("{} ", path.display()), "")
    };
    let options = OpenOptions {
        t_r: Some(1.0),
        axes: Some(SeriesAxes::TimeParcels),
        ..OpenOptions::default()
    };
    match scan::shape(path, &options) {
        Ok(Shape::Run { n_frames: 1, .. }) => Err("images of one frame".to_owned()),
        Ok(shape) if shape.n_frames() < 2 => Err("tables of one row".to_owned()),
        Ok(Shape::Series { n_parcels: 0 | 1, .. }) => Err("tables of one column".to_owned()),
        // where the voxels of a tensor lie is a setting of the pipeline's stages
        Ok(_) | Err(scan::Error::NoSpace { .. }) => Ok(()),
        Err(error) => Err(format!("files that cannot be read: {}", without_path(error))),
    }
}

/// HDF5 files of many subjects, each a kind of its own; the others are given back.
pub(super) fn stacks<'a>(dir: &Path, files: &[&'a str]) -> (Vec<Group>, Vec<&'a str>) {
    let (mut groups, mut rest) = (Vec::new(), Vec::new());
    for (position, file) in files.iter().enumerate() {
        match (position < MAX_STACKS).then(|| stack(&dir.join(file))).flatten() {
            Some((datasets, n)) => groups.push(Group {
                kind: Kind::Stack((*file).to_owned(), datasets),
                files: vec![(*file).to_owned()],
                n_recordings: n,
                n_subjects: n,
            }),
            None => rest.push(*file),
        }
    }
    (groups, rest)
}

/// Brain-Semantoks keeps an atlas a dataset, in this order.
const GROUP: &str = "timeseries/";
const ORDER: [&str; 3] = ["schaefer", "tian", "buckner"];

/// The datasets of a file of many subjects, where they must be named, and how many recordings it holds.
fn stack(path: &Path) -> Option<(Vec<String>, usize)> {
    let options = OpenOptions { t_r: Some(1.0), ..OpenOptions::default() };
    if let Ok(opened) = CohortFile::open(path, &options) {
        return Some((Vec::new(), opened.subjects().len()));
    }
    let nodes = Hdf5File::open(path).ok()?.nodes().ok()?;
    let is_series =
        |kind: &NodeKind| matches!(kind, NodeKind::Dataset { shape, .. } if shape.len() == 3);
    let named = nodes.into_iter().filter(|node| is_series(&node.kind));
    let named = named.map(|node| node.path.trim_start_matches('/').to_owned());
    let mut datasets: Vec<String> = named.filter(|path| path.starts_with(GROUP)).collect();
    let place = |path: &String| {
        let name = &path[GROUP.len()..];
        ORDER.iter().position(|atlas| name.starts_with(atlas)).unwrap_or(ORDER.len())
    };
    datasets.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
    let (first, join) = datasets.split_first()?;
    let (dataset, join) = (Some(first.clone()), join.to_vec());
    let opened = CohortFile::open(path, &OpenOptions { dataset, join, ..options }).ok()?;
    let n = opened.subjects().len();
    Some((datasets, n))
}

/// Folders of Arrow files, each a kind of its own: `NAME.arrow/train/data-….arrow` belongs to `NAME.arrow`.
pub(super) fn tables(dir: &Path, files: &[&str]) -> Vec<Group> {
    const SPLITS: [&str; 6] = ["train", "validation", "valid", "val", "dev", "test"];
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files.iter().take(MAX_STACKS) {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        if name.starts_with("cache-") {
            continue;
        }
        let (above, last) = folder.rsplit_once('/').unwrap_or(("", folder));
        folders.entry(if SPLITS.contains(&last) { above } else { folder }).or_default().push(file);
    }
    let group = |(folder, files): (&str, Vec<&str>)| {
        let options = OpenOptions { t_r: Some(1.0), ..OpenOptions::default() };
        let rows = |file: &&str| Some(ArrowRows::open(dir.join(file), &options).ok()?.n_rows());
        let n = files.iter().filter_map(rows).sum();
        Group {
            kind: Kind::Rows(folder.to_owned()),
            files: files.into_iter().map(str::to_owned).collect(),
            n_recordings: n,
            n_subjects: n,
        }
    };
    folders.into_iter().map(group).collect()
}

/// Formats of the field that no cohort lists, by the ends of names.
const FOREIGN: [(&[&str], &str); 7] = [
    (&[".brik", ".brik.gz", ".head"], "AFNI (.HEAD, .BRIK): convert it with `3dAFNItoNIFTI`"),
    (&[".mat"], "MATLAB files, which no cohort lists by themselves"),
    (&[".npz"], "archives of numpy (.npz): save an .npy for each recording"),
    (&[".mnc"], "MINC: convert it with `mnc2nii`"),
    (&[".nii.zst", ".nii.bz2", ".nii.xz"], "NIfTI in another compression than gzip"),
    (&[".dcm"], "DICOM: convert it with `dcm2niix`"),
    (&[".pkl", ".rds", ".rdata"], "objects of Python or R, which are programs"),
];

/// The format of a file that is not read, by its name.
pub(super) fn foreign(path: &str) -> Option<&'static str> {
    let small = path.to_lowercase();
    let found = FOREIGN.iter().find(|(endings, _)| endings.iter().any(|it| small.ends_with(it)));
    found.map(|(_, format)| *format)
}
