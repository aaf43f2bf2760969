//! `generate` and `score`.
use std::{
    io::{IsTerminal as _, stdout},
    path::Path,
};

use anyhow::{Result, bail};
use pipeline::{
    Additions, Asked, Caption, DISCLAIMER, Labels, OneScan, Opening, Place, RankBy, Scores,
};
use serde::Serialize;

use super::Done;
use crate::{
    args::{AskedArgs, GenerateArgs, ScoreArgs},
    print,
    progress::Progress,
};

pub(super) fn generate(args: &GenerateArgs) -> Result<Done> {
    let Some(scan) = &args.asked.scan else { return caption(args) };
    let report = {
        let given = given(&args.asked)?;
        let (scan, config) = (one(scan, &args.asked, &given), args.writing.config());
        pipeline::generate(
            &args.asked.model,
            &opening(&args.asked)?,
            &scan,
            &config,
            &Additions::default(),
        )?
    };
    let text = if args.json { report.to_json() } else { report.to_text() };
    print::out(text.trim_end())?;
    Ok(Done::All)
}

/// How the model is opened; another program goes on where that is on a GPU.
fn opening(args: &AskedArgs) -> Result<Opening> {
    super::cuda::go_on_with(args.device)?;
    Ok(Opening::of(args.precision, args.device)?)
}

fn given(args: &AskedArgs) -> Result<Labels> {
    let mut labels = Labels::new();
    for (column, label) in &args.beside.given {
        if labels.insert(column.clone(), label.clone()).is_some() {
            bail!("--given says {column} twice, expected once");
        }
    }
    Ok(labels)
}

fn one<'a>(path: &'a Path, args: &'a AskedArgs, given: &'a Labels) -> OneScan<'a> {
    let place = match (args.place.window, args.place.onset) {
        (Some(number), _) => Some(Place::Window(number)),
        (None, onset) => onset.map(Place::Onset),
    };
    let (confounds, t_r) = (args.beside.confounds.as_deref(), args.beside.t_r);
    let omics = args.beside.omics.as_deref();
    OneScan { path, place, confounds, t_r, labels: Some(given), omics }
}

/// The text after prompts; one alone comes piece by piece where someone watches.
fn caption(args: &GenerateArgs) -> Result<Done> {
    let (prompts, config) = (args.asked.prompts.read()?, args.writing.config());
    let is_one = prompts.len() * config.n_texts() == 1;
    let streams = is_one && !args.json && (args.stream || stdout().is_terminal());
    let opening = opening(&args.asked)?;
    let mut progress = Progress::new(false);
    let n_texts = prompts.len() * config.n_texts();
    let mut written = Ok(());
    let mut told = |place: usize, piece: &str| {
        if streams {
            if written.is_ok() {
                written = print::piece(piece);
            }
        } else if !is_one {
            progress.advance("generate", place, n_texts, "");
        }
    };
    let captions = pipeline::caption(&args.asked.model, &opening, &prompts, &config, &mut told);
    progress.done();
    let captions = captions?;
    if args.json {
        one_or_many(&captions, args.asked.prompts.interleaved.is_some())?;
        return Ok(Done::All);
    }
    match captions.as_slice() {
        [_] if streams => written.and_then(|()| print::out(""))?,
        [only] if is_one => print::out(&only.best.text)?,
        many => {
            for text in many.iter().flat_map(Caption::texts) {
                print::out(&one_line(text))?;
            }
        }
    }
    print::note(DISCLAIMER);
    Ok(Done::All)
}

pub(super) fn score(args: &ScoreArgs) -> Result<Done> {
    let mut continuations = args.continuation.clone();
    if let Some(path) = &args.continuations {
        continuations.extend(pipeline::read_lines(path)?);
    }
    let rank_by = if args.sum { RankBy::Sum } else { RankBy::Mean };
    let (prompts, given);
    let asked = if let Some(scan) = &args.asked.scan {
        given = self::given(&args.asked)?;
        Asked::Scan(one(scan, &args.asked, &given))
    } else {
        prompts = args.asked.prompts.read()?;
        Asked::Prompts(&prompts)
    };
    let batch_size = args.batch_size.get();
    let found = pipeline::score(
        &args.asked.model,
        &opening(&args.asked)?,
        &asked,
        &continuations,
        rank_by,
        batch_size,
        &Additions::default(),
    )?;
    if args.json {
        one_or_many(&found, args.asked.prompts.interleaved.is_some())?;
        return Ok(Done::All);
    }
    let tables: Vec<String> = found.iter().map(|scores| table(scores, args.sum)).collect();
    print::out(&tables.join("\n\n"))?;
    print::note(DISCLAIMER);
    Ok(Done::All)
}

/// The likeliest first.
fn table(scores: &Scores, by_sum: bool) -> String {
    let mut all: Vec<_> = scores.continuations.iter().collect();
    let by = |it: &pipeline::Continuation| if by_sum { it.sum } else { it.mean };
    all.sort_by(|a, b| by(b).total_cmp(&by(a)));
    let head = "probability      mean       sum  tokens  text".to_owned();
    let line = |it: &pipeline::Continuation| {
        let text = one_line(&it.text);
        format!("{:11.4} {:9.4} {:9.4} {:7}  {text}", it.probability, it.mean, it.sum, it.n_tokens)
    };
    [head].into_iter().chain(all.into_iter().map(line)).collect::<Vec<_>>().join("\n")
}

/// A file of prompts is answered with a list, one prompt with its answer alone.
fn one_or_many(found: &[impl Serialize], is_list: bool) -> Result<()> {
    match found {
        [only] if !is_list => print::json(&serde_json::to_value(only)?),
        many => print::json(&serde_json::to_value(many)?),
    }
}

/// Line breaks and the backslash are written as in JSON.
fn one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_among_many_stays_on_its_line() {
        assert_eq!(one_line("a\nb\\c\r"), "a\\nb\\\\c\\r");
    }
}
