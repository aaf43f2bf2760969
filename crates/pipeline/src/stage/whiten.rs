//! `whiten`: make the noise of the windows white, as learned from the training windows.
use std::{path::Path, sync::Arc};

use preprocess::Kind;
use scan::{Shrinkage, Split, WhitenConfig};
use serde_json::{Value, json};

use super::{
    Artifact,
    settings::{SHARE, Settings},
    window::{read_windows, write_windows},
    work::{Preparation, Work},
};
use crate::{Error, Result, arrays, event::Control, media::Media, whitening::Whitening};

/// The fitted matrices, in a stage result and in a package.
pub(crate) const WHITENING: &str = "whitening.safetensors";

impl Work for WhitenConfig {
    fn name(&self) -> &'static str {
        "whiten"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::Windows), Artifact::Media(Kind::Windows))
    }

    fn check(&self) -> Result<()> {
        match self.shrinkage {
            Shrinkage::LedoitWolf => Ok(()),
            Shrinkage::Fixed(share) => {
                Ok(Settings(self.name()).numbers(SHARE, &[("shrinkage.fixed", share)])?)
            }
        }
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for WhitenConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        let class: Vec<_> = (0..media.run.splits.len()).map(|row| media.class(row)).collect();
        json!({ "splits": media.run.splits, "class": class })
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let trained = media.rows_of(Split::Train)?;
        let labelled = trained.into_iter().filter_map(|row| Some((row, media.class(row)?)));
        let (rows, class): (Vec<usize>, Vec<usize>) = labelled.unzip();
        let views: Vec<_> = rows.iter().map(|&row| media.window(row).view()).collect();
        let fitted = Whitening::fit(&views, &class, self)?;
        control.checkpoint()?;
        files::write_atomic(&dir.join(WHITENING), &fitted.to_bytes())?;
        files::write_json(&dir.join("whitening.json"), &fitted.shrinkage())?;
        let there =
            media.windows.iter().enumerate().filter_map(|(row, it)| Some((row, it.as_ref()?)));
        let white = there
            .map(|(row, window)| Ok((row, fitted.apply(window.view())?)))
            .collect::<Result<Vec<_>>>()?;
        write_windows(dir, white.iter().map(|(row, window)| (*row, window.view())))
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        media.windows = read_windows(dir, media)?;
        media.whitening = Some(Arc::new(read_whitening(dir)?));
        Ok(())
    }
}

/// Reads the two files of a fitted whitening.
pub(crate) fn read_whitening(dir: &Path) -> Result<Whitening> {
    let path = dir.join(WHITENING);
    let shrinkage = files::read_json(&dir.join("whitening.json"))?;
    let fitted = Whitening::from_arrays(arrays::read(&path)?, shrinkage)?;
    fitted.ok_or(Error::Arrays { path, problem: "matrix, mean or scale is missing".to_owned() })
}
