//! Pages of a run: one of the cohort, one a person. Each is a file that opens alone, fetches nothing and runs
//! nothing; numbers come from `report`. A server adds scripts to them ([`served`]).
//!
//! ```text
//! series, slices, facts ── figures ─→ SVG with PNG ─┬─ PersonPage ─ person.html ─→ sub-XX.html
//! reports with their controls ──────────────────────┘
//! counts, thumbnails, evidence ──────── CohortPage ─ cohort.html ─→ index.html, people-002.html, …
//! ```

mod asked;
mod cohort;
mod differences;
mod escape;
mod figures;
mod findings;
mod html;
mod leaning;
mod person;
mod reports;
mod served;

pub use asked::AskedQuestion;
pub use cohort::{CohortPage, INDEX, Outcome, PersonRow};
pub use figures::{
    Carpet, CurvePoint, Curves, Matrix, Outlier, Picture, SliceView, Svg, WindowMap, by_network,
    carpet, coverage, glass_brain, matrix, outliers, slices,
};
pub use findings::{Answers, Findings};
pub use html::Figure;
pub use leaning::{Leaning, LeaningPlace, LeaningToken};
pub use person::{PersonPage, RecordingView, VolumeFile};
pub use reports::{ReportView, SlotView};
pub use served::{Asset, Served, StatusPage, asset, drawing_policy, served};
