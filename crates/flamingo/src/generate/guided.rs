//! Writing under a guide, which says after each piece of a text what may come next.

use std::{cmp::Ordering, collections::BTreeSet};

use lm::decode::{Rules, TextStream, argmax};

use super::{GenerateConfig, Generated, NumberRange, Request};
use crate::{CachedPrompts, Compat, Error, Model, Result, Stop, Vocabulary};

/// What may come next in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Whatever the model finds likeliest, the end too.
    Any,
    /// This text.
    Text(String),
    /// One of these texts: the likeliest as a whole.
    OneOf(Vec<String>),
    /// A blank and a number of this range.
    Number(NumberRange),
    /// Nothing.
    End,
}

/// Says what may come next.
pub trait Guide {
    /// What may come after `text`, the text so far without the prompt. Asked again once that is written, after each
    /// token where it is [`Next::Any`].
    fn next(&mut self, text: &str) -> Next;

    /// Told which of the texts of [`Next::OneOf`] is written, and the log-likelihood of each.
    fn took(&mut self, taken: usize, log_likelihoods: &[f64]);
}

/// A text while it is written.
struct Row<'a> {
    stream: TextStream<'a>,
    text: String,
    n_tokens: usize,
    /// Where a number begins, and its range.
    number: Option<(usize, NumberRange)>,
    stopped: bool,
}

/// What is appended to a text.
enum Piece {
    Ids(Vec<u32>),
    OneOf(Vec<Vec<u32>>),
    /// The token of the highest score.
    Token,
    /// The text is over by itself.
    End,
}

impl Model {
    /// Writes each request's continuation as its guide allows, all side by side. Texts that would be longer than
    /// `max_new_tokens` are cut before the piece that is too long.
    ///
    /// # Errors
    /// Where the settings draw tokens, search beams or bend scores, where the model is one of
    /// [`Compat::OpenFlamingo`], or the tokenizer has no tokens for a number.
    pub fn generate_guided(
        &self,
        requests: &[Request],
        guides: &mut [&mut dyn Guide],
        config: &GenerateConfig,
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        config.check()?;
        config.check_constrained()?;
        if self.flamingo.compat() == Compat::OpenFlamingo {
            return Err(Error::Setting {
                field: "constrain",
                found: "a model with `compat: open_flamingo`".to_owned(),
                expected: "one without it".to_owned(),
            });
        }
        let vocabulary = &self.vocabulary;
        let (prompts, media) = self.writer().read(requests)?;
        let mut cached = self.flamingo.cache_prompts_until(prompts, media.as_ref(), stop)?;

        let rules =
            Rules { banned: vocabulary.banned.clone(), ..Rules::none(vocabulary.end_of_chunk) };
        let numbers = Numbers::of(vocabulary);
        let mut rows: Vec<Row<'_>> = requests.iter().map(|_| Row::new(vocabulary)).collect();
        let mut open: Vec<usize> = (0..rows.len()).collect();
        while !open.is_empty() {
            let scores = cached.scores()?;
            let mut pieces = Vec::with_capacity(open.len());
            for (place, &row) in open.iter().enumerate() {
                let mut scores = scores[place].clone();
                rules.apply(&mut scores, &[], rows[row].n_tokens)?;
                pieces.push((rows[row].piece(&mut *guides[row], &scores, &numbers)?, scores));
            }
            let mut ids = likeliest(&cached, &open, &pieces, guides)?;
            let mut kept = Vec::new();
            for (place, &row) in open.iter().enumerate() {
                let Row { stream, text, n_tokens, stopped, .. } = &mut rows[row];
                let is_end = ids[place].last() == Some(&vocabulary.end_of_chunk);
                *stopped = is_end || matches!(pieces[place].0, Piece::End);
                if *stopped || *n_tokens + ids[place].len() > config.max_new_tokens {
                    *n_tokens += usize::from(is_end);
                    continue;
                }
                for &id in &ids[place] {
                    text.push_str(&stream.push(id)?);
                }
                *n_tokens += ids[place].len();
                kept.push(place);
            }
            if kept.len() < open.len() {
                cached.keep(&kept.iter().map(|&place| place as u32).collect::<Vec<_>>())?;
                open = kept.iter().map(|&place| open[place]).collect();
                ids = kept.iter().map(|&place| std::mem::take(&mut ids[place])).collect();
            }
            if !open.is_empty() {
                cached.append(&ids.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            }
        }
        rows.into_iter().map(Row::finish).collect()
    }
}

impl<'a> Row<'a> {
    fn new(vocabulary: &'a Vocabulary) -> Self {
        let stream = TextStream::new(&vocabulary.tokenizer);
        Self { stream, text: String::new(), n_tokens: 0, number: None, stopped: false }
    }

    /// What comes next: a number's next token where one is begun, else what the guide says.
    fn piece(
        &mut self,
        guide: &mut dyn Guide,
        scores: &[f32],
        numbers: &Numbers<'_>,
    ) -> Result<Piece> {
        loop {
            if let Some((start, range)) = self.number {
                if let Some(id) = numbers.next(&self.text[start..], &range, scores)? {
                    return Ok(Piece::Ids(vec![id]));
                }
                self.number = None;
            }
            let encode =
                |text: &str| Ok::<_, Error>(numbers.vocabulary.tokenizer.encode_rest(text)?.ids);
            match guide.next(&self.text) {
                Next::Any => return Ok(Piece::Token),
                Next::End => return Ok(Piece::End),
                Next::Text(text) => return Ok(Piece::Ids(encode(&text)?)),
                Next::OneOf(texts) => {
                    let texts = texts.iter().map(|it| encode(it)).collect::<Result<Vec<_>>>()?;
                    return Ok(Piece::OneOf(texts));
                }
                Next::Number(range) => self.number = Some((self.text.len(), range)),
            }
        }
    }

