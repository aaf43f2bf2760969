//! Gradients in the memory of one block: activation checkpointing (Chen et al. 2016, <https://arxiv.org/abs/1604.06174>).
//!
//! Forward keeps what goes into each block and nothing of what happens inside. Backward runs the blocks from the last to the
//! first once more, each with its input as a variable, and begins at the gradient of its output.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var, bail};
use encoder::Tokens;
use nn::Mask;

use super::{Flamingo, TextView};
use crate::MediaInput;
use crate::several::Layout;

impl Flamingo {
    /// Loss and gradients of everything under training, as `loss` of [`Self::hidden`] and its backward pass give them, in
    /// the memory of one block's activations.
    ///
    /// `loss` makes a scalar of the hidden states `(batch, n_tokens, dim)`, normed, of the latents
    /// `(n_media_rows, n_media, n_latents, vis_dim)`, and of the number of a part, from 0: the loss is the sum of `n_parts`
    /// such scalars, of which one at a time is in memory. The first rows of `media` belong to the rows of `text`; further ones
    /// skip the language model. Blocks below the first in which something trains are not gone back through.
    ///
    /// # Errors
    /// As those of the parts; the same as without checkpointing.
    pub fn checkpointed(
        &self,
        media: &MediaInput,
        text: &TextView,
        n_parts: usize,
        loss: impl Fn(&Tensor, &Tensor, usize) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        let tokens = self.tokens(media)?;
        let constant = tokens.iter().map(|it| with(it, it.values.detach())).collect::<Vec<_>>();
        let (latents, present) = media.layout.latents(&self.resampler, &constant)?;
        let resampler_trains = latents.track_op();
        let latents = latents.detach();
        let (n_rows, _) = text.ids.dims2()?;
        let (_, n_media, n_latents, _) = latents.dims4()?;
        let present = present.as_deref();
        let mask = self.rule.mask(&text.text_time, n_media, n_latents, present)?;
        let encoders_train = tokens.iter().any(|it| it.values.track_op());

        let embedded = self.lm.enter(self.rows.embed(self.lm.as_ref(), &text.ids)?, &text.step)?;
        let mut lowest = if embedded.track_op() { Some(0) } else { None };
        let mut inputs = vec![embedded.detach()];
        for idx in 0..self.gates.len() {
            let out =
                self.segment(idx, &inputs[idx], &latents.narrow(0, 0, n_rows)?, &mask, text)?;
            let looks = self.gates[idx].is_some() && (resampler_trains || encoders_train);
            if lowest.is_none() && (out.track_op() || looks) {
                lowest = Some(idx);
            }
            inputs.push(out.detach());
        }

        let last = inputs.pop().expect("the embedded ids are there");
        let hidden = Var::from_tensor(&self.lm.norm(&last)?.detach())?;
        let seen = Var::from_tensor(&latents)?;
        let (mut grads, mut sum) = (GradStore::default(), None);
        for part in 0..n_parts {
            let loss = loss(&hidden, &seen, part)?;
            grads.extend(loss.backward()?)?;
            let loss = loss.detach();
            sum = Some(match sum {
                Some(sum) => (sum + loss)?,
                None => loss,
            });
        }
        let Some(sum) = sum else { bail!("a loss has no part") };
        let mut seed = None;
        if let Some(above) = grads.remove(&hidden) {
            let last = Var::from_tensor(&last)?;
            grads.extend(seeded(&self.lm.norm(&last)?, &above)?)?;
            seed = grads.remove(&last);
        }
        for idx in (lowest.unwrap_or(self.gates.len())..self.gates.len()).rev() {
            let Some(above) = seed.take() else { break };
            let input = Var::from_tensor(&inputs.pop().expect("every block has an input"))?;
            // the same variable in every block, so that what each asks of the latents is added up
            let out = self.segment(idx, &input, &seen.narrow(0, 0, n_rows)?, &mask, text)?;
            grads.extend(seeded(&out, &above)?)?;
            seed = grads.remove(&input);
        }
        if let Some(above) = seed.filter(|_| embedded.track_op()) {
            grads.extend(seeded(&embedded, &above)?)?;
        }
        if let Some(above) = grads.remove(&seen) {
            self.backward_of_media(&tokens, &media.layout, &above, &mut grads)?;
        }
        Ok((sum, grads))
    }

    /// From the gradient of the latents to those of resampler and encoders.
    fn backward_of_media(
        &self,
        tokens: &[Tokens],
        layout: &Layout,
        above: &Tensor,
        grads: &mut GradStore,
    ) -> Result<()> {
        let values = tokens.iter().map(|it| Var::from_tensor(&it.values.detach()));
        let values = values.collect::<Result<Vec<_>>>()?;
        let given = tokens.iter().zip(&values).map(|(it, values)| {
            let trains = it.values.track_op();
            with(it, if trains { values.as_tensor().clone() } else { values.detach() })
        });
        let (latents, _) = layout.latents(&self.resampler, &given.collect::<Vec<_>>())?;
        if latents.track_op() {
            grads.extend(seeded(&latents, above)?)?;
        }
        for (tokens, values) in tokens.iter().zip(&values) {
            if let Some(above) = grads.remove(values)
                && tokens.values.track_op()
            {
                grads.extend(seeded(&tokens.values, &above)?)?;
            }
        }
        Ok(())
    }

    /// A gated block, where there is one, and the block of the language model after it.
    fn segment(
        &self,
        idx: usize,
        xs: &Tensor,
        latents: &Tensor,
        mask: &Mask,
        text: &TextView,
    ) -> Result<Tensor> {
        let xs = match &self.gates[idx] {
            Some(gate) => gate.forward(xs, Some((&gate.keys(latents)?, mask)))?,
            None => xs.clone(),
        };
        self.lm.block(idx, &xs, &text.step, None)
    }
}

/// The same tokens with other values.
fn with(tokens: &Tokens, values: Tensor) -> Tokens {
    Tokens { values, mask: tokens.mask.clone() }
}

/// The gradients of what `out` was made of, where `above` is its own.
fn seeded(out: &Tensor, above: &Tensor) -> Result<GradStore> {
    let mut grads = (out * above)?.sum_all()?.backward()?;
    // a constant factor is given a gradient too
    grads.remove(above);
    Ok(grads)
}
