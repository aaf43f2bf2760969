//! One scan to one report, with nothing but a package.
use std::{path::Path, sync::atomic::AtomicBool};

use flamingo::{GenerateConfig, Model, Precision};
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

/// Writes the report of one window of `scan` with the package in `model`, its weights kept at
/// `precision`.
pub fn generate(
    model: &Path,
    scan: &Path,
    place: Place,
    max_new_tokens: usize,
    precision: Precision,
) -> Result<GeneratedReport> {
    let dir = model;
    let model = Model::open_at(dir, precision)?;
    let reader = Reader::open(dir, &model)?;
    let digest = scan::sha256_file(scan)?;
    let preprocessing = &reader.preprocessing;
    let known = preprocessing.scans.iter().find(|known| known.sha256 == digest);
    let (onset_s, duration_s) = locate(preprocessing, known, scan, place)?;
    let model_id = model_id(model.manifest());
    tracing::info!(model_id, is_known = known.is_some(), onset_s, duration_s, "window");
    let (medium, prompt) = reader.window(scan, onset_s)?;

    let stop = AtomicBool::new(false);
    let mut silent = Silent;
    let mut control = Control::new(&mut silent, &stop);
    let query = Query { prompt: prompt.clone(), medium: Some(medium) };
    let config = GenerateConfig::greedy(max_new_tokens, 1);
    let (slots, temperature) = (&preprocessing.slots, preprocessing.temperature);
    let mut answers =
        readout::answers(&model, slots, temperature, &[query], &config, "generate", &mut control)?;
    let answer = answers.remove(0);
    Ok(GeneratedReport {
        disclaimer: Disclaimer,
        subject: known.map_or_else(|| "unknown".to_owned(), |known| known.subject.clone()),
        session: known.map(|known| known.session.clone()),
        window: Window::new(&scan.display().to_string(), onset_s, duration_s),
        prompt,
        text: answer.text,
        slots: answer.slots,
        model_id,
        data_digest: digest,
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
