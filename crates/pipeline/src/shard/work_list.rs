//! Which recordings each task of an array takes: a table that people may read and shorten.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{Error, Result, plan::Plan};

const COLUMNS: [&str; 5] = ["task", "participant_id", "session_id", "scan", "plan"];

/// Tasks with their recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkList {
    path: PathBuf,
    /// The table as text.
    text: String,
    /// Digest of the plan that it was made for.
    plan: String,
    /// Names of recordings, by task.
    tasks: BTreeMap<usize, Vec<String>>,
}

/// What decides which recordings there are and what is done with them: the pipeline with every `--set`
/// and component, and the names of its recordings.
pub(super) fn digest_of(plan: &Plan) -> String {
    let names: Vec<String> = plan.scans().into_iter().map(|scan| scan.name).collect();
    files::sha256_bytes(json!([plan.spec(), names]).to_string().as_bytes())
}

impl WorkList {
    /// Divides recordings of a plan, `scans` by their places in it, among tasks of so many each.
    pub fn divide(plan: &Plan, scans: &[usize], each: NonZeroUsize) -> Self {
        let (all, digest) = (plan.scans(), digest_of(plan));
        let mut text = COLUMNS.join("\t") + "\n";
        let mut tasks: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (task, part) in scans.chunks(each.get()).zip(1..).map(|(part, task)| (task, part)) {
            for scan in part.iter().map(|&idx| &all[idx]) {
                let session = scan.session.as_deref().unwrap_or("n/a");
                let (name, subject) = (&scan.name, &scan.subject);
                let _ = writeln!(text, "{task}\t{subject}\t{session}\t{name}\t{digest}");
                tasks.entry(task).or_default().push(name.clone());
            }
        }
        Self { path: PathBuf::from("work_list.tsv"), text, plan: digest, tasks }
    }

    /// Reads a table that was written by [`WorkList::write`]; rows may be missing.
    ///
    /// # Errors
    /// Names the row that is none of such a table, or lists a recording again.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_table(path)?;
        let refuse = |problem: String| Error::WorkList { path: path.to_owned(), problem };
        let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let header = lines.next().map_or("", |(line, _)| line);
        if header.split('\t').ne(COLUMNS) {
            let (found, expected) = (files::one_line(header), COLUMNS.join(", "));
            return Err(refuse(format!(
                "its first line is {found:?}, expected the columns {expected} of a work list"
            )));
        }
        let mut tasks: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let (mut plan, mut seen) = (None::<String>, BTreeSet::new());
        for (line, number) in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            let &[task, _, _, scan, of] = cells.as_slice() else {
                let found = cells.len();
                return Err(refuse(format!("line {number} has {found} cells, expected 5")));
            };
            let task = task.parse().ok().filter(|&task: &usize| task > 0);
            let Some(task) = task else {
                let found = files::one_line(cells[0]);
                return Err(refuse(format!(
                    "line {number}: task is {found:?}, expected 1 or more"
                )));
            };
            if plan.get_or_insert_with(|| of.to_owned()) != of {
                return Err(refuse(format!("line {number} is of another plan than those before")));
            }
            if !seen.insert(scan.to_owned()) {
                return Err(refuse(format!(
                    "line {number} lists a recording again: two tasks would write one file"
                )));
            }
            tasks.entry(task).or_default().push(scan.to_owned());
        }
        let plan = plan.ok_or_else(|| refuse("it lists no recording".to_owned()))?;
        Ok(Self { path: path.to_owned(), text, plan, tasks })
    }

    /// Writes the table.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(files::write_atomic(path, self.text.as_bytes())?)
    }

    /// How many tasks it has.
    pub fn n_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// How many recordings it has.
    pub fn n_scans(&self) -> usize {
        self.tasks.values().map(Vec::len).sum()
    }

    /// The SHA-256 of the table.
    pub(super) fn digest(&self) -> String {
        files::sha256_bytes(self.text.as_bytes())
    }

    /// The recordings of a task, by their places in the plan.
    pub(super) fn scans_of(&self, plan: &Plan, task: usize) -> Result<Vec<usize>> {
        let refuse = |problem: String| Error::WorkList { path: self.path.clone(), problem };
        let expected = digest_of(plan);
        if self.plan != expected {
            let short = |digest: &str| files::one_line(digest).chars().take(12).collect::<String>();
            return Err(refuse(format!(
                "it was written for another plan ({}…, this one is {}…): submit the pipeline again",
                short(&self.plan),
                short(&expected)
            )));
        }
        let scans = plan.scans();
        let places: BTreeMap<&str, usize> =
            scans.iter().enumerate().map(|(idx, scan)| (scan.name.as_str(), idx)).collect();
        let place = |name: &String| places.get(name.as_str()).copied();
        if self.tasks.values().flatten().any(|name| place(name).is_none()) {
            return Err(refuse("it lists a recording that the plan does not have".to_owned()));
        }
        let names = self.tasks.get(&task).ok_or_else(|| {
            let last = self.tasks.keys().last().copied().unwrap_or(0);
            refuse(format!("there is no task {task}, expected one of 1 to {last}"))
        })?;
        Ok(names.iter().filter_map(place).collect())
    }
}
