//! Stage results by key: the same key, the same result, computed once.
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Error, Result, event::Control, files, stage::Stage};

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
        Self(scan::sha256_bytes(decides.to_string().as_bytes()))
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

    /// Lets `compute` fill a folder aside and makes it visible when it is whole.
    pub(crate) fn make(
        &self,
        stage: &str,
        key: &Key,
        control: &mut Control<'_>,
        compute: impl FnOnce(&Path, &mut Control<'_>) -> Result<()>,
    ) -> Result<()> {
        let dir = self.root.join(stage);
        files::make_dir(&dir)?;
        let aside =
            tempfile::Builder::new().prefix(".partial-").tempdir_in(&dir).map_err(|source| {
                Error::Io { action: "create a folder in", path: dir.clone(), source }
            })?;
        compute(aside.path(), control)?;
        files::publish_dir(&aside.keep(), &self.dir(stage, key))?;
        files::remove_dir(&self.state_dir(stage, key))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::event::Silent;

    fn stage(yaml: &str) -> Stage {
        crate::yaml::parse(Path::new("s.yaml"), yaml).unwrap()
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
        cache
            .make("mask", &key, &mut control, |dir, _| files::write_atomic(&dir.join("a"), b"x"))
            .unwrap();
        assert_eq!(files::list(&cache.dir("mask", &key)).unwrap(), ["a"]);
    }
}
