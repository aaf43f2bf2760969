//! The model under training, and its loss.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Module, Tensor, backprop::GradStore};
use encoder::InputShape;
use flamingo::{Flamingo, LANGUAGE, MediaInput, Medium, Stop, Vocabulary, Writer, encoder_input};
use nn::Linear;
use nn::weights::{Below, Variables};

use crate::batch::{Predicted, Row, text_view};
use crate::{Example, FitConfig, FitInputs, Result, warm_start};

/// What the names of the encoder's variables begin with.
pub(crate) const ENCODER: &str = "encoder/";

/// What a micro-batch shows.
pub(crate) struct Shown {
    /// What each row shows, the reports' first; further ones skip the language model.
    pub(crate) windows: Vec<Window>,
    /// What the auxiliary loss must tell apart in each of them.
    pub(crate) classes: Vec<Option<usize>>,
    /// Which rows of text are shown with the first windows.
    pub(crate) rows: Vec<usize>,
    /// Weight of all learned ids of the step.
    pub(crate) weight: f64,
    /// Windows of the step that have a class.
    pub(crate) n_classes: usize,
}

impl Shown {
    /// By how much the mean over all media of each row is too small, where some of them are missing; nothing where all
    /// are there.
    fn missing(&self) -> Option<Vec<f32>> {
        let n_media = self.windows.iter().map(|it| it.media.len()).max()?;
        let n_there = |it: &Window| it.media.iter().filter(|medium| !medium.is_empty()).count();
        let is_whole = self.windows.iter().all(|it| n_there(it) == n_media);
        let factor = |it: &Window| n_media as f32 / n_there(it).max(1) as f32;
        (!is_whole).then(|| self.windows.iter().map(factor).collect())
    }
}

/// What one row shows: its media, and where they have names the numbers of the encoders that read them.
pub(crate) struct Window {
    pub(crate) media: Vec<Medium>,
    pub(crate) encoders: Vec<usize>,
}

/// A model under training.
pub(crate) struct Trainee {
    input: InputShape,
    coordinates: Option<Vec<[f64; 3]>>,
    flamingo: Flamingo,
    vocabulary: Vocabulary,
    encoder: Variables,
    adapter: Variables,
    auxiliary: Option<(Linear, Variables)>,
    pub(crate) n_frozen: usize,
}

impl Trainee {
    pub(crate) fn new(inputs: &FitInputs) -> Result<Self> {
        let device = inputs.device;
        let (encoder, adapter) = (Variables::on(device), Variables::on(device));
        let pretrained = lm::Described::open(inputs.lm)?.load_corrected(
            inputs.precision,
            device,
            inputs.config.lora.as_ref(),
            Below::new(adapter.drawn(inputs.seed), LANGUAGE),
        )?;
        let vocabulary = Vocabulary::new(pretrained.tokenizer, pretrained.lm.shape().vocab_size)?;
        let flamingo = Flamingo::new(
            inputs.config,
            inputs.input,
            pretrained.lm,
            vocabulary.special.clone(),
            inputs.config.encoder.trained(&encoder, inputs.seed)?,
            adapter.builder(inputs.seed, DType::F32),
        )?;
        let n_classes = inputs.train.iter().filter_map(|e| e.class).max().map_or(0, |max| max + 1);
        let auxiliary = match &inputs.fit.auxiliary {
            Some(_) if n_classes > 0 => {
                let variables = Variables::on(device);
                let vb = variables.builder(inputs.seed, DType::F32).pp("auxiliary");
                let dim = flamingo.vis_dim();
                Some((Linear::with_bias(dim, n_classes, vb)?, variables))
            }
            _ => None,
        };
        let parameters = inputs.config.encoder.parameters(inputs.input)?;
        let n_frozen = pretrained.n_parameters + parameters.frozen;
        let (input, coordinates) = (inputs.input, inputs.coordinates.map(<[_]>::to_vec));
        Ok(Self { input, coordinates, flamingo, vocabulary, encoder, adapter, auxiliary, n_frozen })
    }

    /// All variables; the encoder's under a prefix, so that names stay unique.
    pub(crate) fn variables(&self) -> Vec<(String, candle_core::Var)> {
        let prefixed = |(name, var)| (format!("{ENCODER}{name}"), var);
        let mut all: Vec<_> = self.encoder.all().into_iter().map(prefixed).collect();
        all.extend(self.adapter.all());
        all.extend(self.auxiliary.iter().flat_map(|(_, variables)| variables.all()));
        all
    }

