//! What a training tells as it goes, in the folder `training` of a run: `metrics.jsonl`, the same numbers as an event
//! file of `TensorBoard`, and in `samples` what the model wrote at each evaluation.

mod tensorboard;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use train::Progress;

use self::tensorboard::EventFile;
use crate::{
    Result,
    event::{Control, Event},
};

/// The folder in a run folder, and in the stored result of a training.
pub(crate) const FOLDER: &str = "training";

const METRICS: &str = "metrics.jsonl";
const EVENTS: &str = "events.out.tfevents.neuroflamingo";
/// The folder of what was written during a training, a file an evaluation.
const SAMPLES: &str = "samples";
/// Which training the files are of: another one of the same run may have been begun in between.
const OWNER: &str = ".training";

/// The files of a training that is going on.
pub(crate) struct TrainingLog {
    dir: PathBuf,
    /// The name of the folder that keeps the state of this training.
    owner: String,
    /// None before the first news: what an earlier training left stays until then.
    open: Option<Open>,
    last: Instant,
}

struct Open {
    metrics: File,
    events: EventFile,
}

impl TrainingLog {
    /// In the folder `training` of a run folder, of the training whose state is kept in `state`.
    pub(crate) fn new(run_dir: &Path, state: &Path) -> Self {
        let owner = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { dir: run_dir.join(FOLDER), owner, open: None, last: Instant::now() }
    }

    /// Runs a training by `train`, writes down and hands on what it tells, and stops it where that is asked for
    /// or cannot be written; then copies the files into `result`.
    pub(crate) fn follow<T>(
        mut self,
        control: &mut Control<'_>,
        result: &Path,
        train: impl FnOnce(train::Observer<'_>) -> train::Result<T>,
    ) -> Result<T> {
        let mut failed = None;
        let trained = train(&mut |news| {
            control.tell(Event::Training(news.clone()));
            if failed.is_none() {
                failed = self.note(news).err();
            }
            if control.stopping() || failed.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let trained = trained?;
        for name in names_in(&self.dir)? {
            let bytes = files::read_bytes(&self.dir.join(&name))?;
            files::write_atomic(&result.join(FOLDER).join(&name), &bytes)?;
        }
        Ok(trained)
    }

    /// Writes one piece of news down.
    fn note(&mut self, news: &Progress) -> Result<()> {
        let seconds = self.last.elapsed().as_secs_f64();
        let entry = match news {
            Progress::Step { step, loss, lr, grad_norm, n_tokens, .. } => json!({
                "step": step,
                "loss": loss,
                "learning_rate": lr,
                "grad_norm": grad_norm,
                "n_tokens": n_tokens,
                "seconds": rounded(seconds),
                "tokens_per_second": rounded(*n_tokens as f64 / seconds.max(1e-9)),
            }),
            Progress::NothingLearned { step } => json!({ "step": step, "nothing_learned": true }),
            Progress::Validated { step, nll, metrics, best } => {
                let mut entry = json!({ "step": step, "validation_nll": nll, "best": best });
                for (name, value) in metrics {
                    entry[format!("validation_{name}")] = json!(value);
                }
                entry
            }
            Progress::Resumed { step } => {
                self.last = Instant::now();
                return self.go_on(*step);
            }
            // the micro-batches are part of their step, and a lost state is told on the terminal
            _ => return Ok(()),
        };
        self.last = Instant::now();
        if self.open.is_none() {
            self.begin()?;
        }
        let Some(Open { metrics, events }) = &mut self.open else { unreachable!("it was opened") };
        let path = self.dir.join(METRICS);
        let line = entry.to_string() + "\n";
        metrics.write_all(line.as_bytes()).map_err(files::at("write", &path))?;
        Ok(events.scalars(&entry).map_err(files::at("write", &self.dir.join(EVENTS)))?)
    }

    /// Of a training from the beginning: nothing of an earlier one stays.
    fn begin(&mut self) -> Result<()> {
        self.empty()?;
        self.append(None)
    }

    fn empty(&self) -> Result<()> {
        files::remove_dir(&self.dir.join(SAMPLES))?;
        files::write_atomic(&self.dir.join(OWNER), self.owner.as_bytes())?;
        files::write_atomic(&self.dir.join(METRICS), b"")?;
        Ok(files::write_atomic(&self.dir.join(EVENTS), b"")?)
    }

    /// Of a training that goes on after a step: what was written of later ones, or torn, is taken back. What another
    /// training wrote is not gone on with.
    fn go_on(&mut self, step: usize) -> Result<()> {
        let owner = self.dir.join(OWNER);
        if !owner.is_file() || files::read_text(&owner)? != self.owner {
            self.empty()?;
        }
        let path = self.dir.join(METRICS);
        let text = if path.is_file() { files::read_text(&path)? } else { String::new() };
        let is_kept = |line: &&str| {
            let entry: Option<Value> = serde_json::from_str(line).ok();
            entry.and_then(|it| it["step"].as_u64()).is_some_and(|at| at <= step as u64)
        };
        let kept: String =
            text.split_inclusive('\n').filter(|it| it.ends_with('\n')).filter(is_kept).collect();
        files::write_atomic(&path, kept.as_bytes())?;
        for name in names_in(&self.dir)? {
            let (sample, last) = (self.dir.join(&name), Path::new(SAMPLES).join(sample_name(step)));
            if name.starts_with(SAMPLES) && name > last {
                files::remove_file(&sample)?;
            }
        }
        self.append(Some(step))
    }

    fn append(&mut self, resumed: Option<usize>) -> Result<()> {
        let (metrics, events) = (self.dir.join(METRICS), self.dir.join(EVENTS));
        let file = OpenOptions::new().append(true).open(&metrics);
        self.open = Some(Open {
            metrics: file.map_err(files::at("open", &metrics))?,
            events: EventFile::open(&events, resumed).map_err(files::at("open", &events))?,
        });
        Ok(())
    }
}

/// Nobody goes on with the log in a run folder: what stands there is that of a stored result.
pub(crate) fn settle(run_dir: &Path) -> Result<()> {
    Ok(files::remove_file(&run_dir.join(FOLDER).join(OWNER))?)
}

/// The files of a stored result, where there are any.
pub(crate) fn files_of(result: &Path) -> Result<Vec<(String, PathBuf)>> {
    let dir = result.join(FOLDER);
    let names = names_in(&dir)?.into_iter();
    Ok(names.map(|name| (format!("{FOLDER}/{}", name.display()), dir.join(name))).collect())
}

/// Where the samples of a run lie.
pub(crate) fn samples_in(run_dir: &Path) -> PathBuf {
    run_dir.join(FOLDER).join(SAMPLES)
}

/// The file of the samples after a step; the names have the order of the steps.
pub(crate) fn sample_name(step: usize) -> String {
    format!("step-{step:06}.md")
}

/// The files that are kept, of those that are there.
fn names_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let is_file = |path: &Path| fs::metadata(path).is_ok_and(|it| it.is_file());
    let logs = [METRICS, EVENTS].map(PathBuf::from).into_iter();
    let mut names: Vec<PathBuf> = logs.filter(|name| is_file(&dir.join(name))).collect();
    if dir.join(SAMPLES).is_dir() {
        let samples = files::list(&dir.join(SAMPLES))?.into_iter();
        names.extend(samples.map(|name| Path::new(SAMPLES).join(name)));
    }
    Ok(names)
}

/// With six digits after the point: these are times.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0., |it| it.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: usize, loss: f64) -> Progress {
        Progress::Step { step, n_steps: 9, loss, lr: 0.5, grad_norm: 2., n_tokens: 30 }
    }

