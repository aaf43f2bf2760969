//! `ask`: questions with allowed answers, of a package that is used as it is, about every scan of a cohort.
mod answers;
mod config;
mod metrics;
mod others;
mod shown;
mod table;

use std::path::{Path, PathBuf};

use flamingo::Model;
use preprocess::Kind;
use serde_json::{Value, json};

pub use config::{AskConfig, Question};
pub(crate) use metrics::{AskMetrics, QuestionFound};
pub(crate) use table::GivenAnswer;

use crate::{
    Error, Result,
    answers::Reading,
    event::{Control, Event},
    media::Media,
    package::Reader,
    plan::AskPlan,
    runner::{Folders, Runner},
    stage::{
        Artifact, Stage,
        settings::{MOST_DRAWS, MOST_IN_BATCH, Settings},
        work::{Work, load_failures},
    },
};
use answers::Asking;
use report::evidence::EvidenceConfig;
use shown::Shown;

/// Of fewer draws the ends of a 95 % interval are single ones.
const MIN_DRAWS: usize = 100;

const METRICS: &str = "metrics.json";
const ANSWERS: &str = "answers.csv";
/// The same answers with what pages show beside them.
const GIVEN: &str = "given.json";

/// The answers about a cohort.
pub(crate) struct Asked {
    pub(crate) metrics: AskMetrics,
    /// By question, then by window.
    pub(crate) given: Vec<GivenAnswer>,
    /// Its files, by the names that they have in a run folder.
    pub(crate) files: Vec<(String, PathBuf)>,
}

impl Work for AskConfig {
    fn name(&self) -> &'static str {
        "ask"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::Recordings), Artifact::Answers)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        let is_unread = matches!(have, Artifact::Media(Kind::Recordings | Kind::Scans));
        is_unread.then_some(Artifact::Answers)
    }

    fn check(&self) -> Result<()> {
        let stage = self.name();
        let refuse = |problem: String| Err(Error::StageInput { stage, problem });
        if self.questions.is_empty() {
            return refuse("has no questions, expected at least one".to_owned());
        }
        let ids = self.questions.iter().map(|it| it.id.as_str());
        if let Some(id) = tables::first_twice(ids) {
            return refuse(format!("has two questions with the id {id}"));
        }
        self.questions.iter().try_for_each(|it| it.check().or_else(refuse))?;
        let settings = Settings(stage);
        settings.at_most(&[
            ("batch_size", self.batch_size, MOST_IN_BATCH),
            ("bootstrap", self.bootstrap, MOST_DRAWS),
            ("permutations", self.permutations, MOST_DRAWS),
        ])?;
        settings.at_least(EvidenceConfig::MIN_PAIRS, &[("max_pairs", self.max_pairs)])?;
        settings.at_least(MIN_DRAWS, &[("bootstrap", self.bootstrap)])?;
        let permutations = [("permutations", self.permutations)];
        Ok(settings.at_least(EvidenceConfig::MIN_PERMUTATIONS, &permutations)?)
    }
}

/// Asks the package, where a stage says so. Scans that cannot be shown are left out of `media`.
pub(super) fn ask(runner: &mut Runner<'_, '_, '_>, media: &mut Media<'_>) -> Result<Option<Asked>> {
    let found = runner.find(|stage| match stage {
        Stage::Ask(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let plan = runner.plan.ask.as_ref().expect("a plan is made where something is asked");
    let asked = runner.stage(
        stage,
        media,
        |media| json!([decides(plan, media), media.left_out()]),
        |media, folders, control| compute(config, plan, media, folders, control),
        |media, dir| load(media, dir),
    )?;
    Ok(Some(asked))
}

/// Everything that decides the answers beside the settings.
fn decides(plan: &AskPlan, media: &Media<'_>) -> Value {
    let scans = (0..media.scans().len()).map(|idx| shown::decides(plan, media, idx).ok());
    let windows = plan.windows.iter().map(|it| json!([it.scan_idx, it.window, it.cells]));
    json!({
        "scans": scans.collect::<Vec<_>>(),
        "windows": windows.collect::<Vec<_>>(),
        "people": media.scans().iter().map(|it| (&it.subject, &it.name)).collect::<Vec<_>>(),
        "groups": plan.windows.iter().map(|it| [&it.site, &it.sex, &it.age]).collect::<Vec<_>>(),
        "seed": media.run.seed,
        "name": media.plan.spec().name,
        // settings of the model, and what it was trained on, by which is judged
        "manifest": plan.manifest,
        "package": plan.preprocessing,
    })
}

fn compute(
    config: &AskConfig,
    plan: &AskPlan,
    media: &Media<'_>,
    folders: Folders<'_>,
    control: &mut Control<'_>,
) -> Result<()> {
    let loaded = &media.plan.loaded;
    let model = Model::open_with(&plan.package, &loaded.opening()?, loaded.encoders())?;
    let reader = Reader::open(&plan.package, &model, loaded.steps())?;
    let shown = Shown::of(plan, media, &reader, folders.result, control)?;
    let reading = Reading::kept_in("ask", folders.unfinished);
    let asking = Asking::new(config, plan, media, &model, &shown, &reading)?;
    let mut found = Vec::with_capacity(config.questions.len());
    let mut given = Vec::new();
    let (blocks, others) = asking.exchanged(control)?;
    for (question, blocks) in config.questions.iter().zip(blocks) {
        let answered = asking.ask(question, (blocks, others), control)?;
        let metrics = asking.judge(question, &answered, control)?;
        let text = metrics.in_words();
        control.tell(Event::Note { stage: "ask", text });
        found.push(metrics);
        given.extend(table::given(media, plan, question, &answered));
    }
    let metrics = asking.metrics(others, found);
    files::write_json(&folders.result.join(METRICS), &metrics)?;
    files::write_json(&folders.result.join(GIVEN), &given)?;
    Ok(files::write_atomic(&folders.result.join(ANSWERS), &table::text(&given)?)?)
}

fn load(media: &mut Media<'_>, dir: &Path) -> Result<Asked> {
    load_failures(media, "ask", dir)?;
    let files = [METRICS, ANSWERS].map(|name| (name.to_owned(), dir.join(name)));
    Ok(Asked {
        metrics: files::read_json(&dir.join(METRICS))?,
        given: files::read_json(&dir.join(GIVEN))?,
        files: files.into(),
    })
}