    pub(crate) fn rows(&self, examples: &[Example]) -> Result<Vec<Row>> {
        let limit = self.flamingo.lm().shape().n_positions;
        let rows = examples.iter().map(|e| Row::new(e, &self.vocabulary, self.flamingo.named()));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        match rows.iter().map(Row::len).max() {
            Some(found) if found > limit => Err(flamingo::Error::TooLong { found, limit }.into()),
            _ => Ok(rows),
        }
    }

    /// Media of an example, perhaps varied, as a row of a batch.
    pub(crate) fn window(&self, example: &Example, media: Vec<Medium>) -> Result<Window> {
        let (_, encoders) = self.flamingo.named().read(&example.prompt)?;
        Ok(Window { media, encoders })
    }

    fn input(&self, windows: &[Window]) -> Result<MediaInput> {
        let input = if self.flamingo.named().is_empty() {
            let rows: Vec<_> = windows.iter().map(|it| it.media.as_slice()).collect();
            MediaInput::from(
                encoder_input(&rows, self.input, self.flamingo.device())?
                    .expect("every row has a scan"),
            )
        } else {
            let rows = windows.iter().map(|it| (it.media.as_slice(), it.encoders.as_slice()));
            let inputs = self.flamingo.inputs(self.input);
            MediaInput::sorted(&rows.collect::<Vec<_>>(), &inputs, self.flamingo.device())?
        };
        Ok(match &self.coordinates {
            Some(coordinates) => input.with_coordinates(coordinates)?,
            None => input,
        })
    }

    /// What some reports and windows add to the loss of a step: weighted text loss plus the auxiliary loss.
    pub(crate) fn loss(&self, shown: &Shown, rows: &[Row], fit: &FitConfig) -> Result<Tensor> {
        let media = self.flamingo.show(&self.input(&shown.windows)?)?;
        let rows: Vec<&Row> = shown.rows.iter().map(|&row| &rows[row]).collect();
        let text = text_view(&self.flamingo, &rows, &self.vocabulary)?;
        let hidden = self.flamingo.hidden(&text, Some(&media.first(rows.len())?), None)?;
        let (_, n_tokens, _) = hidden.dims3()?;
        let predicted = Predicted::of_rows(&rows, n_tokens);
        let loss = predicted.loss(&self.flamingo, &hidden, shown.weight)?;
        Ok(match self.auxiliary_loss(media.latents(), shown, fit)? {
            Some(auxiliary) => (loss + auxiliary)?,
            None => loss,
        })
    }

    /// The same loss and its gradients, in the memory of one block's activations.
    pub(crate) fn checkpointed(
        &self,
        shown: &Shown,
        rows: &[Row],
        fit: &FitConfig,
    ) -> Result<(Tensor, GradStore)> {
        let rows: Vec<&Row> = shown.rows.iter().map(|&row| &rows[row]).collect();
        let text = text_view(&self.flamingo, &rows, &self.vocabulary)?;
        let input = self.input(&shown.windows)?;
        let (_, n_tokens) = text.ids.dims2()?;
        let n_ids = self.flamingo.lm().shape().vocab_size;
        let parts = Predicted::of_rows(&rows, n_tokens).parts(n_ids);
        Ok(self.flamingo.checkpointed(&input, &text, parts.len(), |hidden, latents, part| {
            let loss = parts[part].clone().loss(&self.flamingo, hidden, shown.weight)?;
            let auxiliary =
                if part == 0 { self.auxiliary_loss(latents, shown, fit)? } else { None };
            match auxiliary {
                Some(auxiliary) => loss + auxiliary,
                None => Ok(loss),
            }
        })?)
    }

