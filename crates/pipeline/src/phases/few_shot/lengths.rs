//! Whether prompts fit into the language model.
use std::collections::BTreeMap;

use flamingo::{Compat, IMAGE, PackageTexts};
use report::counted;

use super::{
    ANSWER_TOKENS, CAPTION_TOKENS, STAGE,
    config::FewShotConfig,
    questions::{Asked, question},
};
use crate::{
    Error, Result,
    plan::{BenchmarkPlan, Task},
};

/// What a package's language model reads.
pub(crate) struct Lengths<'a> {
    plan: &'a BenchmarkPlan,
    texts: PackageTexts,
    /// The largest number of shots, whose prompts are the longest.
    shots: usize,
    /// Tokens of the longest answer.
    n_new: usize,
}

impl<'a> Lengths<'a> {
    pub(crate) fn of(plan: &'a BenchmarkPlan, config: &FewShotConfig) -> Result<Self> {
        let texts = PackageTexts::open(&plan.package)?;
        let n_new = match &plan.task {
            Task::Captions => config.writing(CAPTION_TOKENS).max_new_tokens,
            Task::Questions => config.writing(ANSWER_TOKENS).max_new_tokens,
            Task::Classes(classes) => {
                let lengths = classes.iter().map(|class| texts.rest_length(class));
                let lengths = lengths.collect::<std::result::Result<Vec<usize>, _>>()?;
                lengths.into_iter().max().unwrap_or(0)
            }
        };
        let shots = config.shots.iter().copied().max().unwrap_or(0);
        Ok(Self { plan, texts, shots, n_new })
    }

    /// Refuses a number of shots for which even the `k` shortest examples before the first item are too long.
    pub(crate) fn check_shortest(&self, asked: &Asked, compat: Compat, k: usize) -> Result<()> {
        let Some(&item) = asked.items.first() else { return Ok(()) };
        let length = |example: usize| {
            let it = &self.plan.train[example];
            let words = it.ask.demonstration(it.answer.as_deref().unwrap_or_default());
            Ok((self.texts.rest_length(&words.replace(IMAGE, ""))?, example))
        };
        let candidates = asked.candidates(self.plan, compat, item).into_iter();
        let mut lengths = candidates.map(length).collect::<Result<Vec<_>>>()?;
        lengths.sort_unstable();
        let shortest = lengths.into_iter().take(k).map(|(_, example)| example).collect();
        self.check(&BTreeMap::from([(item, shortest)]))
    }

    /// Refuses the first item whose prompt with its examples does not fit.
    pub(crate) fn check(&self, shown: &BTreeMap<usize, Vec<usize>>) -> Result<()> {
        for (&item, shown) in shown {
            let asked = question(self.plan, Compat::None, item, shown, self.shots);
            match self.texts.check(&asked.prompt, asked.pictures.len(), self.n_new) {
                Err(flamingo::Error::TooLong { found, limit }) => {
                    let problem = format!(
                        "item {} after {} has {found} tokens with its answer, and the language model reads {limit}: \
                         ask for fewer",
                        self.plan.test[item].id,
                        counted(shown.len(), "example"),
                    );
                    return Err(Error::StageInput { stage: STAGE, problem });
                }
                other => other?,
            }
        }
        Ok(())
    }
}
