//! Where a text looks.

use candle_core::{Result, Tensor};
use encoder::Tokens;

use super::{After, Flamingo, MediaView, TextView};

/// Where text looks in one gated block.
pub(crate) struct Looks {
    /// Index of the language model's block behind it.
    pub(crate) block: usize,
    /// `tanh` of its attention's gate.
    pub(crate) opening: f64,
    /// `(batch, n_tokens, n_media · n_latents)`.
    pub(crate) weights: Tensor,
}

impl Flamingo {
    /// The last hidden state `(batch, n_tokens, dim)`, normed, and where the text looks in every gated block.
    pub(crate) fn looks(&self, text: &TextView, media: &MediaView) -> Result<(Tensor, Vec<Looks>)> {
        let mask = self.media_mask(media, text)?;
        let embedded = self.rows.embed(self.lm.as_ref(), &text.ids)?;
        // what stands before the gated block that comes next
        let mut before = self.lm.enter(embedded, &text.step)?.detach();
        let mut looks = Vec::new();
        let hidden =
            self.watched(text, Some(media), None, &mut |block, after, xs| match after {
                After::Block => before = xs.detach(),
                After::Gate => looks.push((block, before.clone())),
            })?;
        let of_block = |(block, xs): (usize, Tensor)| {
            let gate = self.gates[block].as_ref().expect("it was watched");
            let keys = media.keys[block].as_ref().expect("a gated block has keys");
            let weights = gate.weights(&xs, keys, &mask)?.detach();
            Ok(Looks { block, opening: gate.opening()?.0, weights })
        };
        let looks = looks.into_iter().map(of_block).collect::<Result<_>>()?;
        Ok((hidden, looks))
    }

    /// How much of each token of a group lies in each latent, `(n, n_media, n_latents, n_windows · n_tokens)`; of one
    /// whose media stand at these places in a text, if they are given.
    pub(crate) fn rolled_out(&self, tokens: &Tokens, places: Option<&[u32]>) -> Result<Tensor> {
        let tokens = Tokens { values: tokens.values.detach(), mask: tokens.mask.clone() };
        Ok(self.resampler.rolled_out(&tokens, places)?.detach())
    }
}