    /// The auxiliary loss of the latents of all windows, weighted, where there is one.
    fn auxiliary_loss(
        &self,
        latents: &Tensor,
        shown: &Shown,
        fit: &FitConfig,
    ) -> candle_core::Result<Option<Tensor>> {
        let (Some((head, _)), Some(config)) = (&self.auxiliary, &fit.auxiliary) else {
            return Ok(None);
        };
        let classes = &shown.classes;
        let known: Vec<u32> =
            (0u32..).zip(classes).filter_map(|(idx, class)| class.map(|_| idx)).collect();
        let targets: Vec<u32> = classes.iter().flatten().map(|&class| class as u32).collect();
        if known.is_empty() {
            return Ok(None);
        }
        let known = Tensor::from_slice(&known, known.len(), latents.device())?;
        let mean = latents.flatten(1, 2)?.mean(1)?;
        let mean = match shown.missing() {
            // the latents of a missing medium are zeros, of which a mean takes nothing
            Some(factors) => {
                let factors = Tensor::from_vec(factors, (shown.windows.len(), 1), mean.device())?;
                mean.broadcast_mul(&factors.to_dtype(mean.dtype())?)?
            }
            None => mean,
        };
        let latents = mean.index_select(&known, 0)?;
        let auxiliary =
            nn::cross_entropy(self.flamingo.device().ops(), &head.forward(&latents)?, targets)?;
        let auxiliary = (auxiliary.sum_all()? / shown.n_classes as f64)?;
        (auxiliary * config.weight).map(Some)
    }

    /// Weighted mean negative log-likelihood of the reports `rows` with the scans of `examples`, without augmentation.
    pub(crate) fn nll(
        &self,
        examples: &[&Example],
        rows: &[Row],
        batch_size: usize,
        stop: Stop<'_>,
    ) -> Result<Option<f64>> {
        let (mut sum, mut n) = (0., 0usize);
        for (examples, rows) in examples.chunks(batch_size).zip(rows.chunks(batch_size)) {
            if stop() {
                return Ok(None);
            }
            let windows = examples.iter().map(|it| self.window(it, it.shown()));
            let windows = windows.collect::<Result<Vec<_>>>()?;
            let media = self.flamingo.show(&self.input(&windows)?)?;
            let weight = rows.iter().map(Row::weight).sum();
            let rows: Vec<_> = rows.iter().collect();
            let text = text_view(&self.flamingo, &rows, &self.vocabulary)?;
            let hidden = self.flamingo.hidden_alone(&text, &media)?;
            let (_, n_tokens, _) = hidden.dims3()?;
            let n_ids = self.flamingo.lm().shape().vocab_size;
            for part in Predicted::of_rows(&rows, n_tokens).parts(n_ids) {
                let loss = part.loss(&self.flamingo, &hidden, weight)?;
                sum += f64::from(loss.to_scalar::<f32>()?) * rows.len() as f64;
            }
            n += rows.len();
        }
        Ok(Some(sum / n as f64))
    }

    /// What writes with the weights as they are.
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer {
            flamingo: &self.flamingo,
            vocabulary: &self.vocabulary,
            input: self.input,
            coordinates: self.coordinates.as_deref(),
        }
    }

    /// Takes over the trained weights of the package in `folder`, and gives what names them.
    ///
    /// # Errors
    /// [`Error::WarmStart`](crate::Error::WarmStart) where they are not those that this training moves.
    pub(crate) fn begin_with(&self, folder: &Path) -> Result<String> {
        warm_start::take_over(folder, &self.encoder, &self.adapter)
    }

    /// Copies of the package's tensors, under `best/encoder/` and `best/adapter/`.
    pub(crate) fn kept(&self) -> Result<HashMap<String, Tensor>> {
        let mut best = HashMap::new();
        for (part, variables) in [("encoder", &self.encoder), ("adapter", &self.adapter)] {
            for (name, tensor) in variables.tensors() {
                best.insert(format!("best/{part}/{name}"), tensor.copy()?);
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_medium_takes_no_part_in_a_mean() {
        let there = || Medium::zeros(vec![2, 3]);
        let shown = |windows: Vec<Vec<Medium>>| {
            let window = |media: Vec<Medium>| Window { encoders: vec![0; media.len()], media };
            let windows = windows.into_iter().map(window).collect();
            Shown { windows, classes: Vec::new(), rows: Vec::new(), weight: 1., n_classes: 1 }
        };
        assert_eq!(shown(vec![vec![there(), there()], vec![there(), there()]]).missing(), None);
        let one = shown(vec![vec![there(), there()], vec![there(), Medium::zeros(vec![0])]]);
        assert_eq!(one.missing(), Some(vec![1., 2.]));
    }
}