    fn finish(self) -> Result<Generated> {
        let Self { stream, mut text, n_tokens, stopped, .. } = self;
        text.push_str(&stream.finish()?);
        Ok(Generated { text, n_tokens, stopped, score: None })
    }
}

/// The ids of every piece; of alternatives those of the likeliest, which the guide is told.
fn likeliest(
    cached: &CachedPrompts<'_>,
    open: &[usize],
    pieces: &[(Piece, Vec<f32>)],
    guides: &mut [&mut dyn Guide],
) -> Result<Vec<Vec<u32>>> {
    let mut asked: Vec<(usize, &[u32])> = Vec::new();
    for (place, (piece, _)) in pieces.iter().enumerate() {
        if let Piece::OneOf(texts) = piece {
            asked.extend(texts.iter().map(|ids| (place, ids.as_slice())));
        }
    }
    let mut found = cached.log_probs(&asked)?.into_iter();
    let mut chosen = Vec::with_capacity(pieces.len());
    for (place, (piece, scores)) in pieces.iter().enumerate() {
        chosen.push(match piece {
            Piece::Ids(ids) => ids.clone(),
            Piece::Token => vec![argmax(scores)?],
            Piece::End => Vec::new(),
            Piece::OneOf(texts) => {
                let of_each = found.by_ref().take(texts.len());
                let sums: Vec<f64> = of_each.map(|it| it.iter().sum()).collect();
                // of equally likely ones the first
                let higher = |a: &usize, b: &usize| sums[*a].total_cmp(&sums[*b]).then(b.cmp(a));
                let taken = (0..texts.len()).max_by(higher).unwrap_or(0);
                guides[open[place]].took(taken, &sums);
                texts[taken].clone()
            }
        });
    }
    Ok(chosen)
}

/// The tokens that numbers are made of.
struct Numbers<'a> {
    vocabulary: &'a Vocabulary,
    /// Id, whether it begins with a blank, and the rest of it.
    tokens: Vec<(u32, bool, String)>,
    /// Those that make a whole number longer.
    digits: BTreeSet<u32>,
}

impl<'a> Numbers<'a> {
    fn of(vocabulary: &'a Vocabulary) -> Self {
        let of_number = |c: char| matches!(c, '0'..='9' | '.' | '-');
        let mut tokens = Vec::new();
        for id in 0..vocabulary.tokenizer.vocab_size() as u32 {
            let Some(token) = vocabulary.tokenizer.token(id) else { continue };
            // how byte-level and SentencePiece vocabularies write a blank
            let rest = token.strip_prefix(['Ġ', '▁', ' ']);
            let (blank, rest) = (rest.is_some(), rest.unwrap_or(&token));
            if (blank || !rest.is_empty()) && rest.chars().all(of_number) {
                tokens.push((id, blank, rest.to_owned()));
            }
        }
        let longer = |(_, blank, rest): &&(u32, bool, String)| {
            !blank && rest.starts_with(|c: char| c.is_ascii_digit())
        };
        let digits = tokens.iter().filter(longer).map(|it| it.0).collect();
        Self { vocabulary, tokens, digits }
    }

    /// The next token of a number after `text`, its blank included; none where it is whole and another token
    /// is likelier than more digits.
    fn next(&self, text: &str, range: &NumberRange, scores: &[f32]) -> Result<Option<u32>> {
        let has_blank = text.starts_with(' ');
        let digits = text.trim_start();
        let by_score = |a: &u32, b: &u32| {
            scores[*a as usize].partial_cmp(&scores[*b as usize]).unwrap_or(Ordering::Equal)
        };
        let fits = |(_, blank, rest): &&(u32, bool, String)| {
            *blank != has_blank
                && !(has_blank && rest.is_empty())
                && range.begins(&format!("{digits}{rest}"))
        };
        let more = self.tokens.iter().filter(fits).map(|it| it.0).max_by(by_score);
        if !range.is_whole(digits) {
            let none = || Error::Continuation {
                continuation: format!("a number after {digits:?}"),
                found: "no tokens",
            };
            return more.map(Some).ok_or_else(none);
        }
        let other =
            (0..scores.len() as u32).filter(|id| !self.digits.contains(id)).max_by(by_score);
        Ok(more.filter(|id| other.is_none_or(|other| by_score(id, &other) == Ordering::Greater)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_ends_where_a_full_stop_is_likelier_than_more_digits() {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["age 7. age 71-72".to_owned()];
        let tokenizer = lm::train_bpe(&texts, 262, &folder.path().join("tokenizer.json")).unwrap();
        let n = tokenizer.vocab_size() + 3;
        let vocabulary = Vocabulary::new(tokenizer, n).unwrap();
        let numbers = Numbers::of(&vocabulary);
        let id = |text: &str| vocabulary.tokenizer.encode_rest(text).unwrap().ids[0];
        let range = NumberRange::new(0., 99., 0);
        let scored = |likeliest: &str, next: &str| {
            let mut scores = vec![0f32; n];
            (scores[id(likeliest) as usize], scores[id(next) as usize]) = (9., 5.);
            scores
        };
        let next = |text: &str, scores: &[f32]| numbers.next(text, &range, scores).unwrap();
        assert_eq!(next(" 7", &scored("1", ".")), Some(id("1")));
        for end in [".", "-", "a"] {
            assert_eq!(next(" 7", &scored(end, "1")), None, "{end}");
        }
        // nothing but digits can follow a blank, and nothing a number that is full
        assert_eq!(next(" ", &scored(".", "1")), Some(id("1")));
        assert_eq!(next(" 71", &scored("1", "2")), None);
    }
}
