//! Writing on the level of ids: prompts read once, then one cached token at a time.

use lm::decode::{BeamConfig, Beams, Hypothesis, Rules, Sampling, argmax, force, log_softmax};

use super::batch::Batch;
use crate::{Compat, Error, Flamingo, MediaView, Prompts, Result, Stop, flamingo::NEVER};

/// How ids are chosen and when a text is over.
#[derive(Clone, Debug)]
pub struct Decoding {
    /// Maximum length of a text in tokens; longer ones are cut.
    pub max_new_tokens: usize,
    /// What may not be written; [`Rules::end`] ends a text.
    pub rules: Rules,
    /// Which of the allowed ids is taken.
    pub choice: Choice,
    /// Texts for each prompt.
    pub num_return_sequences: usize,
    /// Ids written whatever the model says.
    pub forced: Vec<Forced>,
}

/// Which of the allowed ids is taken.
#[derive(Clone, Debug)]
pub enum Choice {
    /// The likeliest.
    Greedy,
    /// One drawn at random.
    Sample {
        /// How.
        sampling: Sampling,
        /// Names each prompt's random numbers; the same name draws the same text anywhere.
        streams: Vec<u64>,
    },
    /// Those of the likeliest texts.
    Beams(BeamConfig),
}

/// An id written in every text of a prompt, whatever the model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced {
    /// The prompt.
    pub prompt: usize,
    /// The new token, from 0.
    pub step: usize,
    /// The id.
    pub id: u32,
}

impl Decoding {
    /// The likeliest id each time, `end` included, without any rule.
    pub fn greedy(max_new_tokens: usize, end: u32) -> Self {
        Self {
            max_new_tokens,
            rules: Rules::none(end),
            choice: Choice::Greedy,
            num_return_sequences: 1,
            forced: Vec::new(),
        }
    }

    /// Bends the scores of the text's next id.
    fn bend(&self, scores: &mut [f32], prompt: usize, text: &[u32], step: usize) -> Result<()> {
        self.rules.apply(scores, text, step)?;
        let forced = self.forced.iter().find(|it| (it.prompt, it.step) == (prompt, step));
        if let Some(forced) = forced {
            force(scores, forced.id);
        }
        Ok(())
    }
}

/// A written text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    /// New ids, the end included where the text has one.
    pub ids: Vec<u32>,
    /// What beam search ranks by.
    pub score: Option<f64>,
    /// Whether the text ended by itself.
    pub stopped: bool,
}

/// An id that was just written, and the scores that it was chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The text: prompt × `num_return_sequences` + copy.
    pub sequence: usize,
    /// The id.
    pub id: u32,
    /// Of every id, after the rules.
    pub scores: &'a [f32],
}

