//! Ids against full re-forwards, batches against singles, texts against ids.

mod ids;
mod texts;
