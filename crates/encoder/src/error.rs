//! Why an encoder cannot be built.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A window that does not fit the encoder.
    #[error("encoder `{encoder}` needs {expected}, but the stages before it give {found}")]
    Input {
        /// The encoder's name in the YAML.
        encoder: &'static str,
        /// What it needs.
        expected: String,
        /// What it would get.
        found: String,
    },
    /// A setting that makes no encoder.
    #[error("encoder `{encoder}`: {reason}")]
    Setting {
        /// The encoder's name in the YAML.
        encoder: &'static str,
        /// What was found and expected.
        reason: String,
    },
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
