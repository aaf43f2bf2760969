//! Runs a small pipeline that is killed, stopped and damaged at random moments, and compares what it
//! publishes in the end with what an undisturbed run does.
//!
//! The program is the one beside this one, or the one that `NEUROFLAMINGO` names.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Ends of an unfinished run before it may go to its end.
const MOST_ENDS: usize = 5;

/// What happened.
#[derive(Default)]
struct Counts {
    n_rounds: usize,
    n_kills: usize,
    n_stops: usize,
    n_damages: usize,
    n_resumes: usize,
    n_differing: usize,
    n_leftovers: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds: {} kills, {} stops, {} damaged files, {} resumes; {} runs with other bytes, \
             {} leftovers",
            self.n_rounds,
            self.n_kills,
            self.n_stops,
            self.n_damages,
            self.n_resumes,
            self.n_differing,
            self.n_leftovers
        )
    }
}

/// Does `n` rounds, and prints what happened in them.
#[expect(clippy::print_stdout, reason = "the counts are what this chore is for")]
pub(crate) fn run(root: &Path, n: usize, seed: u64) -> Result<()> {
    let program = program()?;
    let folder = tempfile::tempdir()?;
    let whole = Run { program, root: root.to_owned(), outputs: folder.path().join("whole") };
    let begun = Instant::now();
    ensure!(whole.start()?.wait()?.success(), "the undisturbed run failed");
    let (takes, expected) = (begun.elapsed(), whole.published()?);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = Counts::default();
    for round in 0..n {
        let run = Run { outputs: folder.path().join(format!("round-{round}")), ..whole.clone() };
        run.disturbed(takes, &mut rng, &mut counts)?;
        counts.n_rounds += 1;
        let found = run.published()?;
        if found != expected {
            counts.n_differing += 1;
            let differs = |name: &&PathBuf| found.get(*name) != expected.get(*name);
            let names: Vec<_> = expected.keys().chain(found.keys()).filter(differs).collect();
            println!("round {round}: {names:?}");
        }
        let left = below(&run.outputs)?;
        counts.n_leftovers += left.iter().filter(|path| is_leftover(path)).count();
        fs::remove_dir_all(&run.outputs)?;
    }
    println!("{counts}");
    ensure!(counts.n_differing + counts.n_leftovers == 0, "a disturbed run shows");
    Ok(())
}

pub(crate) fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("NEUROFLAMINGO") {
        return Ok(program.into());
    }
    let here = std::env::current_exe()?;
    let program = here.with_file_name("neuroflamingo");
    ensure!(program.exists(), "{}: build it first: cargo build", program.display());
    Ok(program)
}

fn is_leftover(path: &Path) -> bool {
    let is = |part: &std::ffi::OsStr| {
        let part = part.to_string_lossy();
        part.starts_with(".partial-") || part.ends_with(".lock")
    };
    path.iter().any(is)
}

/// The pipeline with outputs of its own.
#[derive(Clone)]
struct Run {
    program: PathBuf,
    root: PathBuf,
    outputs: PathBuf,
}

impl Run {
    fn start(&self) -> Result<Child> {
        let outputs = format!("outputs={}", self.outputs.display());
        let small = ["steps=12", "validate_every=4", "checkpoint_every=2"];
        let sets = small.map(|set| format!("stages.finetune.{set}"));
        let sets = sets.into_iter().chain([outputs, "stages.generate.max_new_tokens=8".to_owned()]);
        Command::new(&self.program)
            .args(["run", "pipelines/swap-encoders.yaml"])
            .args(sets.flat_map(|set| ["--set".to_owned(), set]))
            .current_dir(&self.root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("the program cannot be started")
    }

    /// Until it ends by itself: killed, stopped, and its files damaged in between.
    fn disturbed(&self, takes: Duration, rng: &mut ChaCha8Rng, counts: &mut Counts) -> Result<()> {
        let ends = rng.random_range(1..=MOST_ENDS);
        for _ in 0..ends {
            let mut child = self.start()?;
            thread::sleep(takes.mul_f64(rng.random_range(0.0..1.0)));
            if child.try_wait()?.is_some() {
                break;
            }
            if rng.random_bool(0.6) {
                child.kill()?;
                counts.n_kills += 1;
            } else {
                let kill = format!("kill -s TERM {}", child.id());
                ensure!(Command::new("sh").args(["-c", &kill]).status()?.success(), "no shell");
                counts.n_stops += 1;
            }
            child.wait()?;
            counts.n_resumes += 1;
            if rng.random_bool(0.5) {
                counts.n_damages += usize::from(self.damage(rng)?);
            }
        }
        let code = self.start()?.wait()?.code();
        ensure!(code == Some(0), "the last run of a round ended with {code:?}");
        Ok(())
    }

    /// Flips a bit of a stored file, or cuts it.
    fn damage(&self, rng: &mut ChaCha8Rng) -> Result<bool> {
        let cache = self.outputs.join("cache");
        let files = if cache.exists() { below(&cache)? } else { Vec::new() };
        let files: Vec<_> = files.into_iter().filter(|path| !is_leftover(path)).collect();
        if files.is_empty() {
            return Ok(false);
        }
        let path = cache.join(&files[rng.random_range(0..files.len())]);
        let mut bytes = fs::read(&path)?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let at = rng.random_range(0..bytes.len());
        if rng.random_bool(0.7) {
            bytes[at] ^= 1 << rng.random_range(0..8);
        } else {
            bytes.truncate(at);
        }
        fs::write(&path, bytes)?;
        Ok(true)
    }

    /// What does not say where and when it was made.
    fn published(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let dir = self.outputs.join("swap-encoders");
        if !dir.exists() {
            bail!("nothing was published");
        }
        let timed = ["record.json", "config_used.yaml", "journal.jsonl", "training"];
        let is_timed = |path: &PathBuf| timed.iter().any(|name| path.starts_with(name));
        let files = below(&dir)?.into_iter().filter(|path| !is_timed(path));
        files.map(|path| Ok((path.clone(), fs::read(dir.join(path))?))).collect()
    }
}

/// Every file below `dir`, relative to it, sorted.
pub(crate) fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    files.sort();
    Ok(files)
}
