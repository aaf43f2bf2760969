//! A run as jobs of a cluster: an array of tasks, and a job that gathers.
//!
//! ```text
//! runs/NAME/slurm/N/  work_list.tsv  task.sbatch  gather.sbatch  jobs.json  logs/
//! ```
//!
//! Every submission has a folder of its own, so that nothing is changed that a waiting job will read.
mod script;
mod site;

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

pub use site::{Resources, Site};

use crate::{
    Error, Result, WorkList,
    plan::Plan,
    shard::{check_divisible, settled},
};
use script::{Job, quoted};

/// `MaxArraySize` where nobody says another: Slurm's own default.
const MAX_ARRAY_SIZE: NonZeroUsize = NonZeroUsize::new(1001).unwrap();

const JOBS: &str = "jobs.json";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct SubmitOptions {
    /// The cluster.
    pub site: Site,
    /// The words of the command `run`, without work list and task; paths absolute.
    pub run: Vec<String>,
    /// Only recordings that failed for a reason that may have passed, or that no task has ended.
    pub only_unsettled: bool,
    /// Writes everything and submits nothing.
    pub dry: bool,
}

/// Jobs that were written, and submitted unless only that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Submission {
    /// The folder of the submission.
    pub folder: PathBuf,
    /// Recordings in the work list.
    pub n_recordings: usize,
    /// Tasks of all arrays.
    pub n_tasks: usize,
    /// The scripts, of a task and of the gather job.
    pub scripts: [PathBuf; 2],
    /// The commands that submit, as a shell runs them.
    pub commands: Vec<String>,
    /// Ids of the arrays, and of the gather job last; empty where nothing was submitted.
    pub jobs: Vec<String>,
}

/// Ids of submitted jobs, as they are kept.
#[derive(Serialize, Deserialize)]
struct Jobs {
    jobs: Vec<String>,
}

/// Writes the scripts and the work list of a run into its folder, and submits them.
///
/// # Errors
/// Where nothing can be divided, nothing is left to do, jobs of an earlier submission still run, or
/// Slurm refuses.
pub fn submit_slurm(plan: &Plan, options: &SubmitOptions) -> Result<Submission> {
    check_divisible(plan)?;
    let site = &options.site;
    let submissions = plan.run_dir.join("slurm");
    if !options.dry {
        refuse_while_running(&submissions)?;
    }
    let scans = wanted(plan, options.only_unsettled)?;
    // tasks take digests of files from the plan that was made here
    plan.loaded.known().save()?;
    let each = site.recordings_per_task.unwrap_or(NonZeroUsize::MIN);
    let list = WorkList::divide(plan, &scans, each);
    let most = match site.max_array_size {
        Some(most) => most,
        None => max_array_size(options.dry)?,
    };
    let folder = std::path::absolute(next_folder(&submissions)?)
        .map_err(files::at("resolve", &submissions))?;
    files::make_dir(&folder.join("logs"))?;
    list.write(&folder.join("work_list.tsv"))?;
    let command = command(site, &options.run)?;
    let job = Job { site, pipeline: &plan.spec().name, folder: &folder, command: &command };
    let scripts = ["task.sbatch", "gather.sbatch"].map(|name| folder.join(name));
    files::write_atomic(&scripts[0], job.task().as_bytes())?;
    files::write_atomic(&scripts[1], job.gather().as_bytes())?;
    let jobs = jobs(&scripts, list.n_tasks(), most, site.throttle);
    let commands = shell(&jobs);
    let mut submission = Submission {
        n_recordings: list.n_scans(),
        n_tasks: list.n_tasks(),
        folder,
        scripts,
        commands,
        jobs: Vec::new(),
    };
    if !options.dry {
        for job in &jobs {
            let id = sbatch(&job.words(&submission.jobs))?;
            submission.jobs.push(id);
            // after each, so that what was submitted is known whatever comes
            let ids = Jobs { jobs: submission.jobs.clone() };
            files::write_json(&submission.folder.join(JOBS), &ids)?;
        }
    }
    Ok(submission)
}

/// The recordings to submit, by their places in the plan.
fn wanted(plan: &Plan, only_unsettled: bool) -> Result<Vec<usize>> {
    let scans = plan.scans();
    let settled = if only_unsettled { settled(plan)? } else { BTreeSet::default() };
    let wanted = (0..scans.len()).filter(|&idx| !settled.contains(&scans[idx].name));
    let wanted: Vec<usize> = wanted.collect();
    if wanted.is_empty() {
        let problem = "every recording is done or has failed for what it contains: nothing is left \
                       to submit again, `run` does the rest";
        return Err(refused(&plan.spec().name, problem.to_owned()));
    }
    Ok(wanted)
}

/// The program and the words of its command, as the shell reads them.
fn command(site: &Site, run: &[String]) -> Result<String> {
    let program = if let Some(program) = &site.program {
        program.clone()
    } else {
        let path = std::env::current_exe();
        let path = path.map_err(files::at("find the program in", Path::new(".")))?;
        quoted(&path.display().to_string())
    };
    let words = run.iter().map(|word| quoted(word));
    Ok([program].into_iter().chain(words).collect::<Vec<_>>().join(" "))
}

/// A folder of the next number.
fn next_folder(submissions: &Path) -> Result<PathBuf> {
    files::make_dir(submissions)?;
    let numbers = files::list(submissions)?.into_iter().filter_map(|name| name.parse().ok());
    let last: u32 = numbers.max().unwrap_or(0);
    Ok(submissions.join((last + 1).to_string()))
}

/// One call of `sbatch`.
struct Batch {
    /// `--array=…`; none for the gather job.
    array: Option<String>,
    /// Places of the jobs before which it does not start.
    after: Vec<usize>,
    /// The script and its argument.
    script: Vec<String>,
}

