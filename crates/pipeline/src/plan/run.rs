//! One of the runs of a pipeline.
use scan::Split;

/// One seed and one division into splits.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    /// Its folder inside the run directory; none where there is only one run.
    pub label: Option<String>,
    /// Which drawing of the folds it is, from 1; none where they are drawn once.
    pub repeat: Option<usize>,
    /// Which fold is tested, from 1; none where there are no folds.
    pub fold: Option<usize>,
    /// Every random number of the run follows from it.
    pub seed: u64,
    /// The split of each row of the table, or of each recording; empty where nothing is divided.
    pub splits: Vec<Split>,
}
