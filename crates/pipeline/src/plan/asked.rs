//! A package, and the windows that it is asked about.
use std::{collections::BTreeSet, path::PathBuf};

use report::prompt::Labels;

use crate::phases::Question;

/// Windows that a package is asked about.
#[derive(Clone, Debug)]
pub struct AskPlan {
    /// Folder of the package.
    pub package: PathBuf,
    /// The model, by what is in it.
    pub model_id: String,
    /// Everything that the package says of itself, hashed; its name is that of the weights alone.
    pub(crate) manifest: String,
    /// How the package shows a scan, hashed.
    pub(crate) preprocessing: String,
    /// Questions.
    pub(crate) n_questions: usize,
    /// Every window.
    pub(crate) windows: Vec<AskedWindow>,
    /// Digests of the scans that the model was trained on.
    pub(crate) trained_on: BTreeSet<String>,
}

/// A window, and what is known of its person.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AskedWindow {
    pub(crate) scan_idx: usize,
    /// From 1 within the scan; none where the model sees scans as a whole.
    pub(crate) window: Option<usize>,
    /// The cells of the columns that questions name.
    pub(crate) cells: Labels,
    pub(crate) site: Option<String>,
    pub(crate) sex: Option<String>,
    pub(crate) age: Option<String>,
}

impl AskedWindow {
    /// What a question states of the person.
    pub(crate) fn stated(&self, question: &Question) -> Labels {
        let columns = question.words.columns();
        let stated = self.cells.iter().filter(|(name, _)| columns.contains(&name.as_str()));
        stated.map(|(name, cell)| (name.clone(), cell.clone())).collect()
    }

    /// The true answer to a question, where it is known.
    pub(crate) fn truth(&self, question: &Question) -> Option<usize> {
        let cell = self.cells.get(question.truth.as_ref()?)?;
        question.answers.iter().position(|answer| answer == cell)
    }
}
