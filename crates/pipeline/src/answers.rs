//! From a model and a window to text, slots and their probabilities.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{Event, Kept};
use flamingo::{
    GenerateConfig, Generated, Guide, IMAGE, LogLikelihood, Medium, Model, Request, Scored, Stop,
    unnamed,
};
use report::{
    evidence::GateOpening,
    generated::GeneratedSlot,
    metrics::{SlotTrust, softmax},
    slots::{Alternatives, SlotSet},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Result,
    event::Control,
    slot_guide::{SlotGuide, Values},
};

/// How many continuations are scored at once where no stage says it.
pub(crate) const SCORING_BATCH: usize = 32;

/// What is asked of the model.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) prompt: String,
    /// In the order of the prompt; no scan at all, if none.
    pub(crate) media: Vec<Arc<Medium>>,
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
    /// With an `<image>` for each of the media: where the prompt does not say where, they come first.
    pub(crate) fn prompt(&self) -> String {
        let (text, names) = unnamed(&self.prompt);
        if self.media.is_empty() {
            text.replace(IMAGE, "")
        } else if names.is_empty() {
            format!("{IMAGE}{}", self.prompt)
        } else {
            self.prompt.clone()
        }
    }

    /// The likelihood of `text` after this prompt and scan.
    pub(crate) fn scored(&self, text: &str) -> Scored {
        let (prompt, media) = (self.prompt(), self.media.clone());
        Scored { prompt, continuation: text.to_owned(), media }
    }
}

/// For which stage a model is read, and where its parts are kept for a stopped run to go on after.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    stage: &'static str,
    keep_dir: Option<PathBuf>,
}

impl Reading {
    /// Nothing is kept.
    pub(crate) fn once(stage: &'static str) -> Self {
        Self { stage, keep_dir: None }
    }

    /// Parts are kept in `dir`, which no other settings or inputs share.
    pub(crate) fn kept_in(stage: &'static str, dir: &Path) -> Self {
        Self { stage, keep_dir: Some(dir.to_owned()) }
    }

    /// Works on `items` part by part, taking those that were kept.
    pub(crate) fn each<I, T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        items: &[I],
        size: usize,
        control: &mut Control<'_>,
        work: impl Fn(usize, &[I], Stop<'_>) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let kept = self.keep_dir.as_ref().map(|dir| Kept::new(dir, name));
        let (stage, total) = (self.stage, items.len());
        let mut found: Vec<T> = Vec::with_capacity(total);
        control.tell(Event::Advanced { stage, done: 0, total });
        for (number, part) in items.chunks(size.max(1)).enumerate() {
            control.checkpoint()?;
            let known = kept.as_ref().and_then(|kept| kept.get::<Vec<T>>(number));
            if let Some(known) = known.filter(|known| known.len() == part.len()) {
                found.extend(known);
            } else {
                let new = work(found.len(), part, &control.stop())?;
                kept.as_ref().map_or(Ok(()), |kept| kept.put(number, &new))?;
                found.extend(new);
            }
            control.tell(Event::Advanced { stage, done: found.len(), total });
        }
        Ok(found)
    }
}

/// A text that the model wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// Ended by itself, not by the limit of tokens.
    stopped: bool,
    /// How likely the values of the slots were that it was allowed to choose from.
    #[serde(default)]
    values: Values,
}

