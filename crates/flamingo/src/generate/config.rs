//! The settings of the generation, as a pipeline spells them.

use lm::decode::{BeamConfig, EarlyStopping, Length, Rules, Sampling};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{Choice, Decoding};
use crate::{Compat, Error, Result, Vocabulary};

/// Longest text that may be asked for.
const MOST_NEW_TOKENS: usize = 1 << 20;
/// Most texts written side by side: prompts times beams, or times texts of each.
const MOST_ROWS: usize = 4096;
/// Most beams, or texts, of one prompt.
const MOST_BEAMS: usize = 1000;

/// How to write: the likeliest token each time, unless other settings say more.
///
/// `temperature`, `top_k` or `top_p` draw tokens at random; `num_beams` searches the likeliest text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateConfig {
    /// Maximum length of a text in tokens; longer ones are cut.
    pub max_new_tokens: usize,
    /// Texts generated together. Affects speed, not the texts.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Divides the scores before a token is drawn; absent beside `top_k` or `top_p`: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Samples from this many of the likeliest tokens (top-k).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Samples from the smallest set of tokens with this total probability (top-p).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Seed of the draws; absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Above 1, makes tokens that occur in the prompt or the text less likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// No n-gram of this length occurs twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram_size: Option<usize>,
    /// Minimum length of a text in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_new_tokens: Option<usize>,
    /// Number of beams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_beams: Option<usize>,
    /// Beams are ranked by log-probability over length to this power; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_penalty: Option<f64>,
    /// What counts as a beam's length; absent: prompt and text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Length>,
    /// When beam search is over; absent: as soon as no open text is better than the finished ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Texts for each prompt, drawn or found by beams; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_return_sequences: Option<usize>,
    /// What may be written where reports have slots; absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constrain: Option<Constrain>,
}

/// Which texts of reports with slots may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Constrain {
    /// The canonical sentence of each slot that the model states, with one of its values, and nothing else.
    Slots,
    /// Any text, but after the lead of a slot one of its values.
    Mixed,
}

const fn batch_size() -> usize {
    8
}

impl GenerateConfig {
    /// The likeliest token each time.
    pub fn greedy(max_new_tokens: usize, batch_size: usize) -> Self {
        Self {
            max_new_tokens,
            batch_size,
            temperature: None,
            top_k: None,
            top_p: None,
            seed: None,
            repetition_penalty: None,
            no_repeat_ngram_size: None,
            min_new_tokens: None,
            num_beams: None,
            length_penalty: None,
            length: None,
            early_stopping: None,
            num_return_sequences: None,
            constrain: None,
        }
    }

    /// Whether tokens are drawn at random.
    pub fn samples(&self) -> bool {
        self.temperature.is_some() || self.top_k.is_some() || self.top_p.is_some()
    }

    fn beams(&self) -> usize {
        self.num_beams.unwrap_or(1)
    }

    /// Texts for each prompt.
    pub fn n_texts(&self) -> usize {
        self.num_return_sequences.unwrap_or(1)
    }

    /// Sequences that a prompt becomes while it is continued: beams, or texts.
    pub fn n_rows(&self) -> usize {
        self.beams().max(self.n_texts())
    }

    /// Refuses settings that mean nothing, alone or together, naming the first.
    pub fn check(&self) -> Result<()> {
        self.check_numbers()?;
        if self.constrain.is_some() {
            self.check_constrained()?;
        }
        let beside = |field, found: Option<String>, expected: &str| match found {
            Some(found) => Err(Error::Setting { field, found, expected: expected.to_owned() }),
            None => Ok(()),
        };
        if self.beams() > 1 {
            let found = self.samples().then(|| self.beams().to_string());
            beside("num_beams", found, "1 beside `temperature`, `top_k` or `top_p`, which draw")?;
        } else {
            let expected = "`num_beams` above 1 beside it";
            beside("length_penalty", self.length_penalty.map(|it| it.to_string()), expected)?;
            beside("length", self.length.map(|it| format!("{it:?}").to_lowercase()), expected)?;
            let early = self.early_stopping.map(|it| format!("{it:?}").to_lowercase());
            beside("early_stopping", early, expected)?;
        }
        if !self.samples() {
            let expected = "`temperature`, `top_k` or `top_p` beside it";
            beside("seed", self.seed.map(|it| it.to_string()), expected)?;
            let found = (self.n_texts() > self.beams()).then(|| self.n_texts().to_string());
            let expected = format!("at most `num_beams`, which is {}", self.beams());
            beside("num_return_sequences", found, &expected)?;
        }
        let found = self.min_new_tokens.filter(|&least| least > self.max_new_tokens);
        let expected = format!("at most `max_new_tokens`, which is {}", self.max_new_tokens);
        beside("min_new_tokens", found.map(|it| it.to_string()), &expected)
    }

