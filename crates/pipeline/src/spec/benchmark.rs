//! Data sets with pictures and what people say of them, in the layouts that OpenFlamingo's evaluation reads.
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A data set for few-shot evaluation: solved examples in one part, what is asked in another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BenchmarkSpec {
    /// Captions in Karpathy's layout, as `dataset_coco.json` and `dataset_flickr30k.json`.
    Captions(CaptionsLayout),
    /// Questions and short answers in the layout of VQA v2; TextVQA and VizWiz as OpenFlamingo has them.
    Questions(QuestionsLayout),
    /// Hateful Memes: two classes, and the text on each picture.
    HatefulMemes(MemesLayout),
    /// A folder for each class, as ImageNet.
    ImageFolders(FoldersLayout),
}

/// Examples are those of `split: train`, items those of `split: test`; others are not used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptionsLayout {
    /// The JSON file with `images`, each with `filename`, perhaps `filepath`, `split` and `sentences`.
    pub karpathy: PathBuf,
    /// Folder of the pictures, which lie in it under `filepath` where that is given.
    pub images: PathBuf,
}

/// One part to take examples from, one that is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionsLayout {
    /// Examples.
    pub train: AnsweredQuestions,
    /// Items.
    pub test: AskedQuestions,
}

/// Questions with answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnsweredQuestions {
    /// The JSON file with `questions`, each with `question_id`, `image_id` and `question`.
    pub questions: PathBuf,
    /// The JSON file with `annotations`, each with `question_id` and `answers`.
    pub annotations: PathBuf,
    /// Folder of the pictures. An `image_id` that is a number is COCO's: `COCO_val2014_000000000042.jpg` in a folder
    /// that is called `val2014`; other ones are names of files, of JPEG files where they have no ending.
    pub images: PathBuf,
}

/// Questions whose answers may be unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedQuestions {
    /// As of the examples.
    pub questions: PathBuf,
    /// As of the examples. Without it answers are written for a server that knows them, and nothing is scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<PathBuf>,
    /// As of the examples.
    pub images: PathBuf,
}

/// Lines of JSON, each with `id`, `img`, `label` (1 is hateful) and `text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemesLayout {
    /// Examples.
    pub train: PathBuf,
    /// Items.
    pub test: PathBuf,
    /// Folder of the pictures, which lie in it under the last part of `img`.
    pub images: PathBuf,
}

/// Folders of pictures, one a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldersLayout {
    /// Folder with the folders of the examples.
    pub train: PathBuf,
    /// Folder with the folders of the items.
    pub test: PathBuf,
    /// JSON object from the name of each folder to that of its class.
    pub names: PathBuf,
}

impl BenchmarkSpec {
    /// Every path it names.
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Captions(it) => vec![&mut it.karpathy, &mut it.images],
            Self::Questions(QuestionsLayout { train, test }) => {
                let train = [&mut train.questions, &mut train.annotations, &mut train.images];
                let test = [&mut test.questions, &mut test.images]
                    .into_iter()
                    .chain(&mut test.annotations);
                train.into_iter().chain(test).collect()
            }
            Self::HatefulMemes(it) => vec![&mut it.train, &mut it.test, &mut it.images],
            Self::ImageFolders(it) => vec![&mut it.train, &mut it.test, &mut it.names],
        }
    }
}