    fn lines(dir: &Path) -> Vec<Value> {
        let text = fs::read_to_string(dir.join(FOLDER).join(METRICS)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_resumed_training_goes_on_after_its_saved_step() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = TrainingLog::new(dir.path(), Path::new("states/a"));
        for at in 1..=4 {
            log.note(&step(at, 1. / at as f64)).unwrap();
        }
        let metrics = [("scan_gain".to_owned(), 0.5)].into();
        log.note(&Progress::Validated { step: 4, nll: 0.75, metrics, best: true }).unwrap();
        assert!(
            (lines(dir.path())[4]["validation_scan_gain"].as_f64().unwrap() - 0.5).abs() < 1e-9
        );
        for at in [2, 4] {
            let sample = samples_in(dir.path()).join(sample_name(at));
            files::write_atomic(&sample, b"# Step").unwrap();
        }
        drop(log);
        // torn by a kill
        let path = dir.path().join(FOLDER).join(METRICS);
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"step\":5,\"lo")
            .unwrap();
        let mut log = TrainingLog::new(dir.path(), Path::new("states/a"));
        log.note(&Progress::Resumed { step: 2 }).unwrap();
        let left = files::list(&samples_in(dir.path())).unwrap();
        assert_eq!(left, ["step-000002.md"], "those of later steps are taken back");
        log.note(&step(3, 0.25)).unwrap();
        log.note(&Progress::NothingLearned { step: 4 }).unwrap();
        let found: Vec<_> =
            lines(dir.path()).iter().map(|it| (it["step"].clone(), it["loss"].clone())).collect();
        let expected = [
            (json!(1), json!(1.)),
            (json!(2), json!(0.5)),
            (json!(3), json!(0.25)),
            (json!(4), Value::Null),
        ];
        assert_eq!(found, expected);
        assert!(lines(dir.path())[2]["tokens_per_second"].as_f64().unwrap() > 0.);
        // a training from the beginning leaves nothing of it
        let mut log = TrainingLog::new(dir.path(), Path::new("states/b"));
        log.note(&step(1, 3.)).unwrap();
        assert_eq!(lines(dir.path()).len(), 1);
        assert!(!samples_in(dir.path()).exists());
        // and its steps are none of the one that goes on
        let mut log = TrainingLog::new(dir.path(), Path::new("states/a"));
        log.note(&Progress::Resumed { step: 2 }).unwrap();
        log.note(&step(3, 0.25)).unwrap();
        let found: Vec<_> = lines(dir.path()).iter().map(|it| it["step"].clone()).collect();
        assert_eq!(found, [3]);
        // one that was stopped after its last step, and before its result was stored, keeps them
        let log = TrainingLog::new(dir.path(), Path::new("states/a"));
        let mut observer = engine::Silent;
        let stop = std::sync::atomic::AtomicBool::new(false);
        let mut control = Control::new(&mut observer, &stop);
        let train = |tell: train::Observer<'_>| {
            _ = tell(&Progress::Resumed { step: 3 });
            Ok(())
        };
        log.follow(&mut control, &dir.path().join("result"), train).unwrap();
        let mut log = TrainingLog::new(dir.path(), Path::new("states/a"));
        log.note(&Progress::Resumed { step: 3 }).unwrap();
        assert_eq!(lines(dir.path()).len(), 1);
        settle(dir.path()).unwrap();
        assert!(!dir.path().join(FOLDER).join(OWNER).exists());
    }
}
