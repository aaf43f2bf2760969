//! Encoder, resampler, gates and language model, joined.

mod checkpointed;
mod looks;

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use encoder::{EncoderInput, InputShape, MediaEncoder, Tokens};
use lm::{Cache, CausalLm, ExtraRows, Step};
use nn::{Builder, Device, Linear, Mask};

use crate::gated::{GatedBlock, MediaKeys};
use crate::media::MediaRule;
use crate::several::{Group, Layout};
use crate::{Compat, Error, FlamingoConfig, MediaInput, NamedMedia, PerceiverResampler};
pub(crate) use looks::Looks;

/// Asked between two blocks whether to end; an answer of `true` ends a pass for good.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Nobody wants it to end.
pub(crate) const NEVER: Stop<'static> = &|| false;

/// The network. See the crate's documentation.
pub struct Flamingo {
    encoder: MediaEncoder,
    /// Of media that it does not read.
    further: Vec<Further>,
    named: NamedMedia,
    resampler: PerceiverResampler,
    /// One slot per block of the language model; empty where the block is left alone.
    gates: Vec<Option<GatedBlock>>,
    lm: Box<dyn CausalLm>,
    rows: ExtraRows,
    rule: MediaRule,
    compat: Compat,
    device: Device,
}

/// An encoder beside the model's own.
struct Further {
    encoder: MediaEncoder,
    input: InputShape,
    /// To the width of the others; absent: they are as wide.
    map: Option<Linear>,
}

/// The scans of a batch as the gated blocks read them: computed once per text.
#[derive(Clone)]
pub struct MediaView {
    keys: Vec<Option<MediaKeys>>,
    latents: Tensor,
    /// Which media are there, row by row; absent: all are.
    present: Option<Vec<Vec<bool>>>,
}

impl MediaView {
    /// Latents `(batch, n_media, n_latents, vis_dim)`.
    pub fn latents(&self) -> &Tensor {
        &self.latents
    }

    /// The scans of the first `n` texts of the batch.
    pub fn first(&self, n: usize) -> Result<Self> {
        let keys = self.keys.iter().map(|keys| keys.as_ref().map(|keys| keys.first(n)).transpose());
        let present = self.present.as_ref().map(|it| it[..n].to_vec());
        let latents = self.latents.narrow(0, 0, n)?;
        Ok(Self { keys: keys.collect::<Result<_>>()?, latents, present })
    }

    /// The scans of a batch made of these texts of the present one, in this order.
    pub fn select(&self, rows: &[u32]) -> Result<Self> {
        let of = |it: &Vec<Vec<bool>>| rows.iter().map(|&row| it[row as usize].clone()).collect();
        let present = self.present.as_ref().map(of);
        let rows = Tensor::from_slice(rows, rows.len(), self.latents.device())?;
        let keys = self.keys.iter().map(|keys| keys.as_ref().map(|k| k.select(&rows)).transpose());
        Ok(Self {
            keys: keys.collect::<Result<_>>()?,
            latents: self.latents.index_select(&rows, 0)?,
            present,
        })
    }
}

/// A place between two blocks, as [`Flamingo::watched`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// After the gated block that stands before a block of the language model.
    Gate,
    /// After the block itself.
    Block,
}

/// One pass over text: ids, their positions and padding, and which scan each token may see.
pub struct TextView {
    /// `(batch, n_tokens)`.
    pub ids: Tensor,
    /// Positions and padding.
    pub step: Step,
    /// For each row and token, how many `<image>` came up to and including it.
    pub text_time: Vec<Vec<usize>>,
}

/// What of a pass outlasts its blocks.
#[derive(Clone, Copy)]
enum Keeps {
    /// All that a gradient asks for, where weights are under training.
    Graph,
    /// Nothing.
    Nothing,
}

