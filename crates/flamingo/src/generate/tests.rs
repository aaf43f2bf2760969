//! Ids against full re-forwards, batches against singles, texts against ids.

mod families;
mod ids;
mod texts;
