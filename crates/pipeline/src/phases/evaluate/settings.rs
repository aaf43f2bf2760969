//! `evaluate` as a stage: what the plan asks of its settings.
use report::evidence::EvidenceConfig;

use super::config::{EvaluateConfig, bootstrap};
use crate::{
    Result,
    stage::{
        Artifact,
        settings::{MOST_DRAWS, MOST_IN_BATCH, Rule, Settings},
        work::Work,
    },
};

/// Beyond these a ridge is all there is, or none.
const STRENGTH: Rule = ("0.000001 to 1000000", |x| (1e-6..=1e6).contains(&x));

impl Work for EvaluateConfig {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn version(&self) -> u32 {
        6
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Reports, Artifact::Evidence)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_least(bootstrap(), &[("bootstrap", self.bootstrap)])?;
        let permutations = [("permutations", self.permutations)];
        settings.at_least(EvidenceConfig::MIN_PERMUTATIONS, &permutations)?;
        settings.at_most(&[
            ("bootstrap", self.bootstrap, MOST_DRAWS),
            ("permutations", self.permutations, MOST_DRAWS),
            ("shuffles", self.shuffles, MOST_DRAWS),
            ("batch_size", self.batch_size, MOST_IN_BATCH),
        ])?;
        settings.at_least(EvidenceConfig::MIN_PAIRS, &[("max_pairs", self.max_pairs)])?;
        Ok(settings.numbers(STRENGTH, &[("logistic_c", self.logistic_c)])?)
    }
}