impl Flamingo {
    /// Builds the parts around `lm`: the encoder from `encoder_vb`; `perceiver.…`, the gated blocks
    /// and the rows of the ids `special` from `adapter_vb`, under OpenFlamingo's names.
    pub fn new(
        config: &FlamingoConfig,
        input: InputShape,
        lm: Box<dyn CausalLm>,
        special: Range<usize>,
        encoder_vb: Builder,
        adapter_vb: Builder,
    ) -> Result<Self> {
        let encoder = config.encoder.build(input, encoder_vb)?;
        let vis_dim = encoder.vis_dim();
        let own = config.media.iter().filter_map(|it| Some((&it.name, it.own.as_ref()?)));
        let further = own.map(|(name, own)| {
            let vb = adapter_vb.pp("media").pp(name);
            let encoder = own.encoder.build(own.input, vb.pp("encoder"))?;
            let width = encoder.vis_dim();
            let map = (width != vis_dim).then(|| Linear::new(width, vis_dim, vb.pp("map")));
            Ok(Further { encoder, input: own.input, map: map.transpose()? })
        });
        let further = further.collect::<Result<_>>()?;
        let resampler =
            PerceiverResampler::new(&config.resampler, vis_dim, adapter_vb.pp("perceiver"))?;
        let lang = adapter_vb.pp("lang_encoder");
        let blocks = lang.pp(lm.shape().blocks_name);
        let every = config.gates.every;
        if every == 0 || every > lm.shape().n_blocks {
            bail!("gates every {every} blocks, but the language model has {}", lm.shape().n_blocks)
        }
        let gates = (0..lm.shape().n_blocks)
            .map(|idx| {
                let vb = blocks.pp(idx).pp("gated_cross_attn_layer");
                ((idx + 1) % every == 0)
                    .then(|| GatedBlock::new(&config.gates, lm.shape().dim, vis_dim, vb))
                    .transpose()
            })
            .collect::<Result<_>>()?;
        let rows = ExtraRows::new(
            special.start,
            special.len(),
            lm.as_ref(),
            lang.pp(lm.shape().embedding_name),
        )?;
        let rule = match (config.gates.only_attend_immediate_media, config.compat) {
            (true, _) => MediaRule::Latest,
            (false, Compat::None) => MediaRule::AllBefore,
            (false, Compat::OpenFlamingo) => MediaRule::AllBeforeOrEvery,
        };
        let (compat, device) = (config.compat, adapter_vb.device().clone());
        let named = NamedMedia::of(config);
        Ok(Self { encoder, further, named, resampler, gates, lm, rows, rule, compat, device })
    }

    /// The language model inside.
    pub fn lm(&self) -> &dyn CausalLm {
        self.lm.as_ref()
    }

    /// The encoder inside.
    pub fn encoder(&self) -> &MediaEncoder {
        &self.encoder
    }

    /// The media that its prompts name.
    pub fn named(&self) -> &NamedMedia {
        &self.named
    }

    /// Sizes of what its encoders read, where `own` is that of the first.
    pub fn inputs(&self, own: InputShape) -> Vec<InputShape> {
        [own].into_iter().chain(self.further.iter().map(|it| it.input)).collect()
    }

    /// Width of the encoder's tokens and of the latents.
    pub fn vis_dim(&self) -> usize {
        self.encoder.vis_dim()
    }

    /// Where it works.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whose faults are repeated.
    pub fn compat(&self) -> Compat {
        self.compat
    }

    /// Index, attention opening and feed-forward opening of every gated block: `tanh` of its gates.
    pub fn gate_openings(&self) -> Result<Vec<(usize, f64, f64)>> {
        let gates =
            self.gates.iter().enumerate().filter_map(|(idx, gate)| Some((idx, gate.as_ref()?)));
        gates.map(|(idx, gate)| gate.opening().map(|(attn, ff)| (idx, attn, ff))).collect()
    }

    /// Media `(batch, n_media, n_windows, …)` to what the gated blocks read.
    pub fn encode_media(&self, media: &EncoderInput) -> Result<MediaView> {
        self.look_at(&self.encoder.encode(media)?)
    }

    /// Tokens of an encoder, perhaps computed long ago, to what the gated blocks read.
    pub fn look_at(&self, tokens: &Tokens) -> Result<MediaView> {
        self.view(self.resampler.forward(tokens)?, None)
    }

    /// Media of any of the encoders to what the gated blocks read.
    pub fn show(&self, media: &MediaInput) -> Result<MediaView> {
        self.show_tokens(&media.layout, &self.tokens(media)?)
    }

    /// Tokens of each group of media to what the gated blocks read.
    pub(crate) fn show_tokens(&self, layout: &Layout, groups: &[Tokens]) -> Result<MediaView> {
        let (latents, present) = layout.latents(&self.resampler, groups)?;
        self.view(latents, present)
    }

