//! The road of one recording: from a file to what a model may be shown of it.
//!
//! ```text
//! Recording ─┬─ mask ───────→ voxels ─── clean ─────────────────────────────→ series ──┐
//!            ├─ parcellate ─→ parcels ── denoise, resample_time, normalise … → series ──┼─ windows ─→ PreparedScan
//!            └─ volumes ───────────────────────────────────────────────────→ volumes ─┘
//!               └─────────────── each a Step; fitted once, a Fitted ───────────────┘
//! ```
//!
//! Windows, of events or sliding ([`Cut`]), are cut last, and steps after them change each window.
//!
//! A [`Step`] knows nothing of a cohort's store, of a run or of a page. Whoever walks a cohort asks it what
//! decides a result, fits it once, and applies what was [`Fitted`] to one recording after another, and
//! keeps what comes of it. A [`Recipe`] is the steps in their order: for one recording from file to
//! windows, and for what a package keeps.

mod arrays;
mod cut;
mod error;
mod kind;
mod made;
mod measured;
mod mirror;
mod policy;
mod prepared;
mod recipe;
mod recording;
mod registry;
mod seen;
mod series;
pub mod settings;
mod slices;
mod stats;
mod step;
pub mod steps;
mod volumes;
mod whitening;

pub use crate::{
    cut::Cut,
    error::{Error, Result, kind_of_encoding, kind_of_file},
    kind::Kind,
    made::{Made, Need, Planned, Timing},
    measured::{Measured, Quantity},
    prepared::{PreparedScan, shape},
    recipe::{Mismatch, Recipe},
    recording::Recording,
    registry::{NamedStep, StepRegistry},
    seen::{Frames, Seen},
    series::{AboutSeries, SeriesFacts, StoredSeries, names, places},
    slices::{EDGE_OF_DATA, EDGE_OF_PARCEL, Slice},
    stats::{ending, read_stats},
    step::{Cloned, Data, Deferred, Fitted, Given, Inputs, Packing, Step, StepId, Training},
};
