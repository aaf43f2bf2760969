//! The settings of `evaluate_few_shot`.
use std::path::PathBuf;

use flamingo::{Compat, GenerateConfig, RankBy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Its name in a file.
pub(crate) const STAGE: &str = "evaluate_few_shot";

/// Raised where the same questions would get other answers.
pub(super) const VERSION: u32 = 1;

/// Tokens of a caption, and of a short answer, where nothing else is said.
pub(super) const CAPTION_TOKENS: usize = 20;
pub(super) const ANSWER_TOKENS: usize = 5;

/// How often a data set is asked with how many solved examples, and how answers are found. What is absent is as
/// OpenFlamingo's evaluation has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FewShotConfig {
    /// Numbers of solved examples before each question; each is an evaluation of its own. 0 shows two examples
    /// without their pictures.
    #[serde(default = "shots")]
    pub shots: Vec<usize>,
    /// Which examples.
    #[serde(default)]
    pub demonstrations: Demonstrations,
    /// Items that are asked, drawn by the seed; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_items: Option<usize>,
    /// How captions and answers are generated; absent: three beams without a penalty of length, of up to 20 tokens
    /// for captions and 5 for answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writing: Option<GenerateConfig>,
    /// How classes are chosen; absent: by the mean log-probability of their tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choosing: Option<ChoosingConfig>,
    /// Draws behind each interval.
    #[serde(default = "bootstrap")]
    pub bootstrap: usize,
    /// `open_flamingo` repeats the faults of OpenFlamingo 2.0.1's model and evaluation, whatever the package says.
    #[serde(default, skip_serializing_if = "Compat::is_none")]
    pub compat: Compat,
}

/// Which solved examples stand before a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Demonstrations {
    /// Drawn for each item.
    Random(RandomDemonstrations),
    /// Those whose pictures are most similar to the item's, the most similar last (RICES).
    Rices(Features),
}

/// Drawn for each item from some of the examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomDemonstrations {
    /// Examples that demonstrations are drawn from, themselves drawn once by the seed; all where there are fewer.
    pub among: usize,
}

/// The vectors by which pictures are similar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Features {
    /// Those of the package's own encoder: CLIP's embedding of a picture, or the mean of its tokens.
    Encoder,
    /// Those of a table, such as embeddings of brains, or of another CLIP.
    Table(FeatureTable),
}

/// A table with a row for each picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureTable {
    /// CSV, TSV or Parquet; the vector is the column `embedding` of a Parquet table, or all other columns of numbers.
    pub file: PathBuf,
    /// The column with the name of each picture's file, without its folder.
    pub key: String,
}

/// How a class is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoosingConfig {
    /// What classes are ranked by.
    #[serde(default)]
    pub rank_by: RankBy,
    /// Items, and names of classes, that are read together.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Orders of the demonstrations over which log-probabilities are averaged; no more than there are.
    #[serde(default = "orders")]
    pub orders: usize,
}

impl Default for Demonstrations {
    fn default() -> Self {
        Self::Random(RandomDemonstrations { among: 2048 })
    }
}

impl Default for ChoosingConfig {
    fn default() -> Self {
        Self { rank_by: RankBy::Mean, batch_size: batch_size(), orders: orders() }
    }
}

impl FewShotConfig {
    /// The file that it names.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        match &mut self.demonstrations {
            Demonstrations::Rices(Features::Table(table)) => vec![&mut table.file],
            _ => Vec::new(),
        }
    }

    /// Most demonstrations before one question.
    pub(crate) fn most_demonstrations(&self) -> usize {
        let of_none = report::few_shot::TEXT_DEMONSTRATIONS;
        self.shots.iter().map(|&n| if n == 0 { of_none } else { n }).max().unwrap_or(0)
    }

    /// How texts of up to `max_new_tokens` are written, unless something else is said.
    pub(crate) fn writing(&self, max_new_tokens: usize) -> GenerateConfig {
        self.writing.clone().unwrap_or_else(|| GenerateConfig {
            num_beams: Some(3),
            length_penalty: Some(0.0),
            ..GenerateConfig::greedy(max_new_tokens, batch_size())
        })
    }

    /// How classes are chosen.
    pub(crate) fn choosing(&self) -> ChoosingConfig {
        self.choosing.clone().unwrap_or_default()
    }
}

fn shots() -> Vec<usize> {
    vec![0, 4, 8, 16, 32]
}

const fn bootstrap() -> usize {
    2000
}

const fn batch_size() -> usize {
    8
}

const fn orders() -> usize {
    1
}
