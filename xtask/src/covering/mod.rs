//! A covering array of pipelines: every two choices of cohort, preparation, encoder, windows, outputs and
//! repetition meet in some pipeline. What `check` accepts must run to its end, what it refuses must be
//! one sentence, and nothing may panic.

mod cohort;
mod factors;
mod pairwise;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub use factors::{Combination, Size};

/// What the program left behind.
#[derive(Clone, Debug)]
pub struct Said {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// What became of the pipelines.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Accepted by `check`, and run to the end.
    pub n_run: usize,
    /// Refused in one sentence by `check` and by `run`.
    pub n_refused: usize,
    /// Where either panicked, or was ended by a signal.
    pub panicked: Vec<String>,
    /// Where `check` and `run` say different things, or more than one.
    pub disagreed: Vec<String>,
}

impl Outcome {
    /// Whether `check` and `run` agree everywhere.
    pub fn agrees(&self) -> bool {
        self.panicked.is_empty() && self.disagreed.is_empty()
    }

    /// Counts, and all that is wrong.
    pub fn in_words(&self) -> String {
        let (n_panicked, n_disagreed) = (self.panicked.len(), self.disagreed.len());
        let mut text = format!(
            "{} run to the end, {} refused in one sentence, {n_panicked} panicked, {n_disagreed} \
             disagree",
            self.n_run, self.n_refused
        );
        for wrong in self.panicked.iter().chain(&self.disagreed) {
            let _ = write!(text, "\n\n{wrong}");
        }
        text
    }
}

/// Runs the combinations of `size` in an empty `folder` through `program`, which is given its words;
/// `told` hears of each as it is done.
///
/// # Errors
/// Where the cohort or a pipeline cannot be written.
pub fn cover(
    size: Size,
    folder: &Path,
    program: &dyn Fn(&[&str]) -> Result<Said>,
    told: &mut dyn FnMut(usize, usize, &str),
) -> Result<Outcome> {
    cohort::write(folder)?;
    let all = factors::combinations(size);
    let mut outcome = Outcome::default();
    for (at, combination) in all.iter().enumerate() {
        let name = format!("combination-{at}");
        let path = folder.join(format!("{name}.yaml"));
        fs::write(&path, combination.pipeline(&name)).context("cannot write a pipeline")?;
        let path = path.display().to_string();
        let checked = program(&["check", &path])?;
        let ran = program(&["run", &path])?;
        let words = judge(&mut outcome, combination, &checked, &ran);
        // where all recordings are refused, `status.tsv` alone says why
        let written = fs::read_dir(folder.join("runs").join(&name));
        let is_there =
            written.is_ok_and(|files| files.flatten().any(|file| file.file_name() != "status.tsv"));
        if is_there != (ran.code == Some(0)) && ["run", "refused"].contains(&words) {
            outcome.disagreed.push(format!("{combination}: results there: {is_there}"));
        }
        told(at + 1, all.len(), &format!("{words}: {combination}"));
    }
    Ok(outcome)
}

/// Counts one combination, and says where it belongs.
fn judge(
    outcome: &mut Outcome,
    combination: &Combination,
    checked: &Said,
    ran: &Said,
) -> &'static str {
    let panics =
        |said: &Said| said.stderr.contains("panicked at") || said.code.is_none_or(|it| it > 2);
    let one_sentence =
        |said: &Said| said.stderr.lines().filter(|line| line.starts_with("error: ")).count() == 1;
    let whole = |what: &str| {
        format!(
            "{combination}: {what}\ncheck exits with {:?}: {}\nrun exits with {:?}: {}",
            checked.code, checked.stderr, ran.code, ran.stderr
        )
    };
    if panics(checked) || panics(ran) {
        outcome.panicked.push(whole("a panic"));
        return "panicked";
    }
    match (checked.code, ran.code) {
        (Some(0), Some(0)) => {
            outcome.n_run += 1;
            "run"
        }
        (Some(2), Some(2)) if one_sentence(checked) && one_sentence(ran) => {
            outcome.n_refused += 1;
            "refused"
        }
        (Some(2), Some(2)) => {
            outcome.disagreed.push(whole("more or less than one error"));
            "disagreed"
        }
        _ => {
            outcome.disagreed.push(whole("check and run disagree"));
            "disagreed"
        }
    }
}

/// Covers everything with the binary at `program`, printing each combination and the counts.
///
/// # Errors
/// Where the binary cannot be started, or something panicked or disagreed.
#[expect(clippy::print_stdout, reason = "what became of each is what this chore is for")]
pub fn run(program: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let start = |words: &[&str]| {
        let output = Command::new(program).args(words).output();
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Said { code: output.status.code(), stderr })
    };
    let mut told = |done: usize, of: usize, words: &str| println!("{done}/{of} {words}");
    let outcome = cover(Size::Whole, folder.path(), &start, &mut told)?;
    println!("{}", outcome.in_words());
    if !outcome.agrees() {
        bail!("check and run disagree")
    }
    Ok(())
}
