//! What a cluster wants to be told: one YAML file a site.
use std::{num::NonZeroUsize, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How jobs are asked for on one cluster. Absent keys are left to the cluster's own defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The account that is charged (`--account`).
    #[serde(default)]
    pub account: Option<String>,
    /// What a task of the array may use.
    #[serde(default)]
    pub task: Resources,
    /// What the gather job may use, which trains the model; absent: as much as a task.
    #[serde(default)]
    pub gather: Option<Resources>,
    /// The most tasks that run at once (`--array=…%N`).
    #[serde(default)]
    pub throttle: Option<NonZeroUsize>,
    /// Recordings of a task; absent: one. Each task reads the plan anew, so that short recordings go
    /// better in groups.
    #[serde(default)]
    pub recordings_per_task: Option<NonZeroUsize>,
    /// The cluster's `MaxArraySize`; absent: `scontrol show config` is asked. More tasks become several
    /// arrays, one after the other.
    #[serde(default)]
    pub max_array_size: Option<NonZeroUsize>,
    /// Seconds before the time limit at which a job is told to save and stop; absent: 180.
    #[serde(default)]
    pub warning_s: Option<NonZeroUsize>,
    /// Lines of shell before the program starts, such as `module load …`.
    #[serde(default)]
    pub preamble: Option<String>,
    /// The program as the shell calls it there, such as `apptainer run --cleanenv neuroflamingo.sif`;
    /// absent: this one, by its path.
    #[serde(default)]
    pub program: Option<String>,
}

/// What a job may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// `--partition`.
    #[serde(default)]
    pub partition: Option<String>,
    /// `--time`: minutes, `hours:minutes:seconds` or `days-hours:minutes:seconds`.
    #[serde(default)]
    pub time: Option<String>,
    /// `--mem`: `4G`.
    #[serde(default)]
    pub memory: Option<String>,
    /// `--cpus-per-task`; the program takes as many threads.
    #[serde(default)]
    pub cores: Option<NonZeroUsize>,
    /// `--gres`: `gpu:1`.
    #[serde(default)]
    pub gres: Option<String>,
}

impl Site {
    /// Reads the file of a site.
    ///
    /// # Errors
    /// Unknown keys, wrong types and values that no line of a script can hold are shown where they are.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        let site: Self = config::parse(path, &text).map_err(config::Error::from)?;
        site.check(path)?;
        Ok(site)
    }

    /// What the gather job may use.
    pub(super) fn gather(&self) -> &Resources {
        self.gather.as_ref().unwrap_or(&self.task)
    }

    /// A value stands in a line of the script, where a space or a quote would end it.
    fn check(&self, path: &Path) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:+@/=[]".contains(c);
        let jobs = [("task", Some(&self.task)), ("gather", self.gather.as_ref())];
        let of_jobs = jobs.into_iter().filter_map(|(name, job)| Some((name, job?)));
        let of_jobs = of_jobs.flat_map(|(name, job)| {
            let values = [
                ("partition", &job.partition),
                ("time", &job.time),
                ("memory", &job.memory),
                ("gres", &job.gres),
            ];
            values.map(|(key, value)| (format!("{name}.{key}"), value, key == "time"))
        });
        for (key, value, is_a_time) in
            [("account".to_owned(), &self.account, false)].into_iter().chain(of_jobs)
        {
            let Some(found) = value else { continue };
            let expected = if found.is_empty() || !found.chars().all(plain) {
                "letters, digits and _-.,:+@/=[]"
            } else if is_a_time && !is_time(found) {
                "minutes, hours:minutes:seconds or days-hours:minutes:seconds"
            } else {
                continue;
            };
            return Err(refused(path, &key, found, expected));
        }
        let program = self.program.as_deref();
        if let Some(found) = program.filter(|it| it.trim().is_empty() || it.contains('\n')) {
            return Err(refused(path, "program", found, "a command in one line"));
        }
        Ok(())
    }
}

fn refused(path: &Path, key: &str, found: &str, expected: &str) -> Error {
    let problem = format!("{key} is {found:?}, expected {expected}");
    Error::Submit { place: path.display().to_string(), problem }
}

/// Whether Slurm reads it as a time.
fn is_time(text: &str) -> bool {
    let (days, rest) = text.split_once('-').map_or((None, text), |(days, rest)| (Some(days), rest));
    let number = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_digit());
    let n = rest.split(':').count();
    days.is_none_or(number) && rest.split(':').all(number) && n <= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Site> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.yaml");
        std::fs::write(&path, text).unwrap();
        Site::read(&path)
    }

    #[test]
    fn a_site_is_read_strictly() {
        let site =
            read("account: a-b\ntask: { time: '1-00:00:00', memory: 4G, cores: 2 }\n").unwrap();
        assert_eq!(site.task.cores, NonZeroUsize::new(2));
        assert_eq!(site.gather(), &site.task);
        for (wrong, said) in [
            ("acount: a", "unknown field `acount`"),
            ("task: { cores: 0 }", "cores: 0"),
            ("task: { time: an hour }", "task.time is \"an hour\", expected letters, digits"),
            ("task: { time: soon }", "task.time is \"soon\", expected minutes"),
            ("gather: { gres: 'gpu:1 --wrap=x' }", "gather.gres is \"gpu:1 --wrap=x\""),
            ("account: \"a\\nb\"", "account is \"a\\nb\""),
            ("program: \" \"", "program is"),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
