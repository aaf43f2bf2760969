//! The settings of `compose`.
use config::Component;
use report::compose::ReportSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of composed reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeConfig {
    /// The kind of report.
    pub report: Component<ReportSpec>,
    /// Columns whose linear effect is taken out of the connectivity of networks, as fitted to the training
    /// people of the division: labels of the cohort, numbers or classes, and what was measured, as `quality.tsv`
    /// names it: `[age, sex, site, mean_fd]`. Absent: nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regress_out: Vec<String>,
}
