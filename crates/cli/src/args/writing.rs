//! How to write, and after what: options that several commands share.
use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::Result;
use clap::{Args as Group, builder::PossibleValuesParser};
use pipeline::{GenerateConfig, Prompt};
use serde::Serialize;

/// The text before the model's, and its pictures.
#[derive(Debug, Group)]
pub(crate) struct PromptArgs {
    /// A picture, PNG or JPEG, for a model that reads pictures; once for each `<image>` of the prompt.
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Vec<PathBuf>,
    /// The text before the model's, with an `<image>` for each picture, or none: then the pictures
    /// come first. Without any picture the text alone is continued [default with --image: Output:]
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Many prompts, one JSON object a line: {"prompt": "…<image>…", "images": ["FILE", …]}; paths
    /// are relative to the file.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["image", "prompt"])]
    pub(crate) interleaved: Option<PathBuf>,
}

impl PromptArgs {
    pub(crate) fn read(&self) -> Result<Vec<Prompt>> {
        if let Some(path) = &self.interleaved {
            Ok(Prompt::read(path)?)
        } else {
            let text = self.prompt.as_deref().unwrap_or("Output:");
            Ok(vec![Prompt::new(text, &self.image)])
        }
    }
}

/// How to write, in the words of Hugging Face's `generate`.
#[derive(Debug, Group, Serialize)]
#[command(next_help_heading = "Writing")]
pub(crate) struct WritingArgs {
    /// Stop after this many tokens, finished or not; the shipped pipelines say the same number.
    #[arg(long, value_name = "N", default_value = "96")]
    max_new_tokens: NonZeroUsize,
    /// Minimum length in tokens.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_new_tokens: Option<usize>,
    /// Draw tokens at random, from scores divided by this; without it, --top-k and --top-p the
    /// likeliest is taken each time.
    #[arg(long, value_name = "T", value_parser = finite)]
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// Draw from this many of the likeliest tokens only.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<usize>,
    /// Draw from the fewest tokens that together have this probability only.
    #[arg(long, value_name = "P", value_parser = finite)]
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    /// Seed of the draws; the same seed draws the same text, whatever else is written beside it.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Above 1, makes tokens that occur in the prompt or the text less likely.
    #[arg(long, value_name = "X", value_parser = finite)]
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f64>,
    /// No n-gram of this length occurs twice.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    no_repeat_ngram_size: Option<usize>,
    /// Beam search with this many beams, instead of the likeliest token each time.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    num_beams: Option<usize>,
    /// Rank beams by log-probability over length to this power.
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite)]
    #[serde(skip_serializing_if = "Option::is_none")]
    length_penalty: Option<f64>,
    /// What counts as a beam's length: prompt and text, as in transformers until 4.35, or the
    /// written tokens alone, as in later ones [default: whole].
    #[arg(long, value_name = "WHAT", value_parser = PossibleValuesParser::new(["whole", "generated"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<String>,
    /// When beam search is over: when no open text scores better (transformers' false), at once
    /// (true), or when none ever can (never) [default: heuristic].
    #[arg(long, value_name = "WHEN", value_parser = PossibleValuesParser::new(["heuristic", "full", "never"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    early_stopping: Option<String>,
    /// Texts for each prompt, drawn or found by beams.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    num_return_sequences: Option<usize>,
    /// Write what the slots of a report allow: their canonical sentences alone, or free prose with one of a
    /// slot's values after its lead.
    #[arg(long, value_name = "TO", value_parser = PossibleValuesParser::new(["slots", "mixed"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    constrain: Option<String>,
    /// Prompts processed at once. Affects speed, not the texts.
    #[arg(long, value_name = "N", default_value = "8")]
    batch_size: NonZeroUsize,
}

impl WritingArgs {
    /// The same as a pipeline would spell it.
    pub(crate) fn config(&self) -> GenerateConfig {
        let spelt = serde_json::to_value(self).expect("options are plain values");
        serde_json::from_value(spelt).expect("options have the settings' names and kinds")
    }
}

/// A number that JSON has a name for.
fn finite(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    number.is_finite().then_some(number).ok_or_else(|| "expected a finite number".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        writing: WritingArgs,
    }

    #[test]
    fn every_setting_has_its_option() {
        let words = "x --max-new-tokens 9 --min-new-tokens 2 --temperature 0.5 --top-k 4 --top-p 0.9 \
                     --seed 3 --repetition-penalty 1.5 --no-repeat-ngram-size 3 --num-beams 5 \
                     --length-penalty -2 --length generated --early-stopping never \
                     --num-return-sequences 2 --batch-size 7 --constrain mixed";
        let config = Only::parse_from(words.split_whitespace()).writing.config();
        let spelt = serde_json::to_value(&config).unwrap();
        let expected = serde_json::json!({
            "max_new_tokens": 9, "batch_size": 7, "temperature": 0.5, "top_k": 4, "top_p": 0.9,
            "seed": 3, "repetition_penalty": 1.5, "no_repeat_ngram_size": 3, "min_new_tokens": 2,
            "num_beams": 5, "length_penalty": -2.0, "length": "generated",
            "early_stopping": "never", "num_return_sequences": 2, "constrain": "mixed",
        });
        assert_eq!(spelt, expected);
        for option in ["--temperature", "--top-p", "--repetition-penalty", "--length-penalty"] {
            for number in ["nan", "inf", "1e999"] {
                let error = Only::try_parse_from(["x", option, number]).err().unwrap().to_string();
                assert!(error.contains("expected a finite number"), "{error}");
            }
        }
        let plain = Only::parse_from(["x"]).writing.config();
        assert_eq!(plain, GenerateConfig::greedy(96, 8));
    }
}
