//! Pages of recordings: one a person, one a cohort. Each is a file that opens alone, fetches nothing and
//! needs no script.
//!
//! ```text
//! parcel series, displacement, facts ── figures ─→ SVG and PNG ─┬─→ PersonPage::html  sub-XX.html
//!                                                               └─→ CohortPage::html  recordings.html
//! ```

mod carpet;
mod cohort;
mod colour;
mod glass;
mod matrix;
mod network;
mod outliers;
mod page;
mod person;
mod picture;

pub use carpet::{Carpet, carpet};
pub use cohort::{CohortPage, Outcome, PersonRow};
pub use glass::glass_brain;
pub use matrix::{Matrix, matrix};
pub use network::by_network;
pub use outliers::{Outlier, outliers};
pub use person::{PersonPage, RecordingView};
pub use picture::Picture;
