//! One scan to one report, with nothing but a package.
use std::{path::Path, sync::atomic::AtomicBool};

use flamingo::{GenerateConfig, Model, Opening};
use preprocess::StepRegistry;
use report::{
    generated::{Disclaimer, GeneratedReport},
    slots::SlotSet,
};

use crate::{
    Additions, OneScan, Result,
    answers::{self, Query, Reading, Trust},
    event::Control,
    model_id::model_id,
    package::{Look, Reader},
    plan::follows_in_time,
    shown,
};

/// One scan as a model sees it.
pub(crate) struct Seen {
    pub(crate) digest: String,
    pub(crate) look: Look,
    subject: Option<(String, String)>,
    read_by: (SlotSet, Trust),
}

/// Reads `scan` for an open package in `dir`, whose stages may be among `steps`.
pub(crate) fn look(
    dir: &Path,
    model: &Model,
    scan: &OneScan<'_>,
    steps: &StepRegistry,
) -> Result<Seen> {
    let reader = Reader::open(dir, model, steps)?;
    let digest = scan::sha256_scan(scan.path)?;
    let known = reader.scans().iter().find(|known| known.sha256 == digest);
    let look = reader.look(scan, known)?;
    tracing::info!(
        is_known = known.is_some(),
        onset_s = look.stretch_s.0,
        duration_s = look.stretch_s.1,
        "window"
    );
    let subject = known.map(|known| (known.subject.clone(), known.session.clone()));
    Ok(Seen { digest, look, subject, read_by: reader.read_by() })
}

/// Writes the report of `scan` with the package in `model`, opened as asked. Its stages and
/// its encoder may be among the `additions` of the program.
pub fn generate(
    model: &Path,
    opening: &Opening,
    scan: &OneScan<'_>,
    config: &GenerateConfig,
    additions: &Additions,
) -> Result<GeneratedReport> {
    let dir = model;
    config.check()?;
    if config.n_texts() > 1 {
        let found = config.n_texts().to_string();
        let expected = "1: a window has one report".to_owned();
        let field = "num_return_sequences";
        return Err(flamingo::Error::Setting { field, found, expected }.into());
    }
    let model = Model::open_with(dir, opening, &additions.encoders)?;
    let seen = look(dir, &model, scan, &additions.steps)?;
    let model_id = model_id(model.manifest());
    tracing::info!(model_id, "model");

    let stop = AtomicBool::new(false);
    let mut silent = engine::Silent;
    let mut control = Control::new(&mut silent, &stop);
    let query = Query { prompt: seen.look.prompt.clone(), media: seen.look.media };
    let (slots, trust) = seen.read_by;
    if slots.slots().is_empty() {
        config.check_free()?;
    }
    if let Some(constrain) = config.constrain {
        follows_in_time(constrain, &slots)?;
    }
    let reading = Reading::once("generate");
    let mut answers =
        answers::answers(&model, &slots, &trust, &[query], config, &reading, &mut control)?;
    let answer = answers.remove(0);
    let (subject, session) = seen.subject.unzip();
    Ok(GeneratedReport {
        disclaimer: Disclaimer,
        subject: subject.unwrap_or_else(|| "unknown".to_owned()),
        session,
        window: shown::window(
            &seen.look.seen,
            &scan.path.display().to_string(),
            seen.look.stretch_s,
        ),
        prompt: seen.look.prompt,
        given: seen.look.given,
        text: answer.text,
        slots: answer.slots,
        model_id,
        data_digest: seen.digest,
        seed: model.manifest().seed,
    })
}
