//! Ids against full re-forwards, batches against singles, texts against ids.

mod by_hand;
mod families;
mod guided;
mod ids;
mod texts;
