//! The settings of `harmonise`.
use harmonise::UnseenSite;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is taken out. Columns are those of the table of embeddings: labels of the cohort, and what was
/// measured, such as `mean_fd_mm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HarmoniseConfig {
    /// Shift and scale of each site, by `ComBat`; absent: sites stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combat: Option<CombatSettings>,
    /// Columns whose linear effect is taken out, after `ComBat`: numbers, or classes such as sex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regress_out: Vec<String>,
}

/// Site harmonisation by `ComBat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CombatSettings {
    /// The column that says where a person was measured.
    pub site: String,
    /// Columns whose effect is kept, because people of the sites differ in them: age, sex, diagnosis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// What becomes of people of a site that has no two training people.
    pub unseen_sites: UnseenSite,
}