/// As many arrays as `most` asks for, one after the other so that the throttle holds, and the gather job.
fn jobs(
    scripts: &[PathBuf; 2],
    n_tasks: usize,
    most: NonZeroUsize,
    throttle: Option<NonZeroUsize>,
) -> Vec<Batch> {
    let [task, gather] = scripts.each_ref().map(|path| path.display().to_string());
    let throttle = throttle.map_or_else(String::new, |n| format!("%{n}"));
    let arrays = (0..n_tasks).step_by(most.get()).enumerate().map(|(at, first)| {
        let n = most.get().min(n_tasks - first);
        let array = Some(format!("--array=0-{}{throttle}", n - 1));
        let after = at.checked_sub(1).into_iter().collect();
        Batch { array, after, script: vec![task.clone(), (first + 1).to_string()] }
    });
    let mut jobs: Vec<Batch> = arrays.collect();
    let after = (0..jobs.len()).collect();
    jobs.push(Batch { array: None, after, script: vec![gather] });
    jobs
}

impl Batch {
    /// The words of `sbatch`, where `ids` are those of the jobs before.
    fn words(&self, ids: &[String]) -> Vec<String> {
        let mut words = vec!["--parsable".to_owned()];
        words.extend(self.array.clone());
        if !self.after.is_empty() {
            let ids: Vec<&str> = self.after.iter().map(|&at| ids[at].as_str()).collect();
            words.push(format!("--dependency=afterany:{}", ids.join(":")));
        }
        words.extend(self.script.clone());
        words
    }
}

/// The same calls as lines for a shell.
fn shell(jobs: &[Batch]) -> Vec<String> {
    let names: Vec<String> = (1..=jobs.len()).map(|number| format!("job_{number}")).collect();
    let ids: Vec<String> = names.iter().map(|name| format!("${name}")).collect();
    let line = |(job, name): (&Batch, &String)| {
        let words = job.words(&ids).into_iter().map(|word| {
            // ids of jobs are numbers, once the shell has put them in
            if word.starts_with("--dependency=") { format!("\"{word}\"") } else { quoted(&word) }
        });
        format!("{name}=$(sbatch {})", words.collect::<Vec<_>>().join(" "))
    };
    jobs.iter().zip(&names).map(line).collect()
}

/// Submits one job; its id.
fn sbatch(words: &[String]) -> Result<String> {
    let said = slurm("sbatch", words)?;
    // a federation adds the name of the cluster
    let id = said.trim().split(';').next().unwrap_or_default().to_owned();
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
        let problem = format!("says {:?}, expected the number of a job", files::one_line(&said));
        return Err(refused("sbatch", problem));
    }
    Ok(id)
}

/// The most elements of an array; where nothing is submitted, Slurm need not be there.
fn max_array_size(dry: bool) -> Result<NonZeroUsize> {
    let said = match slurm("scontrol", &["show".to_owned(), "config".to_owned()]) {
        Err(_) if dry => return Ok(MAX_ARRAY_SIZE),
        said => said?,
    };
    let value = said.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "MaxArraySize").then(|| value.trim().parse().ok())?
    });
    Ok(value.unwrap_or(MAX_ARRAY_SIZE))
}

/// Refuses to submit what jobs of an earlier submission may be writing.
fn refuse_while_running(submissions: &Path) -> Result<()> {
    if !submissions.is_dir() {
        return Ok(());
    }
    for name in files::list(submissions)? {
        let Ok(Jobs { jobs }) = files::read_json(&submissions.join(&name).join(JOBS)) else {
            continue;
        };
        for id in jobs {
            // of a job that is long gone Slurm knows nothing, which is an error to it
            let words = ["--noheader", "--format=%T", "--jobs", &id].map(str::to_owned);
            if slurm("squeue", &words).is_ok_and(|said| !said.trim().is_empty()) {
                let place = submissions.join(&name).display().to_string();
                let problem = format!("job {id} is queued or runs: wait for it, or `scancel {id}`");
                return Err(refused(&place, problem));
            }
        }
    }
    Ok(())
}

/// What a command of Slurm says.
fn slurm(program: &str, words: &[String]) -> Result<String> {
    let output = match Command::new(program).args(words).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let problem = "not found: submit from a machine that has Slurm's commands, or write the \
                           scripts alone with --print";
            return Err(refused(program, problem.to_owned()));
        }
        output => output.map_err(files::at("run", Path::new(program)))?,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(refused(program, files::one_line(said.trim())))
}

fn refused(place: &str, problem: String) -> Error {
    Error::Submit { place: place.to_owned(), problem }
}

/// The JSON Schema of the file of a site, for editors.
pub fn site_schema() -> String {
    config::schema::<Site>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_as_long_as_the_cluster_allows_and_follow_each_other() {
        let scripts = ["t", "g"].map(PathBuf::from);
        let most = NonZeroUsize::new(10).unwrap();
        let lines = shell(&jobs(&scripts, 24, most, NonZeroUsize::new(4)));
        assert_eq!(
            lines,
            [
                "job_1=$(sbatch --parsable --array=0-9%4 t 1)",
                "job_2=$(sbatch --parsable --array=0-9%4 \"--dependency=afterany:$job_1\" t 11)",
                "job_3=$(sbatch --parsable --array=0-3%4 \"--dependency=afterany:$job_2\" t 21)",
                "job_4=$(sbatch --parsable \"--dependency=afterany:$job_1:$job_2:$job_3\" g)",
            ]
        );
        let one = shell(&jobs(&scripts, 10, most, None));
        assert_eq!(one.len(), 2);
        assert_eq!(one[0], "job_1=$(sbatch --parsable --array=0-9 t 1)");
    }
}
