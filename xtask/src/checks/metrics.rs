//! `oracles/metrics`: scores of texts as pycocoevalcap gives them, with the tokens of its Java program, and VQA
//! accuracy as OpenFlamingo gives it.

use std::path::Path;

use anyhow::{Context, Result};
use report::metrics::{Caption, CaptionScores, caption_scores, ptb, vqa};
use serde_json::Value;

use super::{
    Outcome, Worst,
    recorded::{number, numbers},
};

/// From the given tokens; from the texts.
const TOLERANCES: (f64, f64) = (1e-9, 1e-6);

const CAPTIONS: &str = "caption_metrics.json";
const TOKENS: &str = "ptb_tokens.json";
const VQA: &str = "vqa.json";

/// Whether a folder holds a part of this family.
pub(super) fn is_family(folder: &Path) -> bool {
    [CAPTIONS, TOKENS, VQA].iter().any(|name| folder.join(name).is_file())
}

/// One outcome a table of tokens, a corpus of texts and the answers to questions.
pub(super) fn outcomes(folder: &Path) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    if folder.join(TOKENS).is_file() {
        outcomes.push(outcome("metrics tokens", read(folder, TOKENS).and_then(|it| tokens(&it))));
    }
    if folder.join(CAPTIONS).is_file() {
        outcomes.extend(captions(folder));
    }
    if folder.join(VQA).is_file() {
        outcomes.push(outcome("metrics vqa", read(folder, VQA).and_then(|it| answers(&it))));
    }
    outcomes
}

fn outcome(name: &str, result: Result<Worst>) -> Outcome {
    match result {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

fn read(folder: &Path, name: &str) -> Result<Value> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("expected a text, found {value}"))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("expected a list, found {value}"))
}

/// Every text of the table by itself.
fn tokens(recorded: &Value) -> Result<Worst> {
    let mut worst = Worst::new();
    for row in list(&recorded["table"])? {
        let written = text(&row["text"])?;
        let lines = ptb::lines(&written.replace('\n', " "));
        worst.equal(written, &lines[0].join(" "), &text(&row["java_line"])?.trim_end().to_owned());
        if lines.len() == 1 {
            let kept = ptb::words(written).join(" ");
            worst.equal(written, &kept, &text(&row["kept"])?.to_owned());
        }
    }
    for row in recorded["line_breakers"].as_array().into_iter().flatten() {
        let written = text(&row["text"])?;
        let lines = ptb::lines(&written.replace('\n', " "));
        let found: Vec<Value> = lines.iter().map(|line| line.join(" ").into()).collect();
        worst.equal(written, &found, list(&row["java_lines"])?);
    }
    Ok(worst)
}

/// Answers step by step, and their accuracy in percent with two decimals.
fn answers(recorded: &Value) -> Result<Worst> {
    let mut worst = Worst::new();
    for row in list(&recorded["answers"])? {
        let raw = text(&row["raw"])?;
        let plain = vqa::without_punctuation(raw);
        worst.equal(raw, plain.as_str(), text(&row["after_punctuation"])?);
        worst.equal(
            raw,
            vqa::normalised(raw, vqa::Rules::OpenFlamingo).as_str(),
            text(&row["normalised"])?,
        );
        worst.equal(raw, vqa::answer(raw), text(&row["postprocess_vqa_generation"])?);
    }
    let percent = |share: f64| (share * 1e4).round() / 1e2;
    let mut all = Vec::new();
    for row in list(&recorded["questions"])? {
        let people = list(&row["answers"])?.iter().map(text).collect::<Result<Vec<_>>>()?;
        let predicted = text(&row["pred"])?;
        // each answer has a number of its own there
        let numbers: Vec<String> = (0..people.len()).map(|it| it.to_string()).collect();
        let numbered: Vec<_> =
            people.iter().copied().zip(numbers.iter().map(String::as_str)).collect();
        let accuracy = vqa::accuracy_as_open_flamingo(predicted, &numbered)?;
        worst.equal(predicted, &percent(accuracy), &number(&row["accuracy_percent"]));
        all.push(accuracy);
    }
    let overall = percent(all.iter().sum::<f64>() / all.len() as f64);
    worst.equal("overall", &overall, &number(&recorded["overall_percent"]));
    Ok(worst)
}