/// Texts, free or as `slots` allow, a batch at a time; those called `name` are kept apart from others of a stage.
pub(crate) fn texts(
    model: &Model,
    slots: &SlotSet,
    (name, queries): (&str, &[Query]),
    config: &GenerateConfig,
    reading: &Reading,
    control: &mut Control<'_>,
) -> Result<Vec<Text>> {
    reading.each(name, queries, config.batch_size, control, |before, batch, stop| {
        let requests: Vec<Request> = batch
            .iter()
            .zip(before as u64..)
            .map(|(query, place)| Request {
                prompt: query.prompt(),
                media: query.media.clone(),
                stream: Some(place),
            })
            .collect();
        let text = |it: Generated, values| Text {
            text: it.text.trim().to_owned(),
            stopped: it.stopped,
            values,
        };
        let Some(constrain) = config.constrain else {
            let generated = model.generate_until(&requests, config, stop)?;
            return Ok(generated.into_iter().map(|it| text(it, Values::new())).collect());
        };
        let mut guides: Vec<SlotGuide<'_>> =
            requests.iter().map(|_| SlotGuide::new(slots, constrain)).collect();
        let mut lent: Vec<&mut dyn Guide> = guides.iter_mut().map(|it| it as _).collect();
        let generated = model.generate_guided(&requests, &mut lent, config, stop)?;
        Ok(generated.into_iter().zip(guides).map(|(it, guide)| text(it, guide.values)).collect())
    })
}

/// Likelihoods, a few batches at a time; those called `name` are kept apart from others of a stage.
pub(crate) fn likelihoods(
    model: &Model,
    (name, items): (&str, &[Scored]),
    batch_size: usize,
    reading: &Reading,
    control: &mut Control<'_>,
) -> Result<Vec<LogLikelihood>> {
    let size = batch_size.max(1);
    reading.each(name, items, 4 * size, control, |_, part, stop| {
        Ok(model.log_likelihood_until(part, size, stop)?)
    })
}

/// For each query the log-likelihood of every value of `slot`, which is one of several values, where its text
/// states that slot.
pub(crate) fn slot_likelihoods(
    model: &Model,
    slots: &SlotSet,
    slot: &str,
    queries: &[(Query, String)],
    reading: &Reading,
    control: &mut Control<'_>,
) -> Result<Vec<Vec<f64>>> {
    let mut items = Vec::new();
    for (query, text) in queries {
        let of =
            |text: &str| slots.alternatives(text, slot).expect("one of several values of the set");
        let mut alternatives = of(text);
        // odd bytes are read again as more tokens than were written: the slot's own words remain
        if !fits(model, query, &alternatives) {
            alternatives = of("");
        }
        // a blank belongs to the word after it, as in every training text
        let prefix = alternatives.prefix.trim_end();
        let blank = &alternatives.prefix[prefix.len()..];
        items.extend(alternatives.choices.iter().map(|choice| {
            let mut item = query.scored(&format!("{blank}{}", choice.surface));
            item.prompt.push_str(prefix);
            item
        }));
    }
    // a name of the user's may be no name of a file
    let name = format!("slot-{}", &files::sha256_bytes(slot.as_bytes())[..16]);
    let found = likelihoods(model, (&name, &items), SCORING_BATCH, reading, control)?;
    let n_values = items.len() / queries.len().max(1);
    let sums: Vec<f64> = found.iter().map(|it| it.sum).collect();
    Ok(sums.chunks(n_values.max(1)).map(<[f64]>::to_vec).collect())
}

/// Whether the model can read a text up to a slot, and the longest value after it; a token has a byte at
/// least.
fn fits(model: &Model, query: &Query, alternatives: &Alternatives) -> bool {
    let longest = alternatives.choices.iter().map(|it| it.surface.len()).max().unwrap_or(0);
    let prompt = query.prompt() + &alternatives.prefix;
    let request = Request { prompt, media: query.media.clone(), stream: None };
    model.check(&request, longest + 1).is_ok()
}

/// How far the gated blocks of a model are open, as evidence lists them.
pub(crate) fn gates(model: &Model) -> Result<Vec<GateOpening>> {
    let gates = model.gates()?.into_iter().map(|gate| GateOpening {
        block: gate.block,
        attention: gate.attention,
        feed_forward: gate.feed_forward,
    });
    Ok(gates.collect())
}

