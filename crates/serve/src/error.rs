//! Why a folder cannot be served.
use std::{io, path::PathBuf};

/// What a command line says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such folder, or it cannot be read.
    #[error("{path}: cannot be served ({source}); expected the folder of a run, as runs/NAME")]
    Folder {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody listens there.
    #[error("port {port} is taken: expected a free one, or no --port for any that is free")]
    Taken {
        /// The port.
        port: u16,
    },
    /// No port of the loopback interface can be listened to, or no random numbers are there.
    #[error("cannot listen on 127.0.0.1, port {port}: {problem}")]
    Listen {
        /// The port; 0 for any.
        port: u16,
        /// What the system says.
        problem: String,
    },
}

/// What this crate's functions give.
pub type Result<T> = std::result::Result<T, Error>;
