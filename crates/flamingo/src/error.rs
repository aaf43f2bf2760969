//! What can go wrong with a package or a request.

use std::path::PathBuf;

/// What is at fault where foreign files make no package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Checkpoint, language model and CLIP do not belong together.
    Pairing,
    /// Config, tokenizer and weights of the language model do not belong together.
    LanguageModel,
    /// The weights of the CLIP.
    Vision,
    /// The config beside the weights of the CLIP.
    VisionConfig,
    /// A LoRA adapter does not belong to its base model, or is not understood.
    Adapter,
    /// There is no adapter in a model.
    Untrained,
    /// The parts of a package do not belong together.
    Package,
    /// The folder to write to.
    Target,
}

impl Fault {
    fn cure(self) -> Option<&'static str> {
        Some(match self {
            Self::Pairing => {
                "give the checkpoint with the language model and the CLIP that it was trained with"
            }
            Self::LanguageModel => {
                "config.json, tokenizer.json and weights must be those of one and the same language \
                 model: fetch the folder again, or correct config.json"
            }
            Self::Vision => {
                "give the weights of a whole CLIP or of its vision model, with the names of open_clip, \
                 OpenAI or Hugging Face"
            }
            Self::VisionConfig => {
                "that file describes the CLIP beside it: correct it, or say --exact-gelu or \
                 --clip-head-dim instead"
            }
            Self::Adapter => {
                "give the folder that PEFT's save_pretrained wrote, with the base model that it was \
                 trained on"
            }
            Self::Untrained => {
                "give the model of a run whose stage `finetune` has `lora`, or whose encoder has \
                 `trainable: { lora: … }`"
            }
            Self::Package => "bring the package's files back as they were, or make it again",
            Self::Target => return None,
        })
    }
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked to stop.
    #[error("stopped before the work was done")]
    Stopped,
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A package whose `model.yaml` cannot be understood.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// A part that is not the one that the package was made with.
    #[error("{}: {found}, but the package was made with {expected}", path.display())]
    Part {
        /// The part's file.
        path: PathBuf,
        /// What it is now.
        found: String,
        /// What `model.yaml` says of it.
        expected: String,
    },
    /// A file that a package names and that is not where it was.
    #[error(
        "{}: is not there, but {} refers to it (sha256 {}…)", path.display(), folder.display(),
        &sha256[..16.min(sha256.len())]
    )]
    Moved {
        /// Where it was.
        path: PathBuf,
        /// The package.
        folder: PathBuf,
        /// Its digest.
        sha256: String,
    },
    /// A foreign file that makes no package.
    #[error("{}: {reason}", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
        /// What is at fault.
        fault: Fault,
    },
    /// A foreign file that cannot be read.
    #[error(transparent)]
    Container(#[from] formats::Error),
    /// A weight that is not a number.
    #[error("{}: tensor `{name}` holds values that are not finite", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A text whose `<image>` tokens do not count its scans.
    #[error("the prompt has {tokens} `<image>` for {media} scans or pictures; give one each")]
    MediaCount {
        /// `<image>` tokens in the text.
        tokens: usize,
        /// Scans given.
        media: usize,
    },
    /// An `<image>` that stands for none of a model's media.
    #[error("the prompt has `{found}`, expected one of `{}`", known.join("`, `"))]
    MediumName {
        /// As the prompt has it.
        found: String,
        /// As prompts may have them.
        known: Vec<String>,
    },
    /// A continuation whose likelihood means nothing.
    #[error(
        "the continuation `{continuation}` has {found}; expected at least one token and no `<image>`"
    )]
    Continuation {
        /// The text.
        continuation: String,
        /// What is wrong with it.
        found: &'static str,
    },
    /// A scan or picture of another size than the model's.
    #[error("a scan or picture has dimensions {found:?}, this model reads {expected}")]
    Medium {
        /// Dimensions of the given one.
        found: Vec<usize>,
        /// The model's.
        expected: encoder::InputShape,
    },
    /// A picture for a model that reads something else.
    #[error("{}: this model reads {expected}, no pictures", model.display())]
    NoPictures {
        /// The package.
        model: PathBuf,
        /// What it reads.
        expected: encoder::InputShape,
    },
    /// A text that does not fit into the language model.
    #[error("the text has {found} tokens, the language model reads at most {limit}")]
    TooLong {
        /// Tokens in the text, with those still to be written.
        found: usize,
        /// The model's limit.
        limit: usize,
    },
    /// Rows of ids, or their padding flags, that do not make a rectangle.
    #[error("the {rows} rows of a batch and their padding must all have {n_tokens} tokens")]
    Ragged {
        /// Rows of ids.
        rows: usize,
        /// Tokens in the first row.
        n_tokens: usize,
    },
    /// What a text leans on is asked, and it has no scan.
    #[error("what a text leans on is asked of a text without a scan, expected at least one")]
    NoMedium,
    /// A prompt of no tokens, or one that is not padded on the left.
    #[error("a prompt has no last token to continue from: give it a word at least")]
    NoLastToken,
    /// A setting of the generation that contradicts itself or another.
    #[error("`{field}` is {found}, expected {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// An encoder that does not fit.
    #[error(transparent)]
    Encoder(#[from] encoder::Error),
    /// A language model that cannot be read.
    #[error(transparent)]
    Lm(#[from] lm::Error),
    /// Weights that do not fit.
    #[error(transparent)]
    Weights(#[from] nn::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Weights(error.into())
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        let (path, source) = error.into_parts();
        Self::Io { path, source }
    }
}

impl Error {
    /// What the user could do, where there is a cure that the sentence does not say.
    pub fn cure(&self) -> Option<&'static str> {
        use formats::Error as Container;
        let container = match self {
            Self::Container(error)
            | Self::Lm(
                lm::Error::Container(error) | lm::Error::Weights(nn::Error::Container(error)),
            )
            | Self::Weights(nn::Error::Container(error)) => Some(error),
            _ => None,
        };
        match (self, container) {
            (_, Some(Container::Call { .. })) => {
                Some("do not trust this file; weights as safetensors can call nothing")
            }
            (_, Some(Container::Pointer { .. })) => None,
            (_, Some(Container::Damaged { .. })) | (Self::NotFinite { .. }, _) => {
                Some("copy the file again, and compare its SHA-256 with the published one")
            }
            (Self::Import { fault, .. }, _) => fault.cure(),
            (Self::Lm(lm::Error::NoTokenizer { .. }), _) => Some(
                "write it once with Python's transformers: \
                 AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
            ),
            (Self::Lm(lm::Error::Config { .. } | lm::Error::Tokenizer(_)), _) => Some(
                "give a supported language model whole: config.json, tokenizer.json and weights of \
                 one and the same model, or one GGUF file",
            ),
            (Self::MediaCount { .. }, _) => {
                Some("write <image> where each picture belongs in the text")
            }
            (Self::TooLong { .. }, _) => Some("shorten the prompt, or ask for fewer new tokens"),
            (Self::Encoder(encoder::Error::Image { .. }), _) => {
                Some("copy the picture again, or save it anew as PNG or JPEG")
            }
            (Self::NoPictures { .. }, _) => {
                Some("give it a scan with --scan and --window or --onset")
            }
            (Self::Moved { .. }, _) => {
                Some("bring the file back, put it into the package's folder, or import it again")
            }
            (Self::Part { .. }, _) => {
                Some("bring the file back as it was, or make the package again")
            }
            _ => None,
        }
    }
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
