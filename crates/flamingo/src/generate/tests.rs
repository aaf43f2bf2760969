//! Ids against full re-forwards, batches against singles, texts against ids.

mod by_hand;
mod families;
mod ids;
mod texts;
