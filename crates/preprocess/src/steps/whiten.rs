//! `whiten`: make the noise of the windows of events white, as learned from the training windows.
use std::path::{Path, PathBuf};

use flamingo::PackageFile;
use ndarray::Array2;
use scan::{Shrinkage, WhitenConfig};
use serde_json::{Value, json};

use super::said;
use crate::{
    Data, Deferred, Error, Fitted, Given, Kind, Recording, Result, Step, StepId, Training, arrays,
    settings::{SHARE, Settings},
    step::Packing,
    whitening::Whitening,
};

/// The fitted matrices, in the result of a stage and in a package.
const WHITENING: &str = "whitening.safetensors";
/// The share of the sphere that was fitted, in the result of a stage; a package's settings say it.
const SHARE_OF_SPHERE: &str = "whitening.json";

impl Step for WhitenConfig {
    fn id(&self) -> StepId {
        StepId { name: "whiten", version: 2 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn takes(&self) -> Kind {
        Kind::Windows
    }

    fn check(&self) -> Result<()> {
        match self.shrinkage {
            Shrinkage::LedoitWolf => Ok(()),
            Shrinkage::Fixed(share) => {
                Settings(self.id().name).numbers(SHARE, &[("shrinkage.fixed", share)])
            }
        }
    }

    fn deferred(&self) -> Option<Deferred<'_>> {
        Some(Deferred::EachWindow)
    }

    fn noise(&self) -> Option<Shrinkage> {
        Some(self.shrinkage)
    }

    fn is_by_recording(&self) -> bool {
        false
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        let place = |name: &str| (kept.fitted)(name).expect("it was fitted");
        self.shrinkage = Shrinkage::Fixed(files::read_json(&place(SHARE_OF_SPHERE))?);
        let bytes = files::read_bytes(&place(WHITENING))?;
        Ok(vec![PackageFile { name: WHITENING.to_owned(), bytes, licence: None }])
    }

    fn parts(&self) -> Vec<PathBuf> {
        vec![WHITENING.into()]
    }

    fn in_methods(&self) -> Option<String> {
        let said = "Windows were whitened by the noise covariance of the training windows (Walther et al., \
                    2016).";
        Some(said.to_owned())
    }

    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        let Some(path) = training.inputs.fitted(WHITENING) else {
            let views: Vec<_> = training.windows.iter().map(|it| it.view()).collect();
            if views.is_empty() {
                return Err(training.nothing_left());
            }
            return Ok(Box::new(White::new(Whitening::fit(&views, &training.classes, self)?)));
        };
        let shrinkage = match (self.shrinkage, training.inputs.fitted(SHARE_OF_SPHERE)) {
            (Shrinkage::Fixed(share), _) => share,
            (Shrinkage::LedoitWolf, Some(path)) => files::read_json(&path)?,
            (Shrinkage::LedoitWolf, None) => unreachable!("it is kept beside the matrices"),
        };
        let lacks = || Error::Arrays {
            path: path.clone(),
            problem: "matrix, mean or scale is missing".to_owned(),
        };
        let fitted = Whitening::from_arrays(arrays::read(&path)?, shrinkage)?;
        Ok(Box::new(White::new(fitted.ok_or_else(lacks)?)))
    }
}

/// A whitening that was fitted.
struct White {
    fitted: Whitening,
    digest: String,
}

impl White {
    fn new(fitted: Whitening) -> Self {
        Self { digest: files::sha256_bytes(&fitted.to_bytes()), fitted }
    }
}

impl Fitted for White {
    fn footprint(&self, _recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        0
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(given)
    }

    fn changes_windows(&self) -> bool {
        true
    }

    fn window(&self, window: Array2<f32>) -> Result<Array2<f32>> {
        self.fitted.apply(window.view())
    }

    fn decides(&self) -> Option<Value> {
        Some(json!(self.digest))
    }

    fn keep(&self, dir: &Path) -> Result<()> {
        files::write_atomic(&dir.join(WHITENING), &self.fitted.to_bytes())?;
        Ok(files::write_json(&dir.join(SHARE_OF_SPHERE), &self.fitted.shrinkage())?)
    }
}
