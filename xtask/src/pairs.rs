//! `fixtures/haxby2001/pairs.csv`: one scan window and the report that belongs to it, a row.
//!
//! The 96 windows take 96 different wordings in a shuffled order that knows neither the picture nor the
//! run, so a wording tells nothing about either and no two reports are the same text.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    fixtures::Generated,
    grammar::{Kind, Wording},
};

const EVENTS: &str = "fixtures/haxby2001/events.tsv";
const PAIRS: &str = "fixtures/haxby2001/pairs.csv";
const SEED: u64 = 2001;

/// A block of `events.tsv`; times stay the text they are in the file.
#[derive(Deserialize)]
struct Event {
    run: u32,
    onset: String,
    duration: String,
    trial_type: String,
}

/// A row of `pairs.csv`.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Pair {
    pub(crate) subject: String,
    pub(crate) session: String,
    pub(crate) scan: String,
    pub(crate) onset: String,
    pub(crate) duration: String,
    pub(crate) report: String,
    pub(crate) split: String,
}

/// The generated file.
pub(crate) fn file(root: &Path) -> Result<Generated> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (pair, _) in pairs(root)? {
        writer.serialize(pair)?;
    }
    let text = String::from_utf8(writer.into_inner()?)?;
    Ok(Generated { path: PAIRS, text })
}

/// The wordings that no pair uses: what the language model may be pretrained on.
pub(crate) fn free_wordings(root: &Path) -> Result<Vec<Wording>> {
    let taken: Vec<Wording> = pairs(root)?.into_iter().map(|(_, wording)| wording).collect();
    Ok(Wording::all().into_iter().filter(|wording| !taken.contains(wording)).collect())
}

fn pairs(root: &Path) -> Result<Vec<(Pair, Wording)>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .from_path(root.join(EVENTS))
        .with_context(|| format!("cannot open {EVENTS}"))?;
    let events: Vec<Event> = reader
        .deserialize()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{EVENTS} is not a table of run, onset, duration, trial_type"))?;

    let mut wordings = Wording::all();
    wordings.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
    ensure!(
        events.len() <= wordings.len(),
        "{EVENTS} has {} blocks, there are only {} wordings",
        events.len(),
        wordings.len()
    );
    events
        .into_iter()
        .zip(wordings)
        .map(|(event, wording)| Ok((pair(event, wording)?, wording)))
        .collect()
}

fn pair(event: Event, wording: Wording) -> Result<Pair> {
    let Some(kind) = Kind::named(&event.trial_type) else {
        bail!("{EVENTS} names an unknown kind of picture, {}", event.trial_type);
    };
    let split = match event.run {
        1..=9 => "train",
        10 => "choose",
        11..=12 => "test",
        run => bail!("{EVENTS} has run {run}, expected 1 to 12"),
    };
    Ok(Pair {
        subject: "1".to_owned(),
        session: format!("{:02}", event.run),
        scan: format!("run{:03}/bold_1slice.nii.gz", event.run),
        onset: event.onset,
        duration: event.duration,
        report: wording.report(kind),
        split: split.to_owned(),
    })
}