/// How likelihoods of slots become probabilities.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trust {
    /// Divides log-likelihoods of a slot's values, where the slot has no temperature of its own; fitted on windows
    /// that were not trained on.
    pub(crate) temperature: f64,
    /// Of each slot that has its own.
    pub(crate) slots: BTreeMap<String, SlotTrust>,
}

impl Trust {
    fn of(&self, slot: &str) -> (f64, Option<f64>) {
        let own = self.slots.get(slot);
        let temperature = own.map_or(self.temperature, |it| it.temperature.value);
        (temperature, own.and_then(|it| it.not_determined_below))
    }
}

/// Texts with the probability of every value of every slot.
pub(crate) fn answers(
    model: &Model,
    slots: &SlotSet,
    trust: &Trust,
    queries: &[Query],
    config: &GenerateConfig,
    reading: &Reading,
    control: &mut Control<'_>,
) -> Result<Vec<Answer>> {
    let texts = texts(model, slots, ("texts", queries), config, reading, control)?;
    let mut answers: Vec<Answer> = texts
        .iter()
        .map(|it| Answer { text: it.text.clone(), stopped: it.stopped, slots: Vec::new() })
        .collect();
    let read: Vec<_> = answers.iter().map(|answer| slots.parse(&answer.text)).collect();
    for (slot_idx, slot) in slots.slots().iter().enumerate() {
        let mut found: Vec<Vec<f64>> =
            texts.iter().map(|it| it.values.get(&slot.name).cloned().unwrap_or_default()).collect();
        if slot.is_one_of_values() {
            let missing: Vec<usize> = (0..found.len()).filter(|&at| found[at].is_empty()).collect();
            let asked: Vec<(Query, String)> =
                missing.iter().map(|&at| (queries[at].clone(), texts[at].text.clone())).collect();
            let read_anew = slot_likelihoods(model, slots, &slot.name, &asked, reading, control)?;
            for (at, likelihoods) in missing.into_iter().zip(read_anew) {
                found[at] = likelihoods;
            }
        }
        let (temperature, least) = trust.of(&slot.name);
        for ((answer, read), likelihoods) in answers.iter_mut().zip(&read).zip(found) {
            let values = slot.values.keys().cloned();
            let probabilities = values.zip(softmax(&likelihoods, temperature)).collect();
            answer.slots.push(GeneratedSlot::new(
                &slot.name,
                &read.slots[slot_idx],
                probabilities,
                least,
            ));
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::atomic::AtomicBool};

    use super::*;
    use crate::{Error, event::Event};

    /// Asks to stop once so much is done.
    struct StopAt<'a>(usize, &'a AtomicBool);

    impl engine::Observer<Event> for StopAt<'_> {
        fn event(&mut self, event: &Event) {
            if matches!(event, Event::Engine(engine::Event::Advanced { done, .. }) if *done >= self.0)
            {
                self.1.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn a_stopped_reading_goes_on_after_the_parts_that_are_done() {
        let dir = tempfile::tempdir().unwrap();
        let items: Vec<usize> = (0..10).collect();
        let n_worked = Cell::new(0);
        let go = |stop_at: usize| {
            let stop = AtomicBool::new(false);
            let mut observer = StopAt(stop_at, &stop);
            let mut control = Control::new(&mut observer, &stop);
            let reading = Reading::kept_in("evaluate", dir.path());
            reading.each("squares", &items, 3, &mut control, |before, part, _| {
                n_worked.set(n_worked.get() + part.len());
                assert_eq!(part[0], before);
                Ok(part.iter().map(|x| x * x).collect::<Vec<usize>>())
            })
        };
        assert!(matches!(go(6), Err(Error::Engine(engine::Error::Interrupted))));
        assert_eq!(n_worked.get(), 6);
        assert_eq!(go(usize::MAX).unwrap(), items.iter().map(|x| x * x).collect::<Vec<_>>());
        assert_eq!(n_worked.get(), 10, "nothing is done twice");
    }
}
