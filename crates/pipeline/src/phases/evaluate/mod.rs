//! `evaluate`: scores of the reports, and whether they depend on the scans.
mod baselines;
mod measure;
mod notes;
mod said;
mod texts;

use report::{
    evidence::{Evidence, EvidenceConfig},
    metrics::{Copying, Reliability, SlotScores, Temperature},
    render::{StatementTable, SummaryRow},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use texts::TextScores;

use super::{Trained, WrittenReport, finetune::Fit};
use crate::{
    Result,
    answers::Reading,
    media::Media,
    runner::Runner,
    stage::{
        Artifact, Stage,
        settings::{MOST_DRAWS, MOST_IN_BATCH, Rule, Settings},
        work::Work,
    },
};

const METRICS: &str = "metrics.json";

/// Beyond these a ridge is all there is, or none.
const STRENGTH: Rule = ("0.000001 to 1000000", |x| (1e-6..=1e6).contains(&x));

/// Numbers of permutations and pairs, and the regularisation of the linear baselines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Has no effect: intervals are computed without draws. Accepted because older files name it.
    #[serde(default = "bootstrap")]
    pub bootstrap: usize,
    /// Permutations behind the p-value of the verdict, at least 999.
    #[serde(default = "permutations")]
    pub permutations: usize,
    /// Uniform permutations of the scans behind the row `shuffled scans`.
    #[serde(default = "shuffles")]
    pub shuffles: usize,
    /// Pairs of test windows whose reports and scans are compared, about. Every pair costs two
    /// likelihoods and two texts. Where there are more pairs, which ones is drawn by the run's seed.
    #[serde(default = "max_pairs")]
    pub max_pairs: usize,
    /// Inverse strength of the logistic regression's ridge.
    #[serde(default = "logistic_c")]
    pub logistic_c: f64,
    /// Reports scored at once.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
}

const fn permutations() -> usize {
    999
}

const fn shuffles() -> usize {
    1_000
}

const fn logistic_c() -> f64 {
    1.
}

const fn batch_size() -> usize {
    32
}

/// All pairs of 200 windows.
const fn max_pairs() -> usize {
    20_000
}

/// The least that older versions took.
const fn bootstrap() -> usize {
    2_000
}

/// All pairs of 8 windows; fewer decide nothing.
const MIN_PAIRS: usize = 28;

/// Everything `metrics.json` holds: no times, so that the same run gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// The one line.
    pub(crate) verdict: String,
    /// Accuracy in the scored slot, one row a way to answer.
    pub(crate) table: Vec<SummaryRow>,
    pub(crate) evidence: Evidence,
    /// The first scored slot; empty of free text.
    pub(crate) scored_slot: String,
    /// All of them, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scored_slots: Vec<String>,
    /// One entry a slot of the report.
    pub(crate) slots: Vec<NamedScores>,
    /// What is stated in every slot, beside what is true.
    pub(crate) statements: StatementTable,
    /// None where no scored slot has probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calibration: Option<Calibration>,
    pub(crate) texts: TextScores,
    pub(crate) n_distinct_reports: usize,
    /// What the generated texts share with those that were trained on.
    #[serde(default)]
    pub(crate) copying: Copying,
    /// How the statement of each scored slot goes with the scan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) answers: Vec<SlotAnswers>,
    /// What these windows cannot tell, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// Share of reports that ended by themselves.
    pub(crate) stopped: f64,
    pub(crate) windows: Vec<WindowScore>,
    /// Windows that were compared with each other, as places in `windows`; one block of all where all
    /// pairs were compared.
    pub(crate) blocks: Vec<Vec<usize>>,
    /// Row: report, in the order of `windows`; column: scan, in the order of the report's block; nats a
    /// token. A row is empty where the window is in no block.
    pub(crate) nll: Vec<Vec<f64>>,
    pub(crate) fit: Fit,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NamedScores {
    pub(crate) slot: String,
    pub(crate) scores: SlotScores,
}

/// How the statement of one scored slot goes with the scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlotAnswers {
    pub(crate) slot: String,
    /// Share of statements that are others with another scan, over all scans that were compared.
    pub(crate) sensitivity: f64,
    /// Of the reports that state it, the share that say the same without a scan.
    pub(crate) unchanged_without_scan: Option<f64>,
}

/// Whether the probabilities of the scored slot are worth what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    pub(crate) temperature: Temperature,
    pub(crate) brier: f64,
    pub(crate) reliability: Reliability,
}

/// One test window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WindowScore {
    pub(crate) subject: String,
    pub(crate) session: String,
    pub(crate) run: usize,
    pub(crate) window: usize,
    pub(crate) onset_s: f64,
    pub(crate) truth: String,
    pub(crate) generated: Option<String>,
    pub(crate) no_scan: Option<String>,
    pub(crate) confidence: Option<f64>,
    /// Nats a token of the true report given its own scan, and given the others of its block on
    /// average.
    pub(crate) nll_own: Option<f64>,
    pub(crate) nll_others: Option<f64>,
}

impl Evaluation {
    /// Scores of the first scored slot, unless it is a set.
    pub(crate) fn scored(&self) -> Option<&SlotScores> {
        let scored = self.slots.iter().find(|it| it.slot == self.scored_slot);
        scored.map(|it| &it.scores)
    }
}

impl Work for EvaluateConfig {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn version(&self) -> u32 {
        5
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
        settings.at_least(MIN_PAIRS, &[("max_pairs", self.max_pairs)])?;
        Ok(settings.numbers(STRENGTH, &[("logistic_c", self.logistic_c)])?)
    }
}

/// Measures the reports, where a stage asks for it.
pub(super) fn evaluate(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
    trained: &Trained,
    reports: &[WrittenReport],
) -> Result<Option<Evaluation>> {
    let found = runner.find(|stage| match stage {
        Stage::Evaluate(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let evaluation = runner.stage(
        stage,
        &mut (),
        |()| json!([null, media.left_out()]),
        |(), folders, control| {
            let reading = Reading::kept_in(stage.name(), folders.unfinished);
            let written = Written { media, trained, reports, reading: &reading };
            let evaluation = measure::evaluate(config, &written, control)?;
            Ok(files::write_json(&folders.result.join(METRICS), &evaluation)?)
        },
        |(), dir| Ok(files::read_json(&dir.join(METRICS))?),
    )?;
    Ok(Some(evaluation))
}

/// What is measured.
struct Written<'a> {
    media: &'a Media<'a>,
    trained: &'a Trained,
    reports: &'a [WrittenReport],
    /// Keeps what was read of the model for a stopped run to go on after.
    reading: &'a Reading,
}
