//! What is asked of a model, and what it wrote.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Medium;

/// A text to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// The text so far, one `<image>` for each of `media`.
    pub prompt: String,
    /// Preprocessed windows, one a scan; none: the text is written without a scan.
    pub media: Vec<Arc<Medium>>,
    /// Names the random numbers that tokens are drawn by; absent: the place among the requests.
    pub stream: Option<u64>,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The new text, without special tokens.
    pub text: String,
    /// Tokens written, the end-of-chunk token included.
    pub n_tokens: usize,
    /// Whether the model ended the text itself.
    pub stopped: bool,
    /// What beam search ranks by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}
