//! Results by key: the same key, the same result, computed once.
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Control, Error, Event, Key, Lock, Outcomes, Result, arrays, digests};

pub(crate) const UNITS: &str = "units.json";
pub(crate) const FAILURES: &str = "failures.json";

/// Where the result of one unit lies, and what is asked of it without reading it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Everything that decides it.
    pub key: Key,
    /// Its file.
    pub path: PathBuf,
    /// What its header says.
    pub facts: Facts,
}

/// What a header says of its arrays, as text: a cohort has many, and few are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Facts(Box<str>);

impl Facts {
    /// From what the header says.
    pub fn of(facts: &Value) -> Self {
        Self(facts.to_string().into())
    }

    /// In the form of whoever wrote it.
    ///
    /// # Errors
    /// Where it has another form.
    pub fn get<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A folder of results: `<stage>/<key>/` of stages, `<stage>/scans/<key>.safetensors` of units.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Results below `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a finished result lies.
    pub fn dir(&self, stage: &str, key: &Key) -> PathBuf {
        self.root.join(stage).join(key.short())
    }

    /// Where the result of a unit lies.
    pub fn unit(&self, stage: &str, key: &Key) -> PathBuf {
        self.root.join(stage).join("scans").join(format!("{}.safetensors", key.short()))
    }

    /// The results that a stage listed in `dir`; one that is damaged since is an error, so that the
    /// stage is done again.
    pub fn listed(&self, stage: &str, dir: &Path) -> Result<Vec<Option<Unit>>> {
        let unit = |key: Key| {
            let path = self.unit(stage, &key);
            match arrays::check(&path, &key) {
                Ok(header) => Ok(Unit { key, path, facts: Facts::of(&header.facts) }),
                Err(problem) => Err(Error::Damaged { path, problem }),
            }
        };
        Outcomes::read(dir)?.keys.into_iter().map(|key| key.map(unit).transpose()).collect()
    }

    /// Where a stage keeps what it needs to go on after it was stopped.
    pub fn state_dir(&self, stage: &str, key: &Key) -> PathBuf {
        self.root.join(stage).join(format!("{}.state", key.short()))
    }

    /// Lets `compute` fill a folder aside and makes it visible when it is whole, with the digests of
    /// all files in it. Where another run makes the same result, its end is waited for.
    pub fn make<E: From<Event>, F: From<Error> + From<files::Error>>(
        &self,
        stage: &'static str,
        key: &Key,
        control: &mut Control<'_, E>,
        compute: impl FnOnce(&Path, &mut Control<'_, E>) -> Result<(), F>,
    ) -> Result<(), F> {
        let (dir, result) = (self.root.join(stage), self.dir(stage, key));
        files::make_dir(&dir)?;
        let _lock = self.wait_for(stage, key, control)?;
        if result.is_dir() {
            return Ok(());
        }
        let aside = files::FolderAside::new(&result)?;
        compute(aside.path(), control)?;
        digests::write(aside.path())?;
        aside.publish()?;
        Ok(files::remove_dir(&self.state_dir(stage, key))?)
    }

    /// The lock on a result that is not there yet.
    fn wait_for<E: From<Event>>(
        &self,
        stage: &'static str,
        key: &Key,
        control: &mut Control<'_, E>,
    ) -> Result<Lock> {
        const LOOK: Duration = Duration::from_millis(500);
        let path = self.lock(&format!("{stage}-{}", key.short()));
        let mut is_told = false;
        loop {
            match Lock::take(&path, &self.dir(stage, key)) {
                Err(Error::Locked { holder, .. }) => {
                    if !is_told {
                        control.tell(Event::Waiting { stage, holder });
                    }
                    is_told = true;
                    control.wait(LOOK)?;
                }
                other => return other,
            }
        }
    }

    /// The lock file of a run folder or a result.
    pub fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{name}.lock"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use serde_json::json;

    use super::*;
    use crate::Silent;

    #[test]
    fn a_failed_computation_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let key = Key::of(&json!({ "above_mean": 0.6 }));
        let stop = AtomicBool::new(false);
        let mut silent = Silent;
        let mut control: Control<'_> = Control::new(&mut silent, &stop);
        let failed = store.make("mask", &key, &mut control, |dir, _| {
            files::write_atomic(&dir.join("half"), b"x")?;
            Err(Error::Interrupted)
        });
        assert!(failed.is_err());
        assert!(files::list(&root.path().join("mask")).unwrap().is_empty());
        let made = |dir: &Path, _: &mut Control<'_>| -> Result<()> {
            Ok(files::write_atomic(&dir.join("a"), b"x")?)
        };
        store.make("mask", &key, &mut control, made).unwrap();
        let dir = store.dir("mask", &key);
        assert_eq!(files::list(&dir).unwrap(), ["a", "digests.json"]);
        assert_eq!(digests::check(&dir).unwrap()[&dir.join("a")], files::sha256_bytes(b"x"));
        assert!(files::list(&root.path().join("locks")).unwrap().is_empty());
    }
}