/// Told every id as it is written; its error ends the writing.
pub type Listener<'a> = &'a mut dyn FnMut(Chosen<'_>) -> Result<()>;

impl Flamingo {
    /// Continues prompts that are padded on the left, their scans as [`Flamingo::encode_media`] saw them:
    /// for each prompt its texts, best first.
    ///
    /// Greedy and drawn ids are told to `listener`; those of beams are not, they may be taken back.
    pub fn generate_ids(
        &self,
        prompts: Prompts,
        media: Option<&MediaView>,
        decoding: &Decoding,
        listener: Listener<'_>,
    ) -> Result<Vec<Vec<Sequence>>> {
        self.generate_ids_until(prompts, media, decoding, listener, NEVER)
    }

    /// The same, ending with [`Error::Stopped`] before the next block once `stop` says so.
    pub(crate) fn generate_ids_until(
        &self,
        prompts: Prompts,
        media: Option<&MediaView>,
        decoding: &Decoding,
        listener: Listener<'_>,
        stop: Stop<'_>,
    ) -> Result<Vec<Vec<Sequence>>> {
        let longest = decoding.max_new_tokens;
        let lengths = match self.compat() {
            Compat::OpenFlamingo => vec![prompts.n_tokens(); prompts.len()],
            Compat::None => (0..prompts.len()).map(|row| prompts.text(row).len()).collect(),
        };
        let (batch, scores) = Batch::start(self, prompts, media, longest, stop)?;
        match &decoding.choice {
            Choice::Greedy => {
                write(batch, scores, decoding, listener, |_, _, scores| Ok(argmax(scores)?))
            }
            Choice::Sample { sampling, streams } => {
                let n = decoding.num_return_sequences;
                write(batch, scores, decoding, listener, |sequence, step, scores| {
                    let (name, copy) = (streams[sequence / n], sequence % n);
                    let stream = format!("{name}/{copy}/{step}");
                    Ok(sampling.draw(&mut scores.to_vec(), &stream)?)
                })
            }
            Choice::Beams(config) => {
                let beams = Beams::new(config, &lengths, decoding.rules.end, longest);
                search(batch, scores, decoding, beams, config.num_beams)
            }
        }
    }
}

/// One id after the other, each final; a text that has ended leaves the batch.
fn write(
    mut batch: Batch<'_>,
    scores: Vec<Vec<f32>>,
    decoding: &Decoding,
    listener: Listener<'_>,
    choose: impl Fn(usize, usize, &[f32]) -> Result<u32>,
) -> Result<Vec<Vec<Sequence>>> {
    let n = decoding.num_return_sequences;
    let mut scores = batch.repeat(n, scores)?;
    let mut written = vec![Sequence::default(); scores.len()];
    let mut open: Vec<usize> = (0..written.len()).collect();
    for step in 0..decoding.max_new_tokens {
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for (row, &sequence) in open.iter().enumerate() {
            let scores = &mut scores[row];
            decoding.bend(scores, batch.owner(row), &batch.text(row), step)?;
            let id = choose(sequence, step, scores)?;
            listener(Chosen { sequence, id, scores })?;
            let text = &mut written[sequence];
            text.ids.push(id);
            text.stopped = id == decoding.rules.end;
            if !text.stopped {
                rows.push(row as u32);
                ids.push(id);
            }
        }
        if rows.is_empty() || step + 1 == decoding.max_new_tokens {
            break;
        }
        open = rows.iter().map(|&row| open[row as usize]).collect();
        batch.select(&rows, &rows)?;
        scores = batch.push(&ids)?;
    }
    Ok(written.chunks(n).map(<[Sequence]>::to_vec).collect())
}

/// The likeliest texts.
fn search(
    mut batch: Batch<'_>,
    scores: Vec<Vec<f32>>,
    decoding: &Decoding,
    mut beams: Beams,
    num_beams: usize,
) -> Result<Vec<Vec<Sequence>>> {
    let mut scores = batch.repeat(num_beams, scores)?;
    for step in 0..decoding.max_new_tokens {
        for (row, scores) in scores.iter_mut().enumerate() {
            log_softmax(scores);
            decoding.bend(scores, batch.owner(row), &batch.text(row), step)?;
        }
        let next = beams.advance(&scores)?;
        if beams.is_done() || step + 1 == decoding.max_new_tokens {
            break;
        }
        batch.select(&next.rows, &next.places)?;
        scores = batch.push(&next.ids)?;
    }
    let sequence =
        |Hypothesis { ids, score, stopped }| Sequence { ids, score: Some(score), stopped };
    let n = decoding.num_return_sequences;
    let found = beams.finish(n);
    if let Some(fewest) = found.iter().map(Vec::len).min().filter(|&fewest| fewest < n) {
        let expected = format!("at most {fewest}, the texts that the other settings allow");
        return Err(Error::Setting {
            field: "num_return_sequences",
            found: n.to_string(),
            expected,
        });
    }
    Ok(found.into_iter().map(|texts| texts.into_iter().map(sequence).collect()).collect())
}