    /// The same, where no slots say what may be written.
    pub fn check_free(&self) -> Result<()> {
        self.check()?;
        let Some(constrain) = self.constrain else { return Ok(()) };
        let found = format!("{constrain:?}").to_lowercase();
        let expected = "slots that say what may be written, and none are given".to_owned();
        Err(Error::Setting { field: "constrain", found, expected })
    }

    /// Values are compared as a whole and the likeliest is written: nothing is drawn, searched or bent.
    pub(super) fn check_constrained(&self) -> Result<()> {
        let set = [
            ("temperature", self.temperature.is_some()),
            ("top_k", self.top_k.is_some()),
            ("top_p", self.top_p.is_some()),
            ("repetition_penalty", self.repetition_penalty.is_some()),
            ("no_repeat_ngram_size", self.no_repeat_ngram_size.is_some()),
            ("min_new_tokens", self.min_new_tokens.is_some()),
            ("num_beams", self.beams() > 1),
            ("num_return_sequences", self.n_texts() > 1),
        ];
        let Some((field, _)) = set.into_iter().find(|(_, is_set)| *is_set) else { return Ok(()) };
        let expected = "`constrain` alone, which writes the likeliest values".to_owned();
        Err(Error::Setting { field, found: "a setting beside `constrain`".to_owned(), expected })
    }

    fn check_numbers(&self) -> Result<()> {
        let setting = |field, found: String, expected: &str| {
            Err(Error::Setting { field, found, expected: expected.to_owned() })
        };
        // name, value, most: limits beyond which the number is a slip, or takes all memory
        let counts = [
            ("max_new_tokens", Some(self.max_new_tokens), MOST_NEW_TOKENS),
            ("batch_size", Some(self.batch_size), MOST_ROWS),
            ("top_k", self.top_k, usize::MAX),
            ("no_repeat_ngram_size", self.no_repeat_ngram_size, usize::MAX),
            ("num_beams", self.num_beams, MOST_BEAMS),
            ("num_return_sequences", self.num_return_sequences, MOST_BEAMS),
        ];
        for (field, found, most) in counts {
            match found {
                Some(0) => return setting(field, "0".to_owned(), "at least 1"),
                Some(found) if found > most => {
                    return setting(field, found.to_string(), &format!("at most {most}"));
                }
                _ => {}
            }
        }
        let texts = self.n_rows();
        if texts.saturating_mul(self.batch_size) > MOST_ROWS {
            let expected = format!(
                "at most {}: {MOST_ROWS} texts are written side by side, {texts} of each prompt",
                MOST_ROWS / texts
            );
            return setting("batch_size", self.batch_size.to_string(), &expected);
        }
        let scales =
            [("temperature", self.temperature), ("repetition_penalty", self.repetition_penalty)];
        for (field, found) in scales {
            if let Some(found) = found.filter(|it| !(it.is_finite() && *it > 0.)) {
                return setting(field, found.to_string(), "a number above 0");
            }
        }
        // scores are kept in 32 bits
        let penalty = self.repetition_penalty.filter(|it| !(1e-3..=1e3).contains(it));
        if let Some(found) = penalty {
            return setting("repetition_penalty", found.to_string(), "0.001 to 1000");
        }
        if let Some(found) = self.top_p.filter(|it| !(*it > 0. && *it <= 1.)) {
            return setting("top_p", found.to_string(), "above 0 and at most 1");
        }
        match self.length_penalty.filter(|it| !(-20. ..=20.).contains(it)) {
            Some(found) => setting("length_penalty", found.to_string(), "-20 to 20"),
            None => Ok(()),
        }
    }

    /// The settings for prompts whose random numbers have these names.
    pub(super) fn decoding(
        &self,
        vocabulary: &Vocabulary,
        compat: Compat,
        streams: Vec<u64>,
    ) -> Decoding {
        let choice = if self.samples() {
            let sampling = Sampling {
                temperature: self.temperature.unwrap_or(1.),
                top_k: self.top_k,
                top_p: self.top_p,
                seed: self.seed.unwrap_or(0),
            };
            Choice::Sample { sampling, streams }
        } else if self.beams() > 1 {
            Choice::Beams(BeamConfig {
                num_beams: self.beams(),
                length_penalty: self.length_penalty.unwrap_or(1.),
                length: self.length.unwrap_or_default(),
                early_stopping: self.early_stopping.unwrap_or_default(),
            })
        } else {
            Choice::Greedy
        };
        let banned = match compat {
            Compat::None => vocabulary.banned.clone(),
            Compat::OpenFlamingo => Vec::new(),
        };
        Decoding {
            max_new_tokens: self.max_new_tokens,
            rules: Rules {
                end: vocabulary.end_of_chunk,
                min_new_tokens: self.min_new_tokens.unwrap_or(0),
                banned,
                repetition_penalty: self.repetition_penalty.map(|penalty| penalty as f32),
                no_repeat_ngram_size: self.no_repeat_ngram_size,
            },
            choice,
            num_return_sequences: self.n_texts(),
            forced: Vec::new(),
        }
    }
}