fn captions(folder: &Path) -> Vec<Outcome> {
    let corpora = read(folder, CAPTIONS).and_then(|recorded| {
        let corpora = recorded["corpora"].as_object().cloned();
        corpora.context("no corpora were recorded")
    });
    let corpora = match corpora {
        Ok(corpora) => corpora,
        Err(error) => return vec![Outcome::broken("metrics captions", format!("{error:#}"))],
    };
    let outcomes = corpora.iter().map(|(name, recorded)| {
        let name = format!("metrics {name} (METEOR, chrF, sacreBLEU, rouge-score not compared)");
        outcome(&name, corpus(recorded))
    });
    outcomes.collect()
}

/// A corpus from its recorded tokens and from its texts.
fn corpus(recorded: &Value) -> Result<Worst> {
    let items = list(&recorded["items"])?;
    let texts = |one: &str, many: &str| -> Result<Vec<(String, Vec<String>)>> {
        let pair = |item: &Value| {
            let references = list(&item[many])?.iter().map(|it| Ok(text(it)?.to_owned()));
            Ok((text(&item[one])?.to_owned(), references.collect::<Result<_>>()?))
        };
        items.iter().map(pair).collect()
    };
    let mut worst = Worst::new();
    let given = texts("cand_tokens", "ref_tokens")?;
    let split = |line: &String| -> Vec<String> {
        line.split(' ').filter(|token| !token.is_empty()).map(str::to_owned).collect()
    };
    let from_tokens: Vec<Caption> = given
        .iter()
        .map(|(one, many)| Caption::from_tokens(split(one), many.iter().map(split).collect()))
        .collect();
    compare(&from_tokens, recorded, TOLERANCES.0, &mut worst)?;

    // its program is given all texts as lines of one file, and looks across their ends
    let written = texts("cand", "refs")?;
    let mut candidates = lines(written.iter().map(|it| &it.0));
    let mut references = lines(written.iter().flat_map(|it| &it.1));
    let mut from_texts = Vec::new();
    for (item, (one, many)) in written.iter().zip(&given) {
        let next = candidates.next().unwrap_or_default();
        worst.equal(&format!("tokens of {}", item.0), &next.join(" "), one);
        let of_item: Vec<Vec<String>> =
            many.iter().map(|_| references.next().unwrap_or_default()).collect();
        for (found, expected) in of_item.iter().zip(many) {
            worst.equal("tokens of a reference", &found.join(" "), expected);
        }
        from_texts.push(Caption::from_tokens(next, of_item));
    }
    compare(&from_texts, recorded, TOLERANCES.1, &mut worst)?;
    Ok(worst)
}

fn lines<'a>(texts: impl Iterator<Item = &'a String>) -> impl Iterator<Item = Vec<String>> {
    let joined: Vec<String> = texts.map(|text| text.replace('\n', " ")).collect();
    ptb::lines(&joined.join("\n")).into_iter().map(ptb::kept)
}

fn compare(
    captions: &[Caption],
    recorded: &Value,
    tolerance: f64,
    worst: &mut Worst,
) -> Result<()> {
    let found = caption_scores(captions)?;
    one(&found.corpus, &recorded["corpus"], tolerance, worst);
    for (found, expected) in found.items.iter().zip(list(&recorded["items"])?) {
        one(found, expected, tolerance, worst);
    }
    Ok(())
}

fn one(found: &CaptionScores, expected: &Value, tolerance: f64, worst: &mut Worst) {
    let bleu = numbers(&expected["bleu"]);
    for order in 0..4 {
        let expected = bleu.get(order).copied().unwrap_or(f64::NAN);
        worst.add(&format!("BLEU-{}", order + 1), (found.bleu[order] - expected).abs(), tolerance);
    }
    let rest = [("rouge_l", found.rouge_l), ("cider", found.cider_d)];
    for (what, found) in rest {
        worst.add(what, (found - number(&expected[what])).abs(), tolerance);
    }
}
