//! Work that is done once: units beside each other within cores and memory, each result kept by
//! everything that decides it.
//!
//! ```text
//! Units ── Engine::each ─→ Store (one file a unit, by key) ─→ Outcomes: results, failures with kinds
//!            │    ▲
//!   Control ─┘    └─ Budget
//! ```
//!
//! Nothing is known here of what a unit is. A stopped run goes on at the unit where it was, and a set
//! of units that grew by one computes that one only.

mod arrays;
mod budget;
mod control;
mod digests;
mod each;
mod error;
mod failure;
mod journal;
mod kept;
mod key;
mod lock;
mod store;
mod sweep;

pub use crate::{
    arrays::{Arrays, Header, Numbers, read, to_bytes},
    budget::{Budget, memory_of_machine},
    control::{Control, Event, Execution, Observer, Silent},
    digests::check as check_digests,
    each::{Engine, Judged, Outcomes, Units, none_in_reach},
    error::{Error, Result},
    failure::{Failure, Kind, Reason},
    journal::Journal,
    kept::Kept,
    key::Key,
    lock::{Holding, Lock, Lost, Process, this_process, utc},
    store::{Facts, Store, Unit},
    sweep::leftovers,
};
