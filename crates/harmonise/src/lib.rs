//! Measures of people without what site, age, sex or motion explain.
//!
//! ```text
//! people (site, covariates) ── Terms::of ─→ columns of a design
//! measures (n_people, n_features) ─┬─ Residuals::fit ─→ what the covariates explain, to subtract
//!                                  └─ Combat::fit ────→ shift and scale of each site, to take away
//! ```
//!
//! Both are fitted on training people and then applied to anybody, one at a time.

mod combat;
mod error;
mod residuals;
mod terms;

pub use combat::{Combat, CombatConfig, LeftOut, UnseenSite};
pub use error::{Error, Result};
pub use residuals::Residuals;
pub use terms::{Person, Terms};
