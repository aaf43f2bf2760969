//! The folder of a run for browsers on this machine: its pages, its files, and how it stands.
//!
//! ```text
//! request ── Gate ─→ Asked ─┬─ Folder ── a page with its scripts, a file, a range of one
//!  Host, Origin, token,     ├─ pages ─── scripts, the page of the state
//!  cookie, method, size     └─ Live ──── events: how the run stands
//! ```
//!
//! The server listens on the loopback interface alone and reads: it writes nothing and runs nothing. It is a
//! crate of its own, so that nothing that draws pages waits for an HTTP server to compile.

mod answer;
mod body;
mod error;
mod folder;
mod gate;
mod live;
mod places;
mod range;
mod server;

pub use error::{Error, Result};
pub use live::State;
pub use server::{Server, Stopper};
