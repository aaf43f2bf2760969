//! Whether prompts fit into the language model.
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use flamingo::{Compat, IMAGE, PackageTexts};
use report::counted;

use super::{
    config::{ANSWER_TOKENS, CAPTION_TOKENS, FewShotConfig, STAGE},
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
    /// Tokens of examples, as far as they were counted.
    of_examples: RefCell<HashMap<usize, usize>>,
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
        Ok(Self { plan, texts, shots, n_new, of_examples: RefCell::default() })
    }

    /// Tokens of a solved example with its picture.
    fn of_example(&self, example: usize) -> Result<usize> {
        if let Some(&known) = self.of_examples.borrow().get(&example) {
            return Ok(known);
        }
        let it = &self.plan.train[example];
        let words = it.ask.demonstration(it.answer.as_deref().unwrap_or_default());
        let length = self.texts.rest_length(&words.replace(IMAGE, ""))? + 1;
        self.of_examples.borrow_mut().insert(example, length);
        Ok(length)
    }

    /// Refuses a number of shots for which even the `k` shortest examples before the first item are too long.
    pub(crate) fn check_shortest(&self, asked: &Asked, compat: Compat, k: usize) -> Result<()> {
        let Some(&item) = asked.items.first() else { return Ok(()) };
        let candidates = asked.candidates(self.plan, compat, item).into_iter();
        let lengths = candidates.map(|example| Ok((self.of_example(example)?, example)));
        let mut lengths = lengths.collect::<Result<Vec<_>>>()?;
        lengths.sort_unstable();
        let shortest = lengths.into_iter().take(k).map(|(_, example)| example).collect();
        self.check(&BTreeMap::from([(item, shortest)]))
    }

    /// Refuses the first item whose prompt with its examples does not fit.
    pub(crate) fn check(&self, shown: &BTreeMap<usize, Vec<usize>>) -> Result<()> {
        for (&item, shown) in shown {
            if !self.fits_by_far(item, shown)? {
                self.check_one(item, shown)?;
            }
        }
        Ok(())
    }

    /// Whether its pieces are so short that the prompt fits however they are joined: a data set has many items, and
    /// few examples stand before many of them.
    fn fits_by_far(&self, item: usize, shown: &[usize]) -> Result<bool> {
        let query = self.plan.test[item].ask.query().replace(IMAGE, "");
        let mut sum = self.texts.rest_length(&query)? + 1 + self.n_new;
        for &example in shown {
            sum += self.of_example(example)?;
        }
        // a tokenizer may begin each piece, and the whole, with a token of its own
        Ok(sum + 2 * shown.len() + 8 <= self.texts.limit())
    }

    fn check_one(&self, item: usize, shown: &[usize]) -> Result<()> {
        let asked = question(self.plan, Compat::None, item, shown, self.shots);
        match self.texts.check(&asked.prompt, asked.pictures.len(), self.n_new) {
            Err(flamingo::Error::TooLong { found, limit }) => {
                let problem = format!(
                    "item {} after {} has {found} tokens with its answer, and the language model reads {limit}: \
                     ask for fewer",
                    self.plan.test[item].id,
                    counted(shown.len(), "example"),
                );
                Err(Error::StageInput { stage: STAGE, problem })
            }
            other => Ok(other?),
        }
    }
}
