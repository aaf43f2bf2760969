//! A step that changes each window, as a stage of a run: it is fitted to the training windows, and done when
//! a window is cut.
use std::path::{Path, PathBuf};

use preprocess::{Inputs, Step, Training};
use scan::Split;
use serde_json::{Value, json};

use super::{
    steps::training,
    work::{Preparation, write_failures},
};
use crate::{Result, event::Control, media::Media};

/// The step.
pub(super) struct EachWindow<'a>(pub(super) &'a dyn Step);

impl Preparation for EachWindow<'_> {
    fn inputs(&self, media: &Media<'_>) -> Value {
        let class: Vec<_> = (0..media.run.splits.len()).map(|row| media.class(row)).collect();
        json!({ "splits": media.run.splits, "class": class })
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let trained = media.rows_of(Split::Train)?;
        let labelled = trained.into_iter().filter_map(|row| Some((row, media.class(row)?)));
        let (rows, classes): (Vec<usize>, Vec<usize>) = labelled.unzip();
        let windows = rows.iter().map(|&row| media.cleaned(row)).collect::<Result<Vec<_>>>()?;
        let fitted = training(media, &|| control.checkpoint(), |training| {
            self.0.fit(&Training { windows, classes, ..training })
        })?;
        control.checkpoint()?;
        fitted.keep(dir)?;
        write_failures(dir, &[])
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        let fitted = self.0.fit(&Training::of_package(&Kept { media, dir }, &[]))?;
        let files = files::list(dir)?.into_iter().map(|name| (name.clone(), dir.join(name)));
        media.fitted.extend(files);
        media.each_window.push(fitted);
        Ok(())
    }
}

/// What was fitted, in the folder of its stage.
struct Kept<'a> {
    media: &'a Media<'a>,
    dir: &'a Path,
}

impl Inputs for Kept<'_> {
    fn place(&self, path: &Path) -> PathBuf {
        self.media.place(path)
    }

    fn digest(&self, path: &Path) -> preprocess::Result<String> {
        Ok(self.media.digest_of(path)?)
    }

    fn fitted(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.join(name))
    }
}