    /// Tokens of each group of media, all of one width.
    pub(crate) fn tokens(&self, media: &MediaInput) -> Result<Vec<Tokens>> {
        let of_group = |group: &Group| {
            let Some(further) = group.encoder.checked_sub(1) else {
                return self.encoder.encode(&group.input);
            };
            let Further { encoder, map, .. } = &self.further[further];
            let tokens = encoder.encode(&group.input)?;
            Ok(match map {
                Some(map) => Tokens { values: tokens.values.apply(map)?, ..tokens },
                None => tokens,
            })
        };
        media.groups.iter().map(of_group).collect()
    }

    fn view(&self, latents: Tensor, present: Option<Vec<Vec<bool>>>) -> Result<MediaView> {
        let keys = self
            .gates
            .iter()
            .map(|gate| gate.as_ref().map(|gate| gate.keys(&latents)).transpose())
            .collect::<Result<_>>()?;
        Ok(MediaView { keys, latents, present })
    }

    /// Text and media to the last hidden state `(batch, n_tokens, dim)`, normed.
    pub fn hidden(
        &self,
        text: &TextView,
        media: Option<&MediaView>,
        cache: Option<&mut Cache>,
    ) -> Result<Tensor> {
        self.watched(text, media, cache, &mut |_, _, _| {})
    }

    /// As [`Self::hidden`]; `watch` is shown the text after every gated block and every block of
    /// the language model.
    pub fn watched(
        &self,
        text: &TextView,
        media: Option<&MediaView>,
        cache: Option<&mut Cache>,
        watch: &mut dyn FnMut(usize, After, &Tensor),
    ) -> Result<Tensor> {
        let hidden = self.walk(text, media, cache, Keeps::Graph, &mut |idx, after, xs| {
            watch(idx, after, xs);
            false
        })?;
        Ok(hidden.expect("nothing ends this pass"))
    }

    /// As [`Self::hidden`] where no gradient is asked for, though weights may be under training; ends behind the block
    /// after which `stop` says so, with [`Error::Stopped`].
    pub fn hidden_until(
        &self,
        text: &TextView,
        media: Option<&MediaView>,
        cache: Option<&mut Cache>,
        stop: Stop<'_>,
    ) -> crate::Result<Tensor> {
        self.walk(text, media, cache, Keeps::Nothing, &mut |_, _, _| stop())?.ok_or(Error::Stopped)
    }

    /// As [`Self::hidden`] where no gradient is asked for, though weights may be under training: nothing of a block
    /// outlasts it.
    pub fn hidden_alone(&self, text: &TextView, media: &MediaView) -> Result<Tensor> {
        let hidden = self.walk(text, Some(media), None, Keeps::Nothing, &mut |_, _, _| false)?;
        Ok(hidden.expect("nothing ends this pass"))
    }

    /// Block by block; none where `ends` says so after one of them.
    fn walk(
        &self,
        text: &TextView,
        media: Option<&MediaView>,
        mut cache: Option<&mut Cache>,
        keeps: Keeps,
        ends: &mut dyn FnMut(usize, After, &Tensor) -> bool,
    ) -> Result<Option<Tensor>> {
        let mask = media.map(|media| self.media_mask(media, text)).transpose()?;
        let kept = |xs: Tensor| match keeps {
            Keeps::Graph => xs,
            Keeps::Nothing => xs.detach(),
        };
        let entered = self.lm.enter(self.rows.embed(self.lm.as_ref(), &text.ids)?, &text.step)?;
        let mut xs = kept(entered);
        for (idx, gate) in self.gates.iter().enumerate() {
            if let Some(gate) = gate {
                let keys = media.and_then(|media| media.keys[idx].as_ref());
                xs = kept(gate.forward(&xs, keys.zip(mask.as_ref()))?);
                if ends(idx, After::Gate, &xs) {
                    return Ok(None);
                }
            }
            xs = kept(self.lm.block(idx, &xs, &text.step, cache.as_deref_mut())?);
            if ends(idx, After::Block, &xs) {
                return Ok(None);
            }
        }
        self.lm.norm(&xs).map(kept).map(Some)
    }

    fn media_mask(&self, media: &MediaView, text: &TextView) -> Result<Mask> {
        let (_, n_media, n_latents, _) = media.latents.dims4()?;
        self.rule.mask(&text.text_time, n_media, n_latents, media.present.as_deref())
    }

    /// Normed hidden states `(…, dim)` to logits over the whole vocabulary, special tokens included.
    pub fn head(&self, hidden: &Tensor) -> Result<Tensor> {
        self.rows.head(self.lm.as_ref(), hidden)
    }
}

#[cfg(test)]
pub(crate) mod tests;
