//! Questions with allowed answers, asked of every scan of a cohort: their words, and what the answers are worth.

mod dependence;
mod scores;
mod words;

pub use dependence::Dependence;
pub use scores::{AnswerScores, Answered, scores};
pub use words::QuestionWords;
