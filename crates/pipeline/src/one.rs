//! One scan to one report, with nothing but a package.
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use flamingo::{GenerateConfig, Medium, Model, Precision};
use report::{
    counted,
    generated::{Disclaimer, GeneratedReport, Window},
};

use crate::{
    Error, Result,
    event::{Control, Silent},
    package::{KnownScan, Preprocessing, Reader, model_id},
    readout::{self, Query},
};

/// Which part of the scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// From 1: the table's windows of a scan the model knows, else consecutive ones.
    Window(usize),
    /// What began at this second.
    Onset(f64),
}

/// One window as a model sees it.
pub(crate) struct Seen {
    pub(crate) digest: String,
    pub(crate) medium: Arc<Medium>,
    pub(crate) prompt: String,
    onset_s: f64,
    duration_s: f64,
    subject: Option<(String, String)>,
    preprocessing: Preprocessing,
}

/// Reads one window of `scan` for an open package in `dir`.
pub(crate) fn look(dir: &Path, model: &Model, scan: &Path, place: Place) -> Result<Seen> {
    let reader = Reader::open(dir, model)?;
    let digest = scan::sha256_scan(scan)?;
    let preprocessing = &reader.preprocessing;
    let known = preprocessing.scans.iter().find(|known| known.sha256 == digest);
    let (onset_s, duration_s) = locate(preprocessing, known, scan, place)?;
    tracing::info!(is_known = known.is_some(), onset_s, duration_s, "window");
    let (medium, prompt) = reader.window(scan, onset_s)?;
    let subject = known.map(|known| (known.subject.clone(), known.session.clone()));
    let preprocessing = reader.preprocessing;
    Ok(Seen { digest, medium, prompt, onset_s, duration_s, subject, preprocessing })
}

/// Writes the report of one window of `scan` with the package in `model`, its weights kept at
/// `precision`.
pub fn generate(
    model: &Path,
    precision: Precision,
    scan: &Path,
    place: Place,
    config: &GenerateConfig,
) -> Result<GeneratedReport> {
    let dir = model;
    config.check()?;
    if config.n_texts() > 1 {
        let found = config.n_texts().to_string();
        let expected = "1: a window has one report".to_owned();
        let field = "num_return_sequences";
        return Err(flamingo::Error::Setting { field, found, expected }.into());
    }
    let model = Model::open_at(dir, precision)?;
    let seen = look(dir, &model, scan, place)?;
    let model_id = model_id(model.manifest());
    tracing::info!(model_id, "model");

    let stop = AtomicBool::new(false);
    let mut silent = Silent;
    let mut control = Control::new(&mut silent, &stop);
    let query = Query { prompt: seen.prompt.clone(), medium: Some(seen.medium) };
    let (slots, temperature) = (&seen.preprocessing.slots, seen.preprocessing.temperature);
    let mut answers =
        readout::answers(&model, slots, temperature, &[query], config, "generate", &mut control)?;
    let answer = answers.remove(0);
    let (subject, session) = seen.subject.unzip();
    Ok(GeneratedReport {
        disclaimer: Disclaimer,
        subject: subject.unwrap_or_else(|| "unknown".to_owned()),
        session,
        window: Window::new(&scan.display().to_string(), seen.onset_s, seen.duration_s),
        prompt: seen.prompt,
        text: answer.text,
        slots: answer.slots,
        model_id,
        data_digest: seen.digest,
        seed: model.manifest().seed,
    })
}

fn locate(
    preprocessing: &Preprocessing,
    known: Option<&KnownScan>,
    scan: &Path,
    place: Place,
) -> Result<(f64, f64)> {
    let Preprocessing { window, t_r_s, .. } = preprocessing;
    let length_s = window.n_frames as f64 * t_r_s;
    let refuse = |problem: String| Error::NoSuchWindow { path: scan.to_owned(), problem };
    match (place, known) {
        (Place::Onset(onset_s), known) => {
            let same = known.and_then(|known| {
                known.windows.iter().find(|it| (it.onset_s - onset_s).abs() < 1e-9)
            });
            Ok((onset_s, same.map_or(length_s, |it| it.duration_s)))
        }
        (Place::Window(0), _) => Err(refuse("windows are counted from 1, found 0".to_owned())),
        (Place::Window(number), Some(known)) => {
            let n = counted(known.windows.len(), "window");
            let found = known.windows.get(number - 1).map(|it| (it.onset_s, it.duration_s));
            found.ok_or_else(|| {
                refuse(format!("has {n} in the model's cohort, found --window {number}"))
            })
        }
        // the shift is taken off, so that window 1 begins with the first frame
        (Place::Window(number), None) => {
            Ok(((number - 1) as f64 * length_s - window.shift_s, length_s))
        }
    }
}
