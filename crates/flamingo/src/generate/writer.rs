//! Writing with a network that need not lie in a package: one under training writes as a finished one does.

use std::sync::Arc;

use encoder::{EncoderInput, InputShape};
use lm::decode::TextStream;

use super::config::GenerateConfig;
use super::ids::{Choice, Chosen, Sequence};
use super::request::{Generated, Request};
use crate::{
    Flamingo, MediaInput, MediaView, Medium, Prompts, Result, Stop, Vocabulary, encoder_input,
};

/// A network with all that it takes to write: its tokenizer, and the shape of what it is shown.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The network.
    pub flamingo: &'a Flamingo,
    /// Its tokenizer.
    pub vocabulary: &'a Vocabulary,
    /// Size of one preprocessed window.
    pub input: InputShape,
    /// Where the parcels are, in mm, for encoders that read it.
    pub coordinates: Option<&'a [[f64; 3]]>,
}

impl Writer<'_> {
    /// Writes each request's continuation, as [`Model::generate_until`](crate::Model::generate_until) does.
    ///
    /// # Errors
    /// Where a request does not fit the network, or the settings mean nothing; [`Error::Stopped`](crate::Error::Stopped)
    /// before the next block once `stop` says so.
    pub fn generate_until(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        self.write(requests, config, &mut |_, _| (), stop)
    }

    pub(super) fn write(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        piece: &mut dyn FnMut(usize, &str),
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        config.check_free()?;
        let mut written = Vec::with_capacity(requests.len() * config.n_texts());
        for (batch, requests) in requests.chunks(config.batch_size).enumerate() {
            let before = written.len();
            let named = requests.iter().zip(batch * config.batch_size..);
            let streams = named.map(|(it, place)| it.stream.unwrap_or(place as u64)).collect();
            let mut piece = |sequence: usize, text: &str| {
                if !text.is_empty() {
                    piece(before + sequence, text);
                }
            };
            written.extend(self.write_batch(requests, config, streams, &mut piece, stop)?);
        }
        Ok(written)
    }

    fn write_batch(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        streams: Vec<u64>,
        piece: &mut dyn FnMut(usize, &str),
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        let vocabulary = self.vocabulary;
        let (prompts, media) = self.read(requests)?;
        let decoding = config.decoding(vocabulary, self.flamingo.compat(), streams);

        let n_texts = requests.len() * config.n_texts();
        let mut texts = vec![TextStream::new(&vocabulary.tokenizer); n_texts];
        let mut listener = |chosen: Chosen<'_>| {
            piece(chosen.sequence, &texts[chosen.sequence].push(chosen.id)?);
            Ok(())
        };
        let found = self.flamingo.generate_ids_until(
            prompts,
            media.as_ref(),
            &decoding,
            &mut listener,
            stop,
        )?;
        let found: Vec<Sequence> = found.into_iter().flatten().collect();
        if matches!(decoding.choice, Choice::Beams(_)) {
            for (idx, sequence) in found.iter().enumerate() {
                piece(idx, &vocabulary.tokenizer.decode(&sequence.ids)?);
            }
        } else {
            for (idx, text) in texts.into_iter().enumerate() {
                piece(idx, &text.finish()?);
            }
        }
        found
            .into_iter()
            .map(|Sequence { ids, score, stopped }| {
                let text = vocabulary.tokenizer.decode(&ids)?;
                Ok(Generated { text, n_tokens: ids.len(), stopped, score })
            })
            .collect()
    }

    /// The prompts of requests, padded on the left, and what their texts see; absent when none has a scan.
    pub(super) fn read(&self, requests: &[Request]) -> Result<(Prompts, Option<MediaView>)> {
        let (mut rows, mut media) = (Vec::new(), Vec::new());
        for request in requests {
            let (ids, encoders) = self.prompt(&request.prompt, request.media.len())?;
            rows.push(ids);
            media.push((request.media.as_slice(), encoders));
        }
        let media = self.encode_media(&media)?;
        Ok((Prompts::left_padded(rows, self.vocabulary.image), media))
    }

    /// Ids of a prompt, checked against its number of media, and who reads each of them, as
    /// [`NamedMedia::read`](crate::NamedMedia::read) says.
    pub(crate) fn prompt(&self, text: &str, n_media: usize) -> Result<(Vec<u32>, Vec<usize>)> {
        let (text, encoders) = self.flamingo.named().read(text)?;
        Ok((self.vocabulary.prompt(&text, n_media)?, encoders))
    }

    /// The media of a batch of texts, each with the numbers of their encoders; absent when no text has one.
    pub(crate) fn encode_media(
        &self,
        media: &[(&[Arc<Medium>], Vec<usize>)],
    ) -> Result<Option<MediaView>> {
        let input = self.media_input(media)?;
        input.map(|input| Ok(self.flamingo.show(&input)?)).transpose()
    }

    /// The same before the encoders.
    pub(crate) fn media_input(
        &self,
        media: &[(&[Arc<Medium>], Vec<usize>)],
    ) -> Result<Option<MediaInput>> {
        if self.flamingo.named().is_empty() {
            let rows: Vec<_> = media.iter().map(|it| it.0).collect();
            return Ok(self.encoder_input(&rows)?.map(MediaInput::from));
        }
        if media.iter().all(|(media, _)| media.is_empty()) {
            return Ok(None);
        }
        let rows: Vec<_> = media.iter().map(|it| (it.0, it.1.as_slice())).collect();
        let input =
            MediaInput::sorted(&rows, &self.flamingo.inputs(self.input), self.flamingo.device())?;
        Ok(Some(match self.coordinates {
            Some(coordinates) => input.with_coordinates(coordinates)?,
            None => input,
        }))
    }

    /// The scans of a batch before the model's own encoder.
    pub(crate) fn encoder_input(&self, media: &[&[Arc<Medium>]]) -> Result<Option<EncoderInput>> {
        let input = encoder_input(media, self.input, self.flamingo.device())?;
        match self.coordinates {
            Some(coordinates) => {
                Ok(input.map(|it| it.with_coordinates(coordinates)).transpose()?)
            }
            None => Ok(input),
        }
    }
}
