//! Labels as they are typed, and names of derivatives.
use std::path::PathBuf;

use cohort::{Entities, Entity};

use crate::{Error, Result};

/// What a derivative does not take over from the name of its scan.
const NOT_KEPT: [Entity; 9] = [
    Entity::Hemisphere,
    Entity::Regressors,
    Entity::Segmentation,
    Entity::Atlas,
    Entity::Resolution,
    Entity::Hash,
    Entity::Label,
    Entity::Statistic,
    Entity::Description,
];

/// A label, which may be typed with its key: `sub-01` is `01`.
pub(super) fn label(typed: &str, key: &str, option: &str) -> Result<String> {
    let label = typed.strip_prefix(key).unwrap_or(typed);
    if is_label(label) {
        return Ok(label.to_owned());
    }
    let place = format!("{option} {}", files::one_line(typed));
    let problem = "is not a label, expected letters, digits and +".to_owned();
    Err(Error::BidsApp { place, problem })
}

fn is_label(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
}

/// `text` as a label: what may not stand in one is left out.
pub(super) fn as_label(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '+').collect()
}

/// Names of the derivatives of one recording.
pub(super) struct Names {
    /// Entities that tell the recording and its space.
    kept: Vec<(Entity, String)>,
    folder: PathBuf,
}

impl Names {
    pub(super) fn new(entities: &Entities) -> Self {
        let kept = entities.iter().filter(|(entity, _)| !NOT_KEPT.contains(entity));
        let mut folder = PathBuf::new();
        for entity in [Entity::Subject, Entity::Session] {
            if let Some(label) = entities.get(entity) {
                folder.push(format!("{}-{label}", entity.key()));
            }
        }
        folder.push("func");
        Self { kept: kept.map(|(entity, label)| (entity, label.to_owned())).collect(), folder }
    }

    /// The same in no space, for what is of the recording and not of its images.
    pub(super) fn of_no_space(mut self) -> Self {
        let of_images =
            [Entity::Echo, Entity::Part, Entity::Space, Entity::Cohort, Entity::Density];
        self.kept.retain(|(entity, _)| !of_images.contains(entity));
        self
    }

    /// `sub-01/func/sub-01_task-rest_seg-A424_stat-mean_timeseries.tsv`, below the folder of derivatives.
    pub(super) fn path(&self, more: &[(Entity, &str)], ending: &str) -> PathBuf {
        let more = more.iter().map(|(entity, label)| (*entity, (*label).to_owned()));
        let mut all: Vec<(Entity, String)> = self.kept.iter().cloned().chain(more).collect();
        all.sort_by_key(|(entity, _)| *entity);
        let parts: Vec<String> =
            all.iter().map(|(entity, label)| format!("{}-{label}", entity.key())).collect();
        self.folder.join(format!("{}_{ending}", parts.join("_")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_taken_with_and_without_their_key() {
        let typed = |it| label(it, "sub-", "--participant-label");
        assert_eq!((typed("sub-01").unwrap(), typed("01").unwrap()), ("01".into(), "01".into()));
        for wrong in ["..", "sub-..", "../02", "", "sub-", "a_b", "0 1", "é"] {
            let said = typed(wrong).unwrap_err().to_string();
            let expected = format!(
                "--participant-label {wrong}: is not a label, expected letters, digits and +"
            );
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn a_derivative_is_named_as_xcp_d_names_it() {
        let scan = "sub-01_ses-2_task-rest_space-MNI152NLin6Asym_res-2_desc-preproc_bold.nii.gz";
        let names = Names::new(&cohort::entities_of(scan).unwrap());
        let series = names
            .path(&[(Entity::Statistic, "mean"), (Entity::Segmentation, "A424")], "timeseries.tsv");
        let expected = "sub-01/ses-2/func/sub-01_ses-2_task-rest_space-MNI152NLin6Asym_seg-A424_stat-mean_timeseries.tsv";
        assert_eq!(series.to_str(), Some(expected));
        let report = names.of_no_space().path(&[(Entity::Description, "generated")], "report.json");
        let expected = "sub-01/ses-2/func/sub-01_ses-2_task-rest_desc-generated_report.json";
        assert_eq!(report.to_str(), Some(expected));
    }
}
