//! Stage results by key: the same key, the same result, computed once.
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    Error, Result, digests,
    event::{Control, Event},
    lock::Lock,
    stage::Stage,
};

/// Names a result by everything that decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// From the stage's version and parameters, what it reads, and the key of the stage before.
    pub(crate) fn new(stage: &Stage, inputs: &Value, upstream: Option<&Self>) -> Self {
        let decides = json!({
            "stage": stage,
            "version": stage.work().version(),
            "inputs": inputs,
            "upstream": upstream.map(|key| &key.0),
        });
        Self(files::sha256_bytes(decides.to_string().as_bytes()))
    }

    /// The key that a record holds; nothing where it is none.
    pub(crate) fn recorded(text: &str) -> Option<Self> {
        let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_key.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A folder of results: `<stage>/<key>/`.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a finished result lies.
    pub(crate) fn dir(&self, stage: &str, key: &Key) -> PathBuf {
        self.root.join(stage).join(&key.0[..32])
    }

    /// Where a stage keeps what it needs to go on after it was stopped.
    pub(crate) fn state_dir(&self, stage: &str, key: &Key) -> PathBuf {
        self.root.join(stage).join(format!("{}.state", &key.0[..32]))
    }

    /// Lets `compute` fill a folder aside and makes it visible when it is whole, with the digests of
    /// all files in it. Where another run makes the same result, its end is waited for.
    pub(crate) fn make(
        &self,
        stage: &'static str,
        key: &Key,
        control: &mut Control<'_>,
        compute: impl FnOnce(&Path, &mut Control<'_>) -> Result<()>,
    ) -> Result<()> {
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
    fn wait_for(&self, stage: &'static str, key: &Key, control: &mut Control<'_>) -> Result<Lock> {
        const LOOK: Duration = Duration::from_millis(500);
        let path = self.lock(&format!("{stage}-{}", &key.0[..32]));
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
    pub(crate) fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{name}.lock"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::event::Silent;

    fn stage(yaml: &str) -> Stage {
        config::parse(Path::new("s.yaml"), yaml).unwrap()
    }

    #[test]
    fn a_key_follows_parameters_inputs_and_upstream() {
        let mask = stage("mask: { above_mean: 0.6 }");
        let key = |inputs: Value, upstream| Key::new(&mask, &inputs, upstream);
        let base = key(json!(["aa"]), None);
        assert_eq!(base, key(json!(["aa"]), None));
        assert_ne!(base, key(json!(["ab"]), None), "another scan");
        assert_ne!(base, key(json!(["aa"]), Some(&base)), "another stage before");
        let other = Key::new(&stage("mask: { above_mean: 0.7 }"), &json!(["aa"]), None);
        assert_ne!(base, other, "another parameter");
    }

    #[test]
    fn a_failed_computation_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path());
        let key = Key::new(&stage("mask: { above_mean: 0.6 }"), &Value::Null, None);
        let stop = AtomicBool::new(false);
        let mut silent = Silent;
        let mut control = Control::new(&mut silent, &stop);
        let failed = cache.make("mask", &key, &mut control, |dir, _| {
            files::write_atomic(&dir.join("half"), b"x")?;
            Err(Error::Interrupted)
        });
        assert!(failed.is_err());
        assert!(files::list(&root.path().join("mask")).unwrap().is_empty());
        let made = |dir: &Path, _: &mut Control<'_>| Ok(files::write_atomic(&dir.join("a"), b"x")?);
        cache.make("mask", &key, &mut control, made).unwrap();
        let dir = cache.dir("mask", &key);
        assert_eq!(files::list(&dir).unwrap(), ["a", "digests.json"]);
        assert_eq!(digests::check(&dir).unwrap()[&dir.join("a")], files::sha256_bytes(b"x"));
        assert!(files::list(&root.path().join("locks")).unwrap().is_empty());
    }
}
