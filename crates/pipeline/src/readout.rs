//! From a model and a window to text, slots and their probabilities.
use std::sync::Arc;

use flamingo::{GenerateConfig, IMAGE, LogLikelihood, Medium, Model, Request, Scored};
use report::{generated::GeneratedSlot, metrics::softmax, slots::SlotSet};
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    event::{Control, Event},
};

/// How many continuations are scored at once where no stage says it.
pub(crate) const SCORING_BATCH: usize = 32;

/// What is asked of the model.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) prompt: String,
    /// No scan at all, if none.
    pub(crate) medium: Option<Arc<Medium>>,
}

/// What it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// Ended by itself, not by the limit of tokens.
    pub(crate) stopped: bool,
    pub(crate) slots: Vec<GeneratedSlot>,
}

impl Query {
    fn prompt(&self) -> String {
        if self.medium.is_some() { format!("{IMAGE}{}", self.prompt) } else { self.prompt.clone() }
    }

    fn media(&self) -> Vec<Arc<Medium>> {
        self.medium.iter().cloned().collect()
    }

    /// The likelihood of `text` after this prompt and scan.
    pub(crate) fn scored(&self, text: &str) -> Scored {
        let (prompt, media) = (self.prompt(), self.media());
        Scored { prompt, continuation: text.to_owned(), media }
    }
}

/// Free-running texts, a batch at a time.
pub(crate) fn texts(
    model: &Model,
    queries: &[Query],
    config: &GenerateConfig,
    stage: &'static str,
    control: &mut Control<'_>,
) -> Result<Vec<(String, bool)>> {
    let mut texts = Vec::with_capacity(queries.len());
    for batch in queries.chunks(config.batch_size.max(1)) {
        control.checkpoint()?;
        let requests: Vec<Request> = batch
            .iter()
            .zip(texts.len() as u64..)
            .map(|(query, place)| Request {
                prompt: query.prompt(),
                media: query.media(),
                stream: Some(place),
            })
            .collect();
        let generated = model.generate(&requests, config)?;
        texts.extend(generated.into_iter().map(|it| (it.text.trim().to_owned(), it.stopped)));
        control.tell(Event::Advanced { stage, done: texts.len(), total: queries.len() });
    }
    Ok(texts)
}

/// Likelihoods, a few batches at a time so that a signal is heard.
pub(crate) fn likelihoods(
    model: &Model,
    items: &[Scored],
    batch_size: usize,
    stage: &'static str,
    control: &mut Control<'_>,
) -> Result<Vec<LogLikelihood>> {
    let mut found = Vec::with_capacity(items.len());
    for chunk in items.chunks(4 * batch_size.max(1)) {
        control.checkpoint()?;
        found.extend(model.log_likelihood(chunk, batch_size.max(1))?);
        control.tell(Event::Advanced { stage, done: found.len(), total: items.len() });
    }
    Ok(found)
}

/// For each query the log-likelihood of every value of `slot` where its text states that slot.
pub(crate) fn slot_likelihoods(
    model: &Model,
    slots: &SlotSet,
    slot: &str,
    queries: &[(Query, String)],
    stage: &'static str,
    control: &mut Control<'_>,
) -> Result<Vec<Vec<f64>>> {
    let mut items = Vec::new();
    for (query, text) in queries {
        let alternatives = slots.alternatives(text, slot).expect("asked for slots of the set only");
        // a blank belongs to the word after it, as in every training text
        let prefix = alternatives.prefix.trim_end();
        let blank = &alternatives.prefix[prefix.len()..];
        items.extend(alternatives.choices.iter().map(|choice| {
            let mut item = query.scored(&format!("{blank}{}", choice.surface));
            item.prompt.push_str(prefix);
            item
        }));
    }
    let found = likelihoods(model, &items, SCORING_BATCH, stage, control)?;
    let n_values = items.len() / queries.len().max(1);
    let sums: Vec<f64> = found.iter().map(|it| it.sum).collect();
    Ok(sums.chunks(n_values.max(1)).map(<[f64]>::to_vec).collect())
}

/// Texts with the probability of every value of every slot.
pub(crate) fn answers(
    model: &Model,
    slots: &SlotSet,
    temperature: f64,
    queries: &[Query],
    config: &GenerateConfig,
    stage: &'static str,
    control: &mut Control<'_>,
) -> Result<Vec<Answer>> {
    let texts = texts(model, queries, config, stage, control)?;
    let with_text: Vec<(Query, String)> =
        queries.iter().cloned().zip(texts.iter().map(|(text, _)| text.clone())).collect();
    let mut answers: Vec<Answer> = texts
        .into_iter()
        .map(|(text, stopped)| Answer { text, stopped, slots: Vec::new() })
        .collect();
    for (slot_idx, slot) in slots.slots().iter().enumerate() {
        let found = slot_likelihoods(model, slots, &slot.name, &with_text, stage, control)?;
        for (answer, likelihoods) in answers.iter_mut().zip(found) {
            let values = slot.values.keys().cloned();
            let probabilities = values.zip(softmax(&likelihoods, temperature)).collect();
            let parsed = slots.parse(&answer.text);
            answer.slots.push(GeneratedSlot::new(
                &slot.name,
                &parsed.slots[slot_idx],
                probabilities,
            ));
        }
    }
    Ok(answers)
}
